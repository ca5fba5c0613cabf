"""Fetches the pictures that an item table names, into a folder with a table of its own."""

import asyncio
import os
import re
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from tpad.data.addresses import first_address
from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.images import resolve_image
from tpad.data.report import ReportBuilder
from tpad.data.tables import read_table, require_columns, to_text
from tpad.errors import ConfigError, DataError, ImageError
from tpad.fetching.config import FetchConfig
from tpad.fetching.downloading import Downloader
from tpad.fetching.fetcher import Fetcher
from tpad.fetching.journal import Journal
from tpad.fetching.outcomes import Kind, Outcome
from tpad.fetching.pictures import PictureStore
from tpad.fetching.report import ITEMS, FetchReport, write_failures, write_items, write_summary
from tpad.io.locking import only_run

IMAGE_URL = "image_url"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")  # one letter and a colon: a Windows path
_DECODERS = 4  # threads, at most

Progress = Callable[[int, int, int], None]


def fetch_pictures(
    items: str | Path,
    out: str | Path,
    config: FetchConfig | None = None,
    column: str | None = None,
    retry_failed: bool = False,
    unread: ReportBuilder | None = None,
    progress: Progress = lambda ok, failed, total: None,
    make_downloader: Callable[[FetchConfig], Downloader] = Downloader,
    **fetcher_options: Callable,
) -> FetchReport:
    """Fetch the pictures of a table; a run that was stopped goes on where it was.

    Args:
        items: CSV or Parquet table with `item_id` and the pictures' addresses.
        out: folder for `images/`, `items.parquet`, `failures.csv` and `images.json`; made if missing.
        config: limits, and how pictures are kept.
        column: holds the addresses; by default `image_url`, or `image` where that is missing. Where
            it is empty, `image` counts. Of a list of pictures the first counts, see
            `first_address`. A row whose `image` is a path already is left as it is.
        retry_failed: also try addresses whose failure was lasting.
        unread: counts rows of the table that cannot be read.
        progress: told of the addresses that have a picture, those that failed, and all.
        make_downloader: makes what sends the requests.
        **fetcher_options: `clock` and `sleep` of the `Fetcher`.

    Returns:
        Counts.

    Raises:
        ConfigError: a setting cannot be, or another run uses the folder.
        DataError: the table cannot be used, or the folder not be written.
    """
    config, items, out = config or FetchConfig(), Path(items), Path(out)
    if items.resolve() == (out / ITEMS).resolve():
        raise ConfigError(f"{out / ITEMS} would be overwritten; give another folder.")
    frame = read_table(items, ReportBuilder() if unread is None else unread)
    addresses = _addresses(_single_addresses(frame, column), column, items.name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with only_run(out), Journal(out, config) as journal:
            run = _Run(out, config, journal, progress)
            run.fetch(addresses, retry_failed, make_downloader(config), fetcher_options)
            return run.write(frame, addresses)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error.strerror or error}); once it can be, the same command "
            "goes on where this one stopped."
        ) from error


class _Run:
    """One run on one folder, which is locked."""

    def __init__(
        self, folder: Path, config: FetchConfig, journal: Journal, progress: Progress
    ) -> None:
        self._folder, self._config, self._journal = folder, config, journal
        self._store = PictureStore(folder, config.size, config.format)
        self._progress = progress
        self._ok = self._failed = self._total = 0
        self._report = FetchReport()

    def fetch(
        self, addresses: pd.Series, retry_failed: bool, downloader: Downloader, options: dict
    ) -> None:
        """Fetch what is missing."""
        different = addresses[addresses != ""].drop_duplicates()
        self._total = len(different)
        urls = (url for url in different if self._is_due(url, retry_failed))

        async def run() -> None:
            workers = min(_DECODERS, os.cpu_count() or 1)
            with ThreadPoolExecutor(workers, "decode") as decoders:
                async with downloader:
                    fetcher = Fetcher(
                        self._config, downloader, self._store, decoders, self._settled, **options
                    )
                    await fetcher.run(urls)

        with warnings.catch_warnings():  # Pillow's, of pictures that `load_image` judges itself
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _finish(run())

    def write(self, frame: pd.DataFrame, addresses: pd.Series) -> FetchReport:
        """Write the table and the reports."""
        report, local = self._report, pd.Series("", frame.index, "str")
        if Columns.IMAGE in frame.columns:
            image = _single_addresses(frame)[Columns.IMAGE]
            local = to_text(image).where(addresses == "", "")
        pictures = [self._picture(url) if url else "" for url in addresses]
        fetched = pd.Series(pictures, frame.index, "str")
        report.rows, report.with_picture = len(frame), int((fetched != "").sum())
        report.files = fetched[fetched != ""].nunique()
        report.local = int((local != "").sum())
        report.local_missing = sum(not _is_file(self._folder, name) for name in local if name)
        report.without_address = int(((addresses == "") & (local == "")).sum())
        write_failures(self._failures(to_ids(frame[Columns.ITEM_ID]), addresses), self._folder)
        write_items(
            frame.assign(**{Columns.IMAGE: fetched.where(local == "", local)}), self._folder
        )
        write_summary(report, self._config, self._folder)
        return report

    def _is_due(self, url: str, retry_failed: bool) -> bool:
        known = self._journal.get(url)
        if known is None:
            return True
        if known.kind is Kind.KEPT:
            due = not self._store.holds(known.picture)
        else:
            due = known.kind is not Kind.LASTING or retry_failed
        if not due:
            self._report.known += 1
            self._count(known)
        return due

    def _settled(self, outcomes: list[Outcome]) -> None:
        self._journal.put(outcomes)
        for outcome in outcomes:
            self._report.fetched += outcome.kind is Kind.KEPT
            self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        self._ok += outcome.kind is Kind.KEPT
        self._failed += outcome.kind is not Kind.KEPT
        self._progress(self._ok, self._failed, self._total)

    def _picture(self, url: str) -> str:
        outcome = self._journal.get(url)
        return outcome.picture if outcome else ""

    def _failures(self, ids: pd.Series, addresses: pd.Series) -> Iterator[tuple[str, Outcome]]:
        for item, url in zip(ids, addresses, strict=True):
            outcome = self._journal.get(url) if url else None
            if outcome is not None and outcome.kind is not Kind.KEPT:
                self._report.failed[outcome.reason] += 1
                self._report.kinds[outcome.kind] += 1
                yield item, outcome


def _addresses(frame: pd.DataFrame, column: str | None, name: str) -> pd.Series:
    """(n,) str: where each row's picture is to be fetched from; "" for none or a local path."""
    if column is None:
        column = IMAGE_URL if IMAGE_URL in frame.columns else Columns.IMAGE
    require_columns(frame, [Columns.ITEM_ID, column], name)
    wanted = to_text(frame[column], name)
    if Columns.IMAGE in frame.columns:
        image = to_text(frame[Columns.IMAGE], name)
        is_address = image.str.match(_ADDRESS)
        wanted = wanted.where(wanted != "", image).where((image == "") | is_address, "")
    return wanted


def _single_addresses(frame: pd.DataFrame, column: str | None = None) -> pd.DataFrame:
    """The table with one address, the first, where a row lists several pictures."""
    names = {column or IMAGE_URL, IMAGE_URL, Columns.IMAGE}.intersection(frame.columns)
    return frame.assign(
        **{name: frame[name].map(first_address, na_action="ignore") for name in names}
    )


def _is_file(folder: Path, relative: str) -> bool:
    try:
        resolve_image(folder, relative)
    except ImageError:
        return False
    return True


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Runs asynchronous work to its end, also where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as beside:
        beside.submit(asyncio.run, work).result()
