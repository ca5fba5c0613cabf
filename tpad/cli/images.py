"""`python -m tpad images`: download the pictures of an item table from their addresses."""

import re
import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--items", type=Path, required=True, help="item table (CSV or Parquet)")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for images/, items.parquet and the report"
    )
    parser.add_argument(
        "--column",
        help="column of the addresses; of a list of addresses, the first is used (default: "
        "image_url, else image)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=512,
        metavar="PIXELS",
        help="longest side of a saved picture (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        default="webp",
        help="file format of saved pictures: webp, jpg or png (default: %(default)s)",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="also retry pictures that failed permanently, for example with HTTP 404",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the pauses between attempts (default: %(default)s)",
    )
    _add_limits(parser.add_argument_group("limits"))
    allowed = parser.add_argument_group("exceptions from the security rules")
    allowed.add_argument(
        "--allow-private",
        action="store_true",
        help="also download from loopback addresses and private networks",
    )
    allowed.add_argument(
        "--ports",
        type=int,
        nargs="+",
        default=[],
        metavar="PORT",
        help="also download from these ports; 80 and 443 are always allowed",
    )


def _add_limits(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--concurrency", type=int, default=16, help="simultaneous requests (default: %(default)s)"
    )
    group.add_argument(
        "--per-host",
        type=int,
        default=4,
        help="simultaneous requests to one host (default: %(default)s)",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="time limit for one whole response (default: 20)",
    )
    group.add_argument(
        "--retries",
        type=int,
        default=4,
        help="further attempts after a temporary failure (default: %(default)s)",
    )
    group.add_argument(
        "--max-bytes",
        type=_bytes,
        default="20MB",
        metavar="SIZE",
        help="longest response to accept (default: 20MB)",
    )
    group.add_argument(
        "--host-failures",
        type=int,
        default=20,
        metavar="N",
        help="skip the rest of a host after N failures in a row (default: %(default)s)",
    )


def run(args: Namespace) -> None:
    """Run the command.

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
    findings = ReportBuilder()
    with _term_as_interrupt(), tqdm(desc="downloading", unit="picture", delay=0.5) as bar:

        def show(ok: int, failed: int, total: int) -> None:
            bar.total = total
            left = total - ok - failed
            bar.set_postfix_str(f"{ok:,} ok, {failed:,} failed, {left:,} remaining", refresh=False)
            bar.update(ok + failed - bar.n)

        report = fetch_pictures(
            args.items, args.out, config, args.column, args.retry_failed, findings, show
        )
    if (table := findings.build()).findings:
        print(table)
    print(report)
    if report.failed:
        print(f"Failed pictures are listed in {args.out / FAILURES}")
    print(f"wrote {args.out / ITEMS}; train on it with `python -m tpad train --items …`")


@contextmanager
def _term_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the run in the same way as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a background job of a shell
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bytes(text: str) -> int:
    """Parse a number of bytes, such as 20MB, 500kB or 1000."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip().lower())
    if not found:
        raise ArgumentTypeError(f"{text!r} is not a size; write it as in 20MB")
    return int(float(found[1]) * _UNITS[found[2]])
