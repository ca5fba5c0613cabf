"""Opens a bundle in the browser: `python -m app [--bundle PATH] [--database DB] [--port N]`.

`python -m app deploy OWNER/NAME` puts it on Hugging Face Spaces, see `app/deploy/spaces.py`.
"""

import argparse
import logging
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tpad.data.dataset import Dataset

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):  # started as `python app/__main__.py`, as Spaces does
    sys.path[0] = str(ROOT)

import app as _analytics_off  # noqa: E402, F401  (before Gradio is imported)
from tpad.environment import flag, variable, whole_number  # noqa: E402
from tpad.errors import ConfigError  # noqa: E402

DEFAULT_BUNDLE = ROOT / "assets" / "demo"
DEFAULT_DATABASE = ROOT / "results" / "demo.db"
WORKING_COPY = ROOT / "results" / "app.db"
READ_ONLY = "TPAD_READ_ONLY"
WARM_UP_AFTER = 5.0  # seconds; importing the language model would hold up the first visitor's page


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m app",
        description="Open a bundle in the browser.",
        epilog="`python -m app deploy --help`: put it on Hugging Face Spaces.",
    )
    made.add_argument(
        "--bundle", default=str(DEFAULT_BUNDLE), help="folder or hub id of a bundle (the demo shop)"
    )
    made.add_argument("--revision", help="of BUNDLE, where that is a hub id")
    made.add_argument(
        "--database",
        default=variable("TPAD_DATABASE_URL") or None,
        help="results database of the dashboard: SQLite file or SQLAlchemy URL (TPAD_DATABASE_URL, "
        "else that of the demo shop)",
    )
    made.add_argument(
        "--read-only",
        action="store_true",
        default=flag(READ_ONLY),
        help=f"store no verdicts, visitors download theirs ({READ_ONLY}=1)",
    )
    made.add_argument(
        "--host",
        default=variable("GRADIO_SERVER_NAME", "0.0.0.0" if variable("SPACE_ID") else "127.0.0.1"),
        help="address to listen on; 0.0.0.0 lets other computers in (%(default)s)",
    )
    made.add_argument(
        "--port",
        type=int,
        default=whole_number("GRADIO_SERVER_PORT", 7860, 65535),
        help="port to listen on; 0 takes any that is free (%(default)s)",
    )
    made.add_argument(
        "--mcp", action="store_true", help="serve the API as tools of an MCP server, too"
    )
    made.add_argument("--open", action="store_true", help="open the page in a browser")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the app and stay until it is stopped; 1 if the bundle cannot be opened."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["deploy"]:
        from app.deploy.spaces import main as deploy

        return deploy(arguments[1:])
    try:
        options = parser().parse_args(arguments)
        for name in ("GRADIO_NUM_PORTS", "GRADIO_NUM_WORKERS", "GRADIO_DEBUG"):
            whole_number(name, 0)  # Gradio would end in a traceback
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.mcp and find_spec("mcp") is None:
        print('error: --mcp needs more packages: pip install -e ".[mcp]"', file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    import tpad
    from app.shell.results import open_results
    from app.ui import build_app, launch_options
    from tpad.errors import TpadError
    from tpad.items import NewItem

    try:
        recommender = tpad.load(options.bundle, options.revision)
        database = _database(options.database, options.read_only, recommender.bundle.dataset)
        results = open_results(database, read_only=options.read_only)
        page = build_app(recommender, results)
    except TpadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    def warm_up() -> None:
        """Load the encoder while the visitor looks around, so that a first upload is quick."""
        try:
            recommender.encode([NewItem(title="warm up")])
        except TpadError as error:
            logging.getLogger("app").warning("Pictures cannot be uploaded: %s", error)

    timer = threading.Timer(WARM_UP_AFTER, warm_up)
    timer.daemon = True
    timer.start()
    try:
        page.launch(
            server_name=options.host,
            server_port=options.port or None,
            inbrowser=options.open,
            mcp_server=options.mcp or None,
            **launch_options(page),
        )
    except OSError as error:
        print(f"error: {error}; choose another --port.", file=sys.stderr)
        return 1
    return 0


def _database(named: str | None, read_only: bool, dataset: "Dataset") -> str | Path | None:
    """The database that is named, else the demo shop's if it has runs on the bundle's dataset: to be
    read only itself, to be written to a copy of it."""
    if named or not DEFAULT_DATABASE.exists():
        return named
    from app.shell.results import Results

    shipped = Results(DEFAULT_DATABASE, read_only=True)
    covers = bool(shipped.of_dataset(dataset).case_sets())
    shipped.store.close()
    if not covers:
        return None
    if read_only:
        return DEFAULT_DATABASE
    from app.shell.working_copy import working_copy

    return working_copy(DEFAULT_DATABASE, WORKING_COPY)


if __name__ == "__main__":
    sys.exit(main())
