"""The files of a bundle: what may lie in it, whether they are all there, where it comes from.

Nothing here opens a file to use it, and nothing in a bundle is ever run.
"""

import hashlib
import json
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from tpad.errors import BundleError, ConfigError
from tpad.files import sha256

FORMAT_VERSION = 1
INFO_FILE = "bundle.json"
CARD_FILE = "README.md"
IMAGES = "images"
PICTURE_FOLDERS = (IMAGES, "arrivals")
ENCODER_FILES = ("encoder.json", "heads.safetensors", "text.json", "text.safetensors")
ENCODER_FOLDERS = ("base", "adapters")
VERIFY = ("standard", "fast", "full")
# Formats that can run code when they are opened, and code itself.
UNSAFE = (
    ".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".h5",
    ".py", ".pyc", ".pyd", ".so", ".dll", ".sh",
)  # fmt: skip
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "train or download the bundle again"


def find_bundle(path_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """The bundle's folder; a hub id is downloaded first (or found where it was downloaded to).

    Raises:
        BundleError: there is neither such a folder nor such a repository, or no network.
        ConfigError: a revision is given for a folder.
    """
    path, name = Path(path_or_hub_id), str(path_or_hub_id)
    if path.exists() or not _HUB_ID.fullmatch(name):
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
    try:
        info = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON; {_AGAIN}.") from error
    version = info.get("format_version") if isinstance(info, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} has the format version {version!r}, and this tpad reads {FORMAT_VERSION}; "
            "train the bundle again, or install the tpad version that wrote it."
        )
    kinds = {"sets": list, "checksums": dict, "sizes": dict, "config": dict, "dataset": dict}
    for field, kind in kinds.items():
        if not isinstance(info.get(field), kind):
            raise BundleError(f"{path} has no usable field '{field}'; {_AGAIN}.")
    sets = info["sets"]
    # A set's name becomes a file's name.
    if not sets or not all(isinstance(s, str) and _NAME.fullmatch(s) for s in sets):
        raise BundleError(f"{path} names no usable embedding sets; {_AGAIN}.")
    for name, digest in info["checksums"].items():
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise BundleError(f"{path} has no usable checksum for '{name}'; {_AGAIN}.")
        if not isinstance(info["sizes"].get(name), int):
            raise BundleError(f"{path} has no usable size for '{name}'; {_AGAIN}.")
    return info


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
    root = os.path.realpath(folder)
    for name, digest in info["checksums"].items():
        path = safe_path(folder, name)
        try:
            status = os.stat(path)
        except OSError as error:
            raise BundleError(f"{path} is missing; {_AGAIN}.") from error
        if not os.path.realpath(path).startswith(root + os.sep):
            raise BundleError(f"{path} is a link that leads out of the bundle; put the file there.")
        if not stat.S_ISREG(status.st_mode) or status.st_size != info["sizes"][name]:
            raise BundleError(
                f"{path} has {status.st_size:,} bytes, not {info['sizes'][name]:,}; {_AGAIN}."
            )
        picture = PurePosixPath(name).parts[0] in PICTURE_FOLDERS
        hashed = verify == "full" or (verify == "standard" and not picture)
        if hashed and sha256(path) != digest:
            raise BundleError(f"{path} was changed, its checksum differs; {_AGAIN}.")


def safe_path(folder: Path, name: str) -> Path:
    """The path of a file that `bundle.json` names, if the name stays inside the folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise BundleError(
            f"{folder / INFO_FILE} names '{name}', which leads out of the bundle; do not use it."
        )
    return folder / name


def list_files(folder: Path) -> list[str]:
    """Relative paths of the files, in order; links are listed but not followed.

    Hidden ones, such as those of a version control, are left out.
    """
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(here).relative_to(folder)
        found += [(relative / name).as_posix() for name in files if not name.startswith(".")]
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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BundleError(
            f"There is no folder {hub_id}, and it cannot be got from the Hugging Face hub; check "
            f"the id, the revision and the network ({reason.rstrip('.')})."
        ) from error
    if not (folder / INFO_FILE).is_file():
        raise BundleError(f"The hub's {hub_id} holds no {INFO_FILE}; give the id of a bundle.")
    return folder
