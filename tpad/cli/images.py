"""`python -m tpad images`: fetches the pictures of an item table from their addresses."""

import re
import signal
import threading
from argparse import ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def add_images_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("images", help="fetch item pictures from their addresses")
    parser.add_argument("--items", type=Path, required=True, help="item table (CSV or Parquet)")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for images/, items.parquet and the report"
    )
    parser.add_argument(
        "--column",
        help="holds the addresses; of a list of pictures the first is "
        "fetched (image_url, or else image)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=512,
        metavar="PIXELS",
        help="longest side of a kept picture (512)",
    )
    parser.add_argument("--format", default="webp", help="of the kept files: webp, jpg, png (webp)")
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="also try again what failed for good, such as HTTP 404",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the pauses between attempts (0)")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--concurrency", type=int, default=16, help="requests at once (16)")
    limits.add_argument("--per-host", type=int, default=4, help="and to one host (4)")
    limits.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="for one whole answer (20)"
    )
    limits.add_argument(
        "--retries", type=int, default=4, help="further attempts where a failure may pass (4)"
    )
    limits.add_argument(
        "--max-bytes",
        type=_bytes,
        default="20MB",
        metavar="SIZE",
        help="a longer answer is cut off (20MB)",
    )
    limits.add_argument(
        "--host-failures",
        type=int,
        default=20,
        metavar="N",
        help="in a row, and the host is given up for this run (20)",
    )
    allowed = parser.add_argument_group("what is refused unless allowed")
    allowed.add_argument(
        "--allow-private",
        action="store_true",
        help="fetch from loopback and private networks as well",
    )
    allowed.add_argument(
        "--ports",
        type=int,
        nargs="+",
        default=[],
        metavar="PORT",
        help="fetch from these ports besides 80 and 443",
    )
    parser.set_defaults(run=run_images)


def run_images(args: Namespace) -> None:
    """Runs the command.

    Raises:
        TpadError: a setting, the table or the folder cannot be used.
    """
    from tpad.data.report import ReportBuilder
    from tpad.fetching import FetchConfig, fetch_pictures
    from tpad.fetching.report import FAILURES, ITEMS

    config = FetchConfig(
        size=args.size,
        format=args.format,
        concurrency=args.concurrency,
        per_host=args.per_host,
        timeout=args.timeout,
        retries=args.retries,
        max_bytes=args.max_bytes,
        allow_private=args.allow_private,
        ports=tuple(args.ports),
        host_failures=args.host_failures,
        seed=args.seed,
    )
    unread = ReportBuilder()
    with _term_as_interrupt(), tqdm(desc="fetching", unit="picture", delay=0.5) as bar:

        def show(ok: int, failed: int, total: int) -> None:
            bar.total = total
            left = total - ok - failed
            bar.set_postfix_str(f"{ok:,} ok, {failed:,} failed, {left:,} remaining", refresh=False)
            bar.update(ok + failed - bar.n)

        report = fetch_pictures(
            args.items, args.out, config, args.column, args.retry_failed, unread, show
        )
    if (table := unread.build()).findings:
        print(table)
    print(report)
    if report.failed:
        print(f"Each of them: {args.out / FAILURES}")
    print(f"wrote {args.out / ITEMS}; train on it with `python -m tpad train --items …`")


@contextmanager
def _term_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl+C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bytes(text: str) -> int:
    """A number of bytes, such as 20MB, 500kB or 1000."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip().lower())
    if not found:
        raise ArgumentTypeError(f"{text!r} is no size such as 20MB")
    return int(float(found[1]) * _UNITS[found[2]])
