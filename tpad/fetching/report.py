"""What a fetch leaves beside the pictures: the table with their paths, and what failed."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from tpad.fetching.config import FetchConfig
from tpad.fetching.outcomes import Kind, Outcome
from tpad.io.csv_files import write_rows
from tpad.io.files import replacing
from tpad.version import __version__

ITEMS, FAILURES, SUMMARY = "items.parquet", "failures.csv", "images.json"
FAILURE_COLUMNS = ("item_id", "url", "reason", "status", "attempts", "kind", "detail")


@dataclass
class FetchReport:
    """Counts of one run. Rows are those of the item table.

    Attributes:
        rows: all.
        with_picture: those that have a fetched picture now.
        local: those whose picture was a path already.
        local_missing: of these, paths that lead to no file in the folder.
        without_address: those with neither an address nor a path.
        fetched: addresses fetched in this run.
        known: addresses that an earlier run settled.
        files: different pictures that the table names.
        failed: rows by reason.
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
            f"{self.with_picture:,} of {self.rows:,} items have a fetched picture "
            f"({self.files:,} different ones; {self.fetched:,} fetched now)."
        ]
        if self.local:
            lines.append(f"{self.local:>8,}  named a local picture and were left as they are")
        if self.local_missing:
            lines.append(
                f"{self.local_missing:>8,}  of these name no file in this folder: copy the pictures "
                "there"
            )
        if self.without_address:
            lines.append(f"{self.without_address:>8,}  have no picture's address")
        lines += [f"{count:>8,}  failed: {reason}" for reason, count in self.failed.most_common()]
        for kind, sentence in (
            (Kind.PASSING, "{:,} may pass: the same command tries them again."),
            (Kind.LASTING, "{:,} will stay as they are: only --retry-failed tries them again."),
            (
                Kind.REFUSED,
                "{:,} were not asked for: correct them, or see --allow-private, --ports.",
            ),
        ):
            if self.kinds[kind]:
                lines.append(sentence.format(self.kinds[kind]))
        return "\n".join(lines)


def write_items(frame: pd.DataFrame, folder: Path) -> None:
    """Write `items.parquet`."""
    with replacing(folder / ITEMS) as part:
        frame.to_parquet(part, index=False)


def write_failures(failures: Iterator[tuple[str, Outcome]], folder: Path) -> None:
    """Write `failures.csv`, one line a row of the item table.

    Args:
        failures: item_id and outcome, read one by one.
        folder: where to.
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
