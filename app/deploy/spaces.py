"""Deploys the app to Hugging Face Spaces: `python -m app deploy OWNER/NAME`.

A Space is a git repository that Hugging Face builds and runs. Ours holds the packages, one bundle
and, if there is one, the results database, where `app/__main__.py` looks for them by default (see
`tpad.assets`), whatever their names were.
"""

import shutil
import sqlite3
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app.deploy.card import card, check_card, front_matter, pinned
from tpad import assets
from tpad.bundle.hub import check_name, hub_errors, size_lines
from tpad.cli.shared import new_parser, run_program
from tpad.errors import ConfigError, DataError
from tpad.io.files import replacing_folder

ROOT = assets.ROOT
DEMO_BUNDLE, DEMO_DATABASE = assets.DEMO_BUNDLE_PATH, assets.DEMO_DATABASE_PATH
PACKAGES = ("app", "eval", "tpad")
FILES = ("requirements.txt", "LICENSE")
BUILT = ROOT / "build" / "space"  # default folder of --dry-run
LEFT_OUT = ("__pycache__", "*.pyc", ".*", "*.egg-info", "*~")
MANAGED = [f"{folder}/**" for folder in (*PACKAGES, "assets")]  # old files there are deleted
VARIABLES = [
    {
        "key": "TPAD_READ_ONLY",
        "value": "1",
        "description": "A Space loses stored data when it restarts, so verdicts are downloaded instead.",
    }
]


def build_parser(arguments: Sequence[str] | None = None) -> ArgumentParser:
    """The parser of `python -m app deploy`."""
    parser = new_parser("python -m app deploy", "Put the app with a bundle on Hugging Face Spaces.")
    parser.add_argument(
        "space", metavar="OWNER/NAME", help="name of the Space; a missing one is created"
    )
    parser.add_argument("--bundle", help="folder of a bundle (default: the demo shop)")
    parser.add_argument(
        "--database",
        help="results database, a SQLite file (default: that of the demo shop with its bundle, "
        "else none)",
    )
    parser.add_argument("--private", action="store_true", help="make a new Space private")
    parser.add_argument(
        "--dry-run", action="store_true", help="write the folder and list it; upload nothing"
    )
    parser.add_argument(
        "--out",
        help="new folder for the Space (default: build/space in a dry run, else a temporary one)",
    )
    parser.set_defaults(run=deploy)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Assemble a Space, upload it, and return the exit code."""
    return run_program(build_parser, arguments)


def deploy(options: Namespace) -> None:
    """Assemble a Space and upload it.

    Raises:
        TpadError: the folder cannot be assembled, or the Hub refuses it.
    """
    check_name(options.space, "Space")
    with _place(options.out, options.dry_run) as folder:
        assemble(folder, options.space, options.bundle, options.database)
        print(summary(folder))
        if options.dry_run:
            print(f"Nothing was uploaded; the Space {options.space} would be {folder}")
        else:
            print(f"The Space is at {upload(folder, options.space, options.private)}")


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
