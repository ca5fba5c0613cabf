"""Downloads the pictures of an item table into a folder, with a copy of the table that names them."""

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
from tpad.fetching.pictures import PictureStore
from tpad.fetching.report import ITEMS, FetchReport, write_failures, write_items, write_summary
from tpad.fetching.results import FetchResult, Kind
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
    """Download the pictures of an item table; a run that was stopped can be resumed.

    Args:
        items: CSV or Parquet table with `item_id` and the addresses of the pictures.
        out: folder for `images/`, `items.parquet`, `failures.csv` and `images.json`; created if
            missing.
        config: limits, and how pictures are stored.
        column: holds the addresses; by default `image_url` or, if the table has none, `image`. In a
            row where it is empty, `image` is used. Of a list of addresses, the first is used; see
            `first_address`. A row whose `image` is a local path stays as it is.
        retry_failed: also retry addresses that failed permanently.
        unread: counts rows of the table that cannot be read.
        progress: called with the number of pictures, of failures, and of all addresses.
        make_downloader: makes the object that sends the requests.
        **fetcher_options: `clock` and `sleep` of the `Fetcher`.

    Returns:
        Counts of the run.

    Raises:
        ConfigError: a setting is invalid, or another run uses the folder.
        DataError: the table is invalid, or the folder cannot be written.
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
            f"{out} cannot be written ({error.strerror or error}); fix this, and run the same command "
            "again to resume."
        ) from error


class _Run:
    """One run; the folder is locked."""

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
        """Download the missing pictures."""
        different = addresses[addresses != ""].drop_duplicates()
        self._total = len(different)
        urls = (url for url in different if self._is_due(url, retry_failed))

        async def run() -> None:
            workers = min(_DECODERS, os.cpu_count() or 1)
            with ThreadPoolExecutor(workers, "decode") as decoders:
                async with downloader:
                    fetcher = Fetcher(
                        self._config, downloader, self._store, decoders, self._on_results, **options
                    )
                    await fetcher.run(urls)

        with warnings.catch_warnings():  # of Pillow, about pictures that `load_image` checks itself
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _run_coroutine(run())

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
        if known.kind is Kind.OK:
            due = not self._store.holds(known.picture)
        else:
            due = known.kind is not Kind.PERMANENT or retry_failed
        if not due:
            self._report.known += 1
            self._count(known)
        return due

    def _on_results(self, results: list[FetchResult]) -> None:
        self._journal.put(results)
        for result in results:
            self._report.fetched += result.kind is Kind.OK
            self._count(result)

    def _count(self, result: FetchResult) -> None:
        self._ok += result.kind is Kind.OK
        self._failed += result.kind is not Kind.OK
        self._progress(self._ok, self._failed, self._total)

    def _picture(self, url: str) -> str:
        result = self._journal.get(url)
        return result.picture if result else ""

    def _failures(self, ids: pd.Series, addresses: pd.Series) -> Iterator[tuple[str, FetchResult]]:
        for item, url in zip(ids, addresses, strict=True):
            result = self._journal.get(url) if url else None
            if result is not None and result.kind is not Kind.OK:
                self._report.failed[result.reason] += 1
                self._report.kinds[result.kind] += 1
                yield item, result


def _addresses(frame: pd.DataFrame, column: str | None, name: str) -> pd.Series:
    """(n,) str: the address of each row's picture; "" if there is none, or a local path."""
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
    """The table with the first address of each row that lists several."""
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


def _run_coroutine(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, also inside a running event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as beside:
        beside.submit(asyncio.run, work).result()
