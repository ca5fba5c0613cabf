"""The files of a bundle: what may lie in it, whether they are all there, where it comes from.

Nothing here opens a file to use it, and nothing in a bundle is ever run.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tpad.errors import BundleError, ConfigError, one_line
from tpad.io.files import remove_leftovers, sha256
from tpad.io.git_lfs import refuse_pointer

FORMAT_VERSION = 1
PRETRAINING_RECORD = "pretraining.json"
"""File beside a base model's weights: how it was pretrained, where that is known."""
INFO_FILE = "bundle.json"
CARD_FILE = "README.md"
IMAGES = "images"
PICTURE_FOLDERS = (IMAGES, "arrivals")
ENCODER_FILES = ("encoder.json", "heads.safetensors", "text.json", "text.safetensors")
ENCODER_FOLDERS = ("base", "adapters")
"""Libraries open whatever they know of in these."""
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
# Formats that can run code when they are opened, and code itself.
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
"""Fields that may be missing, with a value that stands for them in the check."""


def find_bundle(path_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """The bundle's folder; a hub id is downloaded first (or found where it was downloaded to).

    Raises:
        BundleError: there is neither such a folder nor such a repository, or no network.
        ConfigError: a revision is given for a folder.
    """
    path, name = Path(path_or_hub_id), str(path_or_hub_id)
    if not path.exists() and path.parent.is_dir():
        remove_leftovers(path.parent.absolute(), path.name)  # puts back what a kill moved aside
    if path.exists() or not HUB_ID.fullmatch(name):
        if revision is not None:
            raise ConfigError(f"{name} is a folder and has no revision {revision!r}; leave it out.")
        if not (path / INFO_FILE).is_file():
            what = "does not exist" if not path.exists() else f"holds no {INFO_FILE}"
            raise BundleError(f"{name} {what}; give the folder of a bundle, or a hub id.")
        return path
    return _download(name, revision)


def read_info(folder: Path) -> dict[str, Any]:
    """`bundle.json`, its fields checked.

    Raises:
        BundleError: it cannot be read, is of another format version, or lacks a field.
    """
    path = folder / INFO_FILE
    refuse_pointer(path, BundleError)
    try:
        info = json.loads(path.read_text("utf-8"))
        json.dumps(info, ensure_ascii=False).encode()  # refuses halves of characters
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
    # A set's name becomes a file's name.
    if not sets or not all(isinstance(s, str) and _NAME.fullmatch(s) for s in sets):
        raise BundleError(f"{path} names no usable embedding sets; {_AGAIN}.")
    if len(set(sets)) != len(sets):
        raise BundleError(f"{path} names an embedding set twice; {_AGAIN}.")
    _check_dataset(path, info["dataset"])
    for name, digest in info["checksums"].items():
        safe_path(folder, name)
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BundleError(f"{path} has no usable checksum for '{name}'; {_AGAIN}.")
        if type(info["sizes"].get(name)) is not int:
            raise BundleError(f"{path} has no usable size for '{name}'; {_AGAIN}.")
    return info


def _check_dataset(path: Path, facts: dict[str, Any]) -> None:
    for field, kind in _DATASET_FIELDS.items():
        value = facts.get(field, _OPTIONAL.get(field))
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BundleError(f"{path} has no usable field '{field}' of the dataset; {_AGAIN}.")
    counts = facts.get("n_sessions", {})
    if not all(type(count) is int for count in counts.values()):
        raise BundleError(f"{path} has no usable field 'n_sessions' of the dataset; {_AGAIN}.")


def check_files(folder: Path, info: dict[str, Any], verify: str = "standard") -> None:
    """Whether every file is there, unchanged, inside the folder and of a safe kind.

    Args:
        verify: "fast" compares sizes; "standard" hashes all but the pictures, whose sizes it
            compares; "full" hashes everything.

    Raises:
        BundleError: at the first fault.
        ConfigError: there is no such `verify`.
    """
    if verify not in VERIFY:
        raise ConfigError(f"There is no check {verify!r}; choose one of {', '.join(VERIFY)}.")
    for name in list_files(folder):
        if name.lower().endswith(UNSAFE):
            raise BundleError(
                f"{folder / name} is of a kind that can run code, which no bundle holds; "
                "remove it, and trust the bundle only if you know where it comes from."
            )
    needed = {"items.parquet", "sessions.parquet", "encoder.json"}
    needed |= {set_file(kind, s) for s in info["sets"] for kind in ("embeddings", "recommenders")}
    for name in sorted(needed - info["checksums"].keys()):
        raise BundleError(f"{folder / INFO_FILE} does not list {name}; {_AGAIN}.")
    for name in _unlisted(folder, info["checksums"]):
        raise BundleError(
            f"{folder / name} is not listed in {INFO_FILE}, and would be opened with the bundle; "
            "remove it."
        )
    for name, digest in info["checksums"].items():
        path = safe_path(folder, name)
        try:
            status = os.stat(path)
        except OSError as error:
            raise BundleError(f"{path} is missing; {_AGAIN}.") from error
        if not inside(folder, path):
            raise BundleError(f"{path} is a link that leads out of the bundle; put the file there.")
        if stat.S_ISREG(status.st_mode) and status.st_size != info["sizes"][name]:
            refuse_pointer(path, BundleError)
        if not stat.S_ISREG(status.st_mode) or status.st_size != info["sizes"][name]:
            raise BundleError(
                f"{path} has {status.st_size:,} bytes, not {info['sizes'][name]:,}; {_AGAIN}."
            )
        picture = PurePosixPath(name).parts[0] in PICTURE_FOLDERS
        hashed = verify == "full" or (verify == "standard" and not picture)
        if hashed and sha256(path) != digest:
            raise BundleError(f"{path} was changed, its checksum differs; {_AGAIN}.")


def safe_path(folder: Path, name: str) -> Path:
    """The path of a file that the bundle names, if the name is a plain one and stays inside.

    Raises:
        BundleError: the name leads out, is hidden, or can be no file's name.
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
            f"{folder / INFO_FILE} names {name!r}, which leads out of the bundle or is hidden; do "
            "not use it."
        )
    return folder / name


def inside(folder: Path, path: Path) -> bool:
    """Whether a path, with all links followed, lies in a folder."""
    return os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


def list_all(folder: Path, name: str) -> list[str]:
    """Relative paths of all that lies in one of the bundle's folders: hidden files and links, too."""
    found = []
    for here, folders, files in os.walk(folder / name):
        links = [one for one in folders if os.path.islink(os.path.join(here, one))]
        relative = Path(here).relative_to(folder)
        found += [(relative / one).as_posix() for one in (*files, *links)]
    return sorted(found)


def _unlisted(folder: Path, names: Collection[str]) -> Iterator[str]:
    """Files that would be opened if they were listed; of hidden ones, those that a library may."""
    for name in OPENED_FILES:
        if name not in names and os.path.lexists(folder / name):
            yield name
    for top in OPENED_FOLDERS:
        for name in list_all(folder, top):
            hidden = PurePosixPath(name).name.startswith(".")
            if name not in names and (top in ENCODER_FOLDERS or not hidden):
                yield name


def list_files(folder: Path) -> list[str]:
    """Relative paths of the files, in order; links are listed but not followed.

    Hidden ones, such as those of a version control, are left out, but for pictures.
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
    """`checksums` and `sizes` of the files of a folder, as `bundle.json` has them.

    `bundle.json` itself is left out, and so is the model card, which people edit on the hub.
    """
    names = [name for name in list_files(folder) if name not in (INFO_FILE, CARD_FILE)]
    return {
        "checksums": {name: sha256(folder / name) for name in names},
        "sizes": {name: (folder / name).stat().st_size for name in names},
    }


def encoder_digest(info: dict[str, Any]) -> str:
    """sha256 (hex) of the checksums of all that the encoder is read from; bundles of equal digests
    give equal vectors."""
    own = {
        name: digest
        for name, digest in sorted(info["checksums"].items())
        if name in ENCODER_FILES or PurePosixPath(name).parts[0] in ENCODER_FOLDERS
    }
    return hashlib.sha256(json.dumps(own).encode()).hexdigest()


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write `bundle.json` with the sums and sizes of what lies in the folder."""
    info = {**info, **summarise(folder)}
    (folder / INFO_FILE).write_text(json.dumps(info, indent=1, ensure_ascii=False), "utf-8")


def check_target(folder: Path) -> None:
    """Raise a ConfigError if writing a bundle to `folder` would take the place of other things."""
    if not folder.exists() or (folder / INFO_FILE).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConfigError(f"{folder} exists and is no bundle; choose a new or an empty folder.")


def set_file(kind: str, name: str) -> str:
    """Relative path of a set's file; `kind` is "embeddings" or "recommenders"."""
    return f"{kind}/{name}.safetensors"


def _download(hub_id: str, revision: str | None) -> Path:
    import huggingface_hub  # only a hub id needs it
    from huggingface_hub import constants

    # A folder of its own, as the shared cache holds links that lead out of a bundle.
    name = f"{hub_id.replace('/', '--')}@{revision or 'main'}".replace(os.sep, "-")
    folder = Path(constants.HF_HOME) / "tpad" / name
    try:
        huggingface_hub.snapshot_download(hub_id, revision=revision, local_dir=folder)
    except Exception as error:  # the hub raises errors of its own, of httpx and of the system
        raise BundleError(
            f"There is no folder {hub_id}, and it cannot be got from the Hugging Face hub; check "
            f"the id, the revision and the network ({one_line(error)})."
        ) from error
    if (folder / INFO_FILE).is_file():
        _remove_unlisted(folder)
    else:
        raise BundleError(f"The hub's {hub_id} holds no {INFO_FILE}; give the id of a bundle.")
    return folder


def _remove_unlisted(folder: Path) -> None:
    """Of an earlier revision, files stay in the folder of the download that are no part of this one."""
    for name in list(_unlisted(folder, read_info(folder)["checksums"])):
        (folder / name).unlink()
