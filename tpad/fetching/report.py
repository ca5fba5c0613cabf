"""The files beside the pictures: the item table with their paths, the failures, and a summary."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from tpad.fetching.config import FetchConfig
from tpad.fetching.results import FetchResult, Kind
from tpad.io.csv_files import write_rows
from tpad.io.files import replacing
from tpad.version import __version__

ITEMS, FAILURES, SUMMARY = "items.parquet", "failures.csv", "images.json"
FAILURE_COLUMNS = ("item_id", "url", "reason", "status", "attempts", "kind", "detail")


@dataclass
class FetchReport:
    """Counts of one run.

    Attributes:
        rows: rows of the item table.
        with_picture: rows with a downloaded picture.
        local: rows whose picture is a local path.
        local_missing: of these, paths without a file in the folder.
        without_address: rows with neither an address nor a path.
        fetched: addresses downloaded in this run.
        known: addresses with a result of an earlier run.
        files: distinct pictures of the table.
        failed: rows by reason of the failure.
        kinds: rows by kind of failure.
    """

    rows: int = 0
    with_picture: int = 0
    local: int = 0
    local_missing: int = 0
    without_address: int = 0
    fetched: int = 0
    known: int = 0
    files: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [
            f"{self.with_picture:,} of {self.rows:,} items have a downloaded picture "
            f"({self.files:,} distinct; {self.fetched:,} downloaded in this run)."
        ]
        if self.local:
            lines.append(f"{self.local:>8,}  have a local picture and are unchanged")
        if self.local_missing:
            lines.append(
                f"{self.local_missing:>8,}  of these have no file in this folder: copy the pictures "
                "there"
            )
        if self.without_address:
            lines.append(f"{self.without_address:>8,}  have no picture address")
        lines += [f"{count:>8,}  failed: {reason}" for reason, count in self.failed.most_common()]
        for kind, sentence in (
            (Kind.TEMPORARY, "{:,} failures are temporary: the same command retries them."),
            (Kind.PERMANENT, "{:,} failures are permanent: only --retry-failed retries them."),
            (
                Kind.REFUSED,
                "{:,} addresses were refused: correct them, or see --allow-private and --ports.",
            ),
        ):
            if self.kinds[kind]:
                lines.append(sentence.format(self.kinds[kind]))
        return "\n".join(lines)


def write_items(frame: pd.DataFrame, folder: Path) -> None:
    """Write `items.parquet`."""
    with replacing(folder / ITEMS) as part:
        frame.to_parquet(part, index=False)


def write_failures(failures: Iterator[tuple[str, FetchResult]], folder: Path) -> None:
    """Write `failures.csv`, one line a row of the item table.

    Args:
        failures: item_id and result, read one by one.
        folder: that the file is written to.
    """
    with (
        replacing(folder / FAILURES) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = (
            (item, o.url, o.reason, o.status or "", o.attempts, o.kind.value, o.detail)
            for item, o in failures
        )
        write_rows(file, FAILURE_COLUMNS, rows)


def write_summary(report: FetchReport, config: FetchConfig, folder: Path) -> None:
    """Write `images.json`: counts, settings and version."""
    values = {"tpad": __version__, "settings": asdict(config), **vars(report)}
    with replacing(folder / SUMMARY) as part:
        part.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
