"""Sending folders to the Hugging Face hub: bundles from here, Spaces from `app.deploy.spaces`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tpad.bundle.card import PLACE, model_card
from tpad.bundle.files import CARD_FILE, INFO_FILE, PICTURE_FOLDERS, read_info
from tpad.errors import ConfigError, one_line

LARGE = 10_000_000  # bytes; the hub keeps larger files outside of git, `upload_folder` sees to it
_NO_TOKEN = "There is no valid Hugging Face token; log in by `hf auth login`, or set HF_TOKEN."


def check_name(name: str, what: str) -> None:
    """Raises a ConfigError if it is not written as OWNER/NAME; `what` is "Space" or "repository"."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        whole = name.count("/") == 1
    except HFValidationError:
        whole = False
    if not whole:
        raise ConfigError(f"{name!r} is no name of a {what}; write OWNER/NAME.")


def network_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client of huggingface_hub raises; newer versions bring one of another name."""
    clients = [name for name in ("httpx", "httpx2") if find_spec(name) is not None]
    return tuple(import_module(name).HTTPError for name in clients)


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turns what goes wrong with the hub in writing to `name` into one sentence, a ConfigError."""
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
                f"Your token may not write to {name}; log in as its owner with a token that may."
            ) from error
        raise ConfigError(f"The hub refused {name}: {one_line(error)}.") from error
    except unreachable as error:
        raise ConfigError(
            f"Hugging Face cannot be reached ({one_line(error)}); try again later, or see what "
            "would be sent by --dry-run."
        ) from error
    except ValueError as error:
        raise ConfigError(f"The hub refused {name}: {one_line(error)}.") from error


def size_lines(folder: Path, part_of: Callable[[Path], str]) -> str:
    """What is in a folder: a line for each of its parts, the total, the large files.

    Args:
        folder: whose files are counted.
        part_of: name of the part that a file, given by its relative path, belongs to.
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
    lines.append(f"{len(sizes):>6} files {sum(sizes.values()) / 1e6:>9.2f} MB  in all")
    lines += [
        f"{path} has {size / 1e6:.1f} MB: kept by the hub outside of git"
        for path, size in sizes.items()
        if size > LARGE
    ]
    return "\n".join(lines)


def bundle_part(path: Path) -> str:
    """A bundle's files stand for themselves, but its pictures for their folder."""
    return f"{path.parts[0]}/" if path.parts[0] in PICTURE_FOLDERS else path.as_posix()


def address_card(folder: Path, name: str) -> None:
    """Has the model card of a bundle's folder, written if there is none, say where it is."""
    card = folder / CARD_FILE
    text = card.read_text("utf-8") if card.is_file() else model_card(read_info(folder))
    card.write_text(text.replace(PLACE, name), "utf-8")


def push_bundle(
    folder: Path, name: str, *, private: bool = False, branch: str | None = None
) -> str:
    """Makes the repository if there is none, and puts a bundle into it as one commit.

    Args:
        folder: holds the bundle and nothing else; it is expected to be checked.
        name: OWNER/NAME.
        private: whether a new repository is seen by its owner only.
        branch: to commit to, made if there is none; None takes the main one.

    Returns:
        The repository's address.

    Raises:
        ConfigError: there is no token, the hub cannot be reached or does not allow this, or the
            repository holds something else.
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
                f"{name} holds {min(there)} and no bundle, which a push would replace; choose "
                "another name."
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
