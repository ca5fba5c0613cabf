"""The files of a bundle: finds a bundle, and checks its files before they are used.

No code from a bundle is ever run.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tpad.errors import BundleError, ConfigError, one_line, shown
from tpad.io.files import remove_leftovers, sha256
from tpad.io.git_lfs import refuse_pointer

FORMAT_VERSION = 3
PRETRAINING_RECORD = "pretraining.json"
"""Optional file next to the weights of a base model, which describes its pretraining."""
INFO_FILE = "bundle.json"
CARD_FILE = "README.md"
IMAGES = "images"
PICTURE_FOLDERS = (IMAGES, "arrivals")
ENCODER_FILES = (
    "encoder.json",
    "heads.safetensors",
    "vectors.safetensors",
    "text.json",
    "text.safetensors",
)
ENCODER_FOLDERS = ("base", "adapters")
"""Folders in which libraries open every file that they know."""
OPENED_FILES = (
    *ENCODER_FILES,
    "items.parquet",
    "sessions.parquet",
    "popularity.parquet",
    "world.json",
    "training.jsonl",
)
OPENED_FOLDERS = (*ENCODER_FOLDERS, *PICTURE_FOLDERS, "embeddings", "recommenders")
VERIFY = ("standard", "fast", "full")
# Code, and formats that can run code when they are opened.
UNSAFE = (
    ".pkl",
    ".pickle",
    ".pt",
    ".pth",
    ".bin",
    ".ckpt",
    ".joblib",
    ".dill",
    ".npy",
    ".npz",
    ".h5",
    ".py",
    ".pyc",
    ".pyd",
    ".so",
    ".dll",
    ".sh",
)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "train or download the bundle again"
_FIELDS: dict[str, Any] = {
    "sets": list,
    "parts": dict,
    "checksums": dict,
    "sizes": dict,
    "config": dict,
    "dataset": dict,
    "base": dict,
    "seeds": list,
    "created": str,
    "package_version": str,
    "git_commit": str | None,
}
_DATASET_FIELDS: dict[str, Any] = {
    "n_items": int,
    "n_cold": int,
    "fingerprint": str,
    "image_root": str,
    "n_sessions": dict,
}
_OPTIONAL = {
    "base": {},
    "seeds": [],
    "created": "",
    "package_version": "",
    "n_cold": 0,
    "fingerprint": "",
    "image_root": "",
    "n_sessions": {},
}
"""Optional fields, with their default values."""


def find_bundle(path_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """The folder of a bundle; a bundle on the hub is downloaded unless it is already there.

    Raises:
        BundleError: there is no such folder or repository, or the hub cannot be reached.
        ConfigError: a revision is given for a folder.
    """
    path, name = Path(path_or_hub_id), str(path_or_hub_id)
    if not path.exists() and path.parent.is_dir():
        remove_leftovers(
            path.parent.absolute(), path.name
        )  # restores a folder that a killed process had renamed
    if path.exists() or not HUB_ID.fullmatch(name):
        if revision is not None:
            raise ConfigError(f"{name} is a folder and has no revision {revision!r}; leave it out.")
        if not (path / INFO_FILE).is_file():
            what = "does not exist" if not path.exists() else f"holds no {INFO_FILE}"
            raise BundleError(f"{name} {what}; give the folder of a bundle, or a hub id.")
        return path
    return _download(name, revision)


def read_info(folder: Path) -> dict[str, Any]:
    """Read `bundle.json` and check its fields.

    Raises:
        BundleError: it cannot be read, has another format version, or a field is missing or invalid.
    """
    path = folder / INFO_FILE
    refuse_pointer(path, BundleError)
    try:
        info = json.loads(path.read_text("utf-8"))
        json.dumps(info, ensure_ascii=False).encode()  # raises an error for lone surrogates
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read as JSON; {_AGAIN}.") from error
    version = info.get("format_version") if isinstance(info, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} has the format version {version!r}, and this tpad reads {FORMAT_VERSION}; "
            "train the bundle again, or install the tpad version that wrote it."
        )
    for field, kind in _FIELDS.items():
        if not isinstance(info.get(field, _OPTIONAL.get(field)), kind):
            raise BundleError(f"{path} has no usable field '{field}'; {_AGAIN}.")
    sets = info["sets"]
    # The name of a set is used in file names.
    if not sets or not all(isinstance(s, str) and _NAME.fullmatch(s) for s in sets):
        raise BundleError(f"{path} has no usable names of embedding sets; {_AGAIN}.")
    if len(set(sets)) != len(sets):
        raise BundleError(f"{path} has repeated names of embedding sets; {_AGAIN}.")
    _check_parts(path, info["parts"])
    _check_dataset(path, info["dataset"])
    for name, digest in info["checksums"].items():
        safe_path(folder, name)
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BundleError(f"{path} has no usable checksum for '{name}'; {_AGAIN}.")
        if type(info["sizes"].get(name)) is not int:
            raise BundleError(f"{path} has no usable size for '{name}'; {_AGAIN}.")
    return info


def _check_parts(path: Path, parts: dict[str, Any]) -> None:
    for name, sizes in parts.items():
        if not isinstance(sizes, dict) or not all(type(n) is int and n > 0 for n in sizes.values()):
            raise BundleError(f"{path} has no usable parts of the set {shown(name)!r}; {_AGAIN}.")


def _check_dataset(path: Path, facts: dict[str, Any]) -> None:
    for field, kind in _DATASET_FIELDS.items():
        value = facts.get(field, _OPTIONAL.get(field))
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BundleError(f"{path} has no usable field '{field}' of the dataset; {_AGAIN}.")
    counts = facts.get("n_sessions", {})
    if not all(type(count) is int for count in counts.values()):
        raise BundleError(f"{path} has no usable field 'n_sessions' of the dataset; {_AGAIN}.")


def check_files(folder: Path, info: dict[str, Any], verify: str = "standard") -> None:
    """Check that all files exist, are unchanged, lie inside the folder, and have a safe format.

    Args:
        folder: folder of the bundle.
        info: the content of `bundle.json`.
        verify: "fast" compares sizes; "standard" also compares checksums, except of pictures; "full"
            compares all checksums.

    Raises:
        BundleError: a file fails a check.
        ConfigError: there is no such `verify`.
    """
    if verify not in VERIFY:
        raise ConfigError(f"There is no check {verify!r}; choose one of {', '.join(VERIFY)}.")
    for name in list_files(folder):
        if name.lower().endswith(UNSAFE):
            raise BundleError(
                f"{folder / name} has a format that can run code, which bundles never contain; remove it, "
                "and use the bundle only if you trust its source."
            )
    needed = {"items.parquet", "sessions.parquet", "encoder.json"}
    needed |= {set_file(kind, s) for s in info["sets"] for kind in ("embeddings", "recommenders")}
    for name in sorted(needed - info["checksums"].keys()):
        raise BundleError(f"{folder / INFO_FILE} does not list {name}; {_AGAIN}.")
    for name in _unlisted(folder, info["checksums"]):
        raise BundleError(
            f"{folder / name} is not listed in {INFO_FILE}, but could be opened with the bundle; remove "
            "it."
        )
    for name, digest in info["checksums"].items():
        path = safe_path(folder, name)
        try:
            status = os.stat(path)
        except OSError as error:
            raise BundleError(f"{path} is missing; {_AGAIN}.") from error
        if not inside(folder, path):
            raise BundleError(f"{path} is a link that leads out of the bundle; put the file there.")
        is_file = stat.S_ISREG(status.st_mode)
        if not is_file or status.st_size != info["sizes"][name]:
            if is_file:
                refuse_pointer(path, BundleError)
            raise BundleError(
                f"{path} has {status.st_size:,} bytes, not {info['sizes'][name]:,}; {_AGAIN}."
            )
        picture = PurePosixPath(name).parts[0] in PICTURE_FOLDERS
        hashed = verify == "full" or (verify == "standard" and not picture)
        if hashed and sha256(path) != digest:
            raise BundleError(f"{path} was changed: its checksum differs; {_AGAIN}.")


def safe_path(folder: Path, name: str) -> Path:
    """The path of a file, after checking that its relative path is safe.

    Raises:
        BundleError: the path leads out of the bundle, is hidden, or is not a valid path.
    """
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") for part in parts)
    if (
        not parts
        or PurePosixPath(name).as_posix() != name
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or ":" in parts[0]
        or any(ord(character) < 32 for character in name)
        or (hidden and parts[0] not in PICTURE_FOLDERS)
    ):
        raise BundleError(
            f"{folder / INFO_FILE} names {name!r}, which leads out of the bundle or is hidden; do not "
            "use this bundle."
        )
    return folder / name


def inside(folder: Path, path: Path) -> bool:
    """Whether a path is inside a folder, after following all links."""
    return os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


def list_all(folder: Path, name: str) -> list[str]:
    """Relative paths of all files in a folder of the bundle, including hidden files and links."""
    found = []
    for here, folders, files in os.walk(folder / name):
        links = [one for one in folders if os.path.islink(os.path.join(here, one))]
        relative = Path(here).relative_to(folder)
        found += [(relative / one).as_posix() for one in (*files, *links)]
    return sorted(found)


def _unlisted(folder: Path, names: Collection[str]) -> Iterator[str]:
    """Files that are not listed, but could be opened with the bundle."""
    for name in OPENED_FILES:
        if name not in names and os.path.lexists(folder / name):
            yield name
    for top in OPENED_FOLDERS:
        for name in list_all(folder, top):
            hidden = PurePosixPath(name).name.startswith(".")
            if name not in names and (top in ENCODER_FOLDERS or not hidden):
                yield name


def list_files(folder: Path) -> list[str]:
    """Sorted relative paths of all files; links are included but not followed.

    Hidden files, such as those of version control, are omitted, except among the pictures.
    """
    found = []
    for here, folders, files in os.walk(folder):
        relative = Path(here).relative_to(folder)
        shown = relative.parts[:1] and relative.parts[0] in PICTURE_FOLDERS
        folders[:] = sorted(name for name in folders if shown or not name.startswith("."))
        found += [
            (relative / name).as_posix() for name in files if shown or not name.startswith(".")
        ]
    return sorted(found)


def summarise(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries "checksums" and "sizes" of `bundle.json`.

    `bundle.json` itself and the model card, which people edit on the hub, are omitted.
    """
    names = [name for name in list_files(folder) if name not in (INFO_FILE, CARD_FILE)]
    return {
        "checksums": {name: sha256(folder / name) for name in names},
        "sizes": {name: (folder / name).stat().st_size for name in names},
    }


