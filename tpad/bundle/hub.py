"""Uploads folders to the Hugging Face hub: bundles, and Spaces for `app.deploy.spaces`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tpad.bundle.card import PLACE, model_card
from tpad.bundle.files import CARD_FILE, INFO_FILE, PICTURE_FOLDERS, read_info
from tpad.errors import ConfigError, one_line

LARGE = 10_000_000  # bytes; the hub stores larger files outside git
_NO_TOKEN = "There is no valid Hugging Face token; log in with `hf auth login`, or set HF_TOKEN."


def check_name(name: str, what: str) -> None:
    """Raise a `ConfigError` unless a name has the form OWNER/NAME; `what` is "Space" or "repository"."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        whole = name.count("/") == 1
    except HFValidationError:
        whole = False
    if not whole:
        raise ConfigError(f"{name!r} is not the name of a {what}; write OWNER/NAME.")


def network_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP client of huggingface_hub, whose package depends on the version."""
    clients = [name for name in ("httpx", "httpx2") if find_spec(name) is not None]
    return tuple(import_module(name).HTTPError for name in clients)


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn any error of an upload to `name` into a `ConfigError`."""
    from huggingface_hub import errors

    unreachable: tuple[type[Exception], ...] = (*network_errors(), OSError)
    try:
        yield
    except errors.LocalTokenNotFoundError as error:
        raise ConfigError(_NO_TOKEN) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == 401:
            raise ConfigError(_NO_TOKEN) from error
        if status in (403, 404):
            raise ConfigError(
                f"Your token has no write access to {name}; log in as its owner, with a token that has."
            ) from error
        raise ConfigError(f"The hub refused {name}: {one_line(error)}.") from error
    except unreachable as error:
        raise ConfigError(
            f"Hugging Face cannot be reached ({one_line(error)}); try again later, or use --dry-run to "
            "see what would be uploaded."
        ) from error
    except ValueError as error:
        raise ConfigError(f"The hub refused {name}: {one_line(error)}.") from error


def size_lines(folder: Path, part_of: Callable[[Path], str]) -> str:
    """A summary of a folder's size: a line for each part, the total, and the large files.

    Args:
        folder: the folder.
        part_of: takes the relative path of a file and returns the name of its part.
    """
    sizes = {
        path.relative_to(folder): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    parts: dict[str, list[int]] = {}
    for path, size in sizes.items():
        parts.setdefault(part_of(path), []).append(size)
    lines = [
        f"{len(own):>6} files {sum(own) / 1e6:>9.2f} MB  {part}" for part, own in parts.items()
    ]
    lines.append(f"{len(sizes):>6} files {sum(sizes.values()) / 1e6:>9.2f} MB  in total")
    lines += [
        f"{path} has {size / 1e6:.1f} MB: the hub stores it outside git"
        for path, size in sizes.items()
        if size > LARGE
    ]
    return "\n".join(lines)


def bundle_part(path: Path) -> str:
    """Name of the part of a bundle that a file belongs to: the file itself, or the pictures' folder."""
    return f"{path.parts[0]}/" if path.parts[0] in PICTURE_FOLDERS else path.as_posix()


def address_card(folder: Path, name: str) -> None:
    """Put the name of the repository into the model card, which is created if missing."""
    card = folder / CARD_FILE
    text = card.read_text("utf-8") if card.is_file() else model_card(read_info(folder))
    card.write_text(text.replace(PLACE, name), "utf-8")


def push_bundle(
    folder: Path, name: str, *, private: bool = False, branch: str | None = None
) -> str:
    """Upload a bundle in one commit; the repository is created if missing.

    Args:
        folder: the bundle, without other files; it must have been checked.
        name: OWNER/NAME of the repository.
        private: whether a new repository is private.
        branch: branch of the commit, which is created if missing; None for the main branch.

    Returns:
        The address of the repository.

    Raises:
        ConfigError: there is no token, the hub cannot be reached or rejects the upload, or the
            repository contains something else.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(name):
        made = api.create_repo(name, repo_type="model", private=private or None, exist_ok=True)
        if branch is not None:
            api.create_branch(name, branch=branch, exist_ok=True)
        there = set(api.list_repo_files(name, revision=branch)) - {".gitattributes", CARD_FILE}
        if there and INFO_FILE not in there:
            raise ConfigError(
                f"{name} contains {min(there)} and is not a bundle; choose another name, because the upload "
                "would replace it."
            )
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            repo_type="model",
            revision=branch,
            commit_message="Upload the bundle",
            delete_patterns=["*"],  # files of an earlier bundle
        )
    return str(made)
