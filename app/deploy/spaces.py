"""Deploys the app to Hugging Face Spaces: `python -m app deploy OWNER/NAME`.

A Space is a git repository that Hugging Face builds and runs. Ours has the packages, one bundle and,
optionally, a results database, at the default paths of `app/__main__.py`: the bundle is copied to
`assets/demo` and the database to `results/demo.db`, whatever their names.
"""

import argparse
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app.deploy.card import card, check_card, front_matter, pinned
from tpad.bundle.hub import check_name, hub_errors, size_lines
from tpad.errors import ConfigError, DataError, TpadError
from tpad.io.files import replacing_folder

ROOT = Path(__file__).resolve().parents[2]
DEMO_BUNDLE, DEMO_DATABASE = Path("assets/demo"), Path("results/demo.db")
PACKAGES = ("app", "eval", "tpad")
FILES = ("requirements.txt", "LICENSE")
BUILT = ROOT / "build" / "space"  # default folder of --dry-run
LEFT_OUT = ("__pycache__", "*.pyc", ".*", "*.egg-info", "*~")
MANAGED = [
    f"{folder}/**" for folder in (*PACKAGES, "assets", "results")
]  # old files there are deleted
VARIABLES = [
    {
        "key": "TPAD_READ_ONLY",
        "value": "1",
        "description": "A Space loses stored data when it restarts, so verdicts are downloaded instead.",
    }
]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m app deploy", description="Deploy the app with a bundle to Hugging Face Spaces."
    )
    made.add_argument("space", metavar="OWNER/NAME", help="the Space; created if it does not exist")
    made.add_argument("--bundle", help="folder of a bundle (default: the demo shop)")
    made.add_argument(
        "--database",
        help="results database, a SQLite file (default: the demo shop's for its bundle, else none)",
    )
    made.add_argument("--private", action="store_true", help="create a private Space")
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="create the folder and list its content, but upload nothing",
    )
    made.add_argument(
        "--out",
        help="new folder for the Space (default: build/space in a dry run, else a temporary folder)",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Assemble a Space and upload it; returns 1 on failure."""
    options = parser().parse_args(arguments)
    try:
        check_name(options.space, "Space")
        with _place(options.out, options.dry_run) as folder:
            assemble(folder, options.space, options.bundle, options.database)
            print(summary(folder))
            if options.dry_run:
                print(
                    f"Nothing was uploaded; the content of the Space {options.space} is in {folder}"
                )
            else:
                print(f"The Space is at {upload(folder, options.space, options.private)}")
    except TpadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def assemble(
    folder: str | Path,
    space: str,
    bundle: str | Path | None = None,
    database: str | Path | None = None,
    *,
    root: Path = ROOT,
) -> None:
    """Create the folder of a Space, completely or not at all.

    Args:
        folder: a new or empty folder.
        space: "OWNER/NAME".
        bundle: folder of a bundle; the demo's by default.
        database: SQLite file of results; by default the demo's for its bundle, else none.
        root: the checkout.

    Raises:
        TpadError: the folder is not empty, or a part is missing or damaged.
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; choose a new folder with --out.")
    missing = [n for n in (*PACKAGES, *FILES, "README.md") if not (root / n).exists()]
    if missing:
        raise ConfigError(
            f"{root} has no {missing[0]}; run this from a checkout of the repository."
        )
    source = Path(bundle) if bundle else root / DEMO_BUNDLE
    facts = _bundle_facts(source)
    results = _database_of(source, database, root)
    if any(folder.is_relative_to((root / n).resolve()) for n in PACKAGES) or folder.is_relative_to(
        source.resolve()
    ):
        raise ConfigError(
            f"{folder} is inside a folder that is copied; choose another one with --out."
        )
    with replacing_folder(folder) as made:
        for name in FILES:
            shutil.copyfile(root / name, made / name)
        skipped = shutil.ignore_patterns(*LEFT_OUT)
        for name in PACKAGES:
            shutil.copytree(root / name, made / name, ignore=skipped)
        shutil.copytree(source, made / DEMO_BUNDLE, ignore=skipped)
        if results is not None:
            copy_database(results, made / DEMO_DATABASE)
        head = front_matter(root / "README.md")
        is_demo = source.resolve() == (root / DEMO_BUNDLE).resolve()
        if not is_demo:
            head["title"] = space.partition("/")[2]
            head["short_description"] = "What comes next? Recommendations by TPAD"
        head["sdk_version"] = pinned("gradio", made / "requirements.txt")
        check_card(head, made)
        name = "the demo shop" if is_demo else source.resolve().name
        (made / "README.md").write_text(card(head, name, facts, results is not None), "utf-8")


def copy_database(source: Path, target: Path) -> None:
    """Copy a results database into a single file.

    Another process may be writing: SQLite's backup includes the write-ahead log.

    Raises:
        DataError: it is not a results database.
    """
    from eval.database.connection import open_database

    opened = open_database(source, read_only=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with opened.engine.connect() as present, closing(sqlite3.connect(target)) as copy:
            present.connection.driver_connection.backup(copy)  # type: ignore[union-attr]
            copy.execute("PRAGMA journal_mode=DELETE")  # the copy may be on a read-only disk
            sound = copy.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise DataError(f"{source} cannot be copied: {error}.") from error
    finally:
        opened.close()
    if sound != "ok":
        raise DataError(f"{source} is damaged: {sound}.")


def summary(folder: Path) -> str:
    """The content of a Space's folder: a line for each part, the total, the large files."""
    return size_lines(folder, _part)


def _part(path: Path) -> str:
    return "/".join(path.parts[:2]) if path.parts[0] == "assets" else path.parts[0]


def upload(folder: Path, space: str, private: bool = False) -> str:
    """Create the Space if it does not exist, and upload the folder as one commit.

    Returns:
        The address of the Space.

    Raises:
        ConfigError: there is no token, or the hub is unreachable or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(space):
        made = api.create_repo(
            space,
            repo_type="space",
            space_sdk="gradio",
            private=private or None,
            exist_ok=True,
            space_variables=VARIABLES,
        )
        api.upload_folder(
            repo_id=space,
            folder_path=folder,
            repo_type="space",
            commit_message="Deploy the app",
            delete_patterns=MANAGED,
        )
    return str(made)


@contextmanager
def _place(named: str | None, dry_run: bool) -> Iterator[Path]:
    """The folder to assemble in."""
    if named:
        yield Path(named)
    elif dry_run:
        shutil.rmtree(BUILT, ignore_errors=True)
        yield BUILT
    else:
        with tempfile.TemporaryDirectory(prefix="tpad-space-") as temporary:
            yield Path(temporary) / "space"


def _bundle_facts(source: Path) -> dict[str, Any]:
    """The content of `bundle.json`; all files of the bundle are checked."""
    from tpad.bundle import Bundle

    if not source.is_dir():
        raise ConfigError(f"There is no folder {source}; name the folder of a bundle.")
    return Bundle.load(source, verify="full").info


def _database_of(source: Path, named: str | Path | None, root: Path) -> Path | None:
    if named is None:
        is_demo = source.resolve() == (root / DEMO_BUNDLE).resolve()
        found = root / DEMO_DATABASE
        return found if is_demo and found.is_file() else None
    name = str(named).removeprefix("sqlite:///")
    if "://" in name:
        raise ConfigError("The results of a Space are in a file; name a SQLite database.")
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"There is no database {path}; name a file that exists.")
    return path