def encoder_digest(info: dict[str, Any]) -> str:
    """Digest of all files of the encoder; bundles with equal digests compute equal embeddings."""
    own = {
        name: digest
        for name, digest in sorted(info["checksums"].items())
        if name in ENCODER_FILES or PurePosixPath(name).parts[0] in ENCODER_FOLDERS
    }
    return hashlib.sha256(json.dumps(own).encode()).hexdigest()


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write `bundle.json`, with checksums and sizes of all files of the folder."""
    info = {**info, **summarise(folder)}
    (folder / INFO_FILE).write_text(json.dumps(info, indent=1, ensure_ascii=False), "utf-8")


def check_target(folder: Path) -> None:
    """Raise a `ConfigError` if a bundle written to `folder` would replace something else."""
    if not folder.exists() or (folder / INFO_FILE).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConfigError(f"{folder} exists and is not a bundle; choose a new or an empty folder.")


def set_file(kind: str, name: str) -> str:
    """Relative path of the file of an embedding set; `kind` is "embeddings" or "recommenders"."""
    return f"{kind}/{name}.safetensors"


def _download(hub_id: str, revision: str | None) -> Path:
    import huggingface_hub  # only a hub id needs it
    from huggingface_hub import constants

    # Not the shared cache, because its links lead out of the bundle.
    name = f"{hub_id.replace('/', '--')}@{revision or 'main'}".replace(os.sep, "-")
    folder = Path(constants.HF_HOME) / "tpad" / name
    try:
        huggingface_hub.snapshot_download(hub_id, revision=revision, local_dir=folder)
    except Exception as error:  # of the hub, of httpx, or of the system
        raise BundleError(
            f"There is no folder {hub_id}, and it cannot be downloaded from the Hugging Face hub; check "
            f"the id, the revision and the network ({one_line(error)})."
        ) from error
    if (folder / INFO_FILE).is_file():
        _remove_unlisted(folder)
    else:
        raise BundleError(f"{hub_id} on the hub holds no {INFO_FILE}; give the id of a bundle.")
    return folder


def _remove_unlisted(folder: Path) -> None:
    """Remove files of an earlier revision from the folder of the download."""
    for name in list(_unlisted(folder, read_info(folder)["checksums"])):
        (folder / name).unlink()
