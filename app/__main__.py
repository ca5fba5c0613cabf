"""The command line of the app: `python -m app` opens a bundle in the browser.

`python -m app deploy OWNER/NAME` puts it on Hugging Face Spaces, see `app.deploy.spaces`.
"""

import logging
import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio import Blocks

    from tpad import Recommender
    from tpad.bundle import Bundle

if __package__ in (None, ""):  # started as `python app/__main__.py`, as Spaces does
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import app as _analytics_off  # noqa: F401  (before Gradio is imported)
from tpad import assets
from tpad.cli.shared import new_parser, require, run_program
from tpad.environment import flag, variable, whole_number
from tpad.errors import ConfigError, TpadError

READ_ONLY = "TPAD_READ_ONLY"
WARM_UP_AFTER = 5.0  # seconds; importing the language model would delay the first visitor's page

log = logging.getLogger("app")


def build_parser(arguments: Sequence[str] | None = None) -> ArgumentParser:
    """The parser of the app, without `deploy`.

    Raises:
        ConfigError: an environment variable is invalid, or packages of the extra `app` are missing.
    """
    require("app", "gradio", "plotly", "sqlalchemy", "alembic")
    parser = new_parser(
        "python -m app",
        "Open a bundle in the browser.",
        epilog="To put the app on Hugging Face Spaces, see `python -m app deploy --help`.",
    )
    _add_options(parser)
    parser.set_defaults(run=open_app)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app until it is stopped, or deploy it; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["deploy"]:
        from app.deploy.spaces import main as deploy

        return deploy(given[1:])
    return run_program(
        build_parser, given, log_level=logging.INFO, interrupted="interrupted; the app has stopped"
    )


def open_app(options: Namespace) -> None:
    """Serve the app until it is stopped.

    Raises:
        TpadError: the bundle, the database or the port cannot be used.
    """
    for name in ("GRADIO_NUM_PORTS", "GRADIO_NUM_WORKERS", "GRADIO_DEBUG"):
        whole_number(name, 0)  # Gradio would end in a traceback
    if options.mcp:
        require("mcp", "mcp")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    import tpad
    from app.shell.results import open_results
    from app.ui import build_app

    recommender = tpad.load(options.bundle, options.revision)
    database = _database(options.database, options.read_only, recommender.bundle)
    results = open_results(database, read_only=options.read_only)
    page = build_app(recommender, results)
    timer = threading.Timer(WARM_UP_AFTER, _warm_up, [recommender])
    timer.daemon = True
    timer.start()
    _serve(page, options)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--bundle",
        default=str(assets.DEMO_BUNDLE),
        help="folder or hub id of a bundle (default: the demo shop)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the hub id")
    parser.add_argument(
        "--database",
        default=variable("TPAD_DATABASE_URL") or None,
        help="results database of the dashboard: SQLite file or SQLAlchemy URL (default: "
        "TPAD_DATABASE_URL, else that of the demo shop)",
    )
    parser.add_argument(
        "--read-only",
        action="store_true",
        default=flag(READ_ONLY),
        help=f"store no verdicts; visitors download theirs (default: {READ_ONLY})",
    )
    parser.add_argument(
        "--host",
        default=variable("GRADIO_SERVER_NAME", "0.0.0.0" if variable("SPACE_ID") else "127.0.0.1"),
        help="address to listen on; 0.0.0.0 lets other computers connect (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=whole_number("GRADIO_SERVER_PORT", 7860, 65535),
        help="port to listen on; 0 takes any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        help='also serve the API as tools of an MCP server; needs pip install "tpad[mcp]"',
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def _serve(page: "Blocks", options: Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        ConfigError: the port is taken.
    """
    from app.ui import launch_options

    try:
        page.launch(
            server_name=options.host,
            server_port=options.port or None,
            inbrowser=options.open,
            mcp_server=options.mcp or None,
            prevent_thread_lock=True,
            **launch_options(page),
        )
    except OSError as error:
        raise ConfigError(f"{error}; choose another --port.") from error
    try:
        page.server.thread.join()
    finally:
        page.close(verbose=False)


def _warm_up(recommender: "Recommender") -> None:
    """Load the encoder while the visitor looks around, so that a first upload is quick."""
    from tpad import NewItem

    try:
        recommender.encode([NewItem(title="warm up")])
    except TpadError as error:
        log.warning("Pictures cannot be uploaded: %s", error)


def _database(named: str | None, read_only: bool, bundle: "Bundle") -> str | Path | None:
    """The results database to open: the named one, else that of the demo shop.

    The demo's database is used if it has runs of the bundle's own recommenders. Unless it is only
    read, a working copy is opened in its place.
    """
    if named or not assets.DEMO_DATABASE.exists():
        return named
    from app.shell.results import Results

    shipped = Results(assets.DEMO_DATABASE, read_only=True)
    matches = shipped.of_bundle(bundle).measured()
    shipped.store.close()
    if not matches:
        return None
    if read_only:
        return assets.DEMO_DATABASE
    from app.shell.working_copy import working_copy

    copy = assets.working_copy_path()
    copy.parent.mkdir(parents=True, exist_ok=True)
    return working_copy(assets.DEMO_DATABASE, copy)


if __name__ == "__main__":
    sys.exit(main())
