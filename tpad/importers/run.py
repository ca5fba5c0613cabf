"""Runs an import: reads the files, forms sessions, filters, and writes the tables.

There are four stages. `items` and `clicks` read the files batch by batch into Arrow files, in which the
clicks are partitioned by their owner; `sessions` sorts each part and forms sessions; `write` filters
rare items and writes the tables. Memory holds one part and the ids of the items. The state is stored
after each Arrow file, so that a killed import resumes there; the last stage is short and starts over.
The tables appear atomically.
"""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from tpad.data.columns import Columns
from tpad.errors import ConfigError, DataError, TpadError
from tpad.importers.checkpoint import (
    REPORT,
    Checkpoint,
    file_identity,
    finished_report,
    remove_left_over,
)
from tpad.importers.counts import RowCounts
from tpad.importers.formats import FORMATS, WITH_COLUMNS
from tpad.importers.pictures import Pictures, pictures_in
from tpad.importers.sessions import NUMBER, drop_items, drop_short, form_sessions
from tpad.importers.settings import ImportSettings
from tpad.importers.source import CATEGORY, ITEM, ITEM_FIELDS, OWNER, Reader, Source, is_packed
from tpad.importers.spill import Spill
from tpad.importers.table_writers import ItemsWriter, TableWriter, count_ids
from tpad.version import __version__

CHUNK_ROWS, CHUNK_BYTES = 400_000, 64 << 20  # limits of an Arrow file
PART_BYTES = 16 << 20  # of the input; compressed files count sixfold
MAX_PARTS = 1024
ITEMS, INTERACTIONS = "items.parquet", "interactions.parquet"


def import_tables(
    form: str,
    files: list[Path],
    out: Path,
    settings: ImportSettings | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write `items.parquet`, `interactions.parquet` and `import.json` into a new folder.

    Args:
        form: one of `FORMATS`.
        files: files of the dataset; their content decides which are interactions and which items.
        out: the folder; it must be new or empty, or hold the same import.
        settings: by default `ImportSettings()`.
        say: called with messages about the progress.

    Returns:
        The content of `import.json`: settings, and rows read, kept and dropped by reason.

    Raises:
        TpadError: the files or settings are invalid, or no interaction is left; then no table is
            written.
    """
    settings = settings or ImportSettings()
    files = [Path(file) for file in files]
    for file in files:
        if files.count(file) > 1:
            raise ConfigError(f"{file} is given twice; give each file once.")
    source = FORMATS[form].open(files, settings)
    rule = source.rule(settings.sessions)
    _check_settings(form, source, settings)
    pictures = pictures_in(Path(settings.images)) if settings.images else {}
    key = {
        "tpad": __version__,
        "format": form,
        "settings": {**settings.as_dict(), "sessions": rule},
        "files": [file_identity(reader.path) for reader in (*source.items, *source.clicks)],
        "images": file_identity(Path(settings.images)) if settings.images else None,
    }
    out = Path(out)
    stored = finished_report(out, key)
    if stored is not None:
        remove_left_over(out)
        say(f"{out} already holds this import")
        return stored
    try:
        return _Import(source, rule, out, settings, key, pictures, say).run()
    except OSError as error:
        raise TpadError(
            f"{error.filename or out} cannot be written ({error.strerror or error}); free some "
            "space or choose another --out, and run the same command again."
        ) from error


def _check_settings(form: str, source: Source, settings: ImportSettings) -> None:
    """Check the settings against the files.

    Raises:
        DataError: there is no file of interactions.
        ConfigError: a setting does not fit the files.
    """
    if not source.clicks:
        raise DataError("None of the files contains interactions; give one that does.")
    if settings.splits and len(settings.splits) != len(source.clicks):
        raise ConfigError(
            f"--splits names {len(settings.splits)} splits for {len(source.clicks)} interaction "
            "files; name one for each file, in the same order."
        )
    if settings.min_rating is not None and not source.is_ratings:
        raise ConfigError(
            "--min-rating needs ratings, which these files do not have; leave it out."
        )
    if settings.columns and form not in WITH_COLUMNS:
        raise ConfigError(
            f"--column works with {' and '.join(WITH_COLUMNS)}; {form} has fixed column names."
        )
    if settings.items == "known" and not source.items:
        raise ConfigError("--items known needs a file of items; give one, or leave it out.")


class _Import:
    """One import, from its checkpoint to the tables."""

    def __init__(
        self,
        source: Source,
        rule: str,
        out: Path,
        settings: ImportSettings,
        key: dict[str, Any],
        pictures: dict[str, Path],
        say: Callable[[str], None],
    ) -> None:
        self.source, self.rule, self.out, self.settings = source, rule, out, settings
        self.say, self.key, self.pictures = say, key, pictures
        self.checkpoint = Checkpoint(out, key)
        self.items = Spill(self.checkpoint.folder / "items")
        self.clicks = Spill(self.checkpoint.folder / "clicks", _parts(source.clicks))
        self.sessions = Spill(self.checkpoint.folder / "sessions")

    def run(self) -> dict[str, Any]:
        if self.checkpoint.resumed:
            self.say(f"resuming from {self.checkpoint.folder}")
        try:
            if self.checkpoint.stage == "items":
                self._read(self.source.items, self.items, self.checkpoint.items)
                self.checkpoint.next_stage("clicks")
            if self.checkpoint.stage == "clicks":
                self._read(self.source.clicks, self.clicks, self.checkpoint.clicks)
                self.checkpoint.next_stage("sessions")
            if self.checkpoint.stage == "sessions":
                self._form_sessions()
                self.checkpoint.next_stage("write")
            summary = self._write()
        except DataError:
            self.checkpoint.remove()  # of no use once the file is corrected
            raise
        self.checkpoint.remove()
        return summary

    def _read(self, readers: list[Reader], spill: Spill, counts: RowCounts) -> None:
        """Spill the rows of all files; the state is stored after each Arrow file."""
        is_clicks = spill is self.clicks
        state, settings = self.checkpoint, self.settings
        for number, reader in enumerate(readers):
            if number < state.file:
                continue
            held: list[pa.RecordBatch] = []
            rows = size = 0
            with _bar(f"reading {reader.path.name}", reader.size, "B") as bar:
                limit = settings.limit - counts.read if is_clicks and settings.limit else None
                for batch in reader.batches(counts, state.position, limit):
                    bar.update(batch.done - bar.n)
                    if batch.rows:
                        columns = zip(*batch.rows, strict=True)
                        arrays = [
                            pa.array(values, field.type)
                            for values, field in zip(columns, reader.schema, strict=True)
                        ]
                        held.append(pa.record_batch(arrays, schema=reader.schema))
                        rows, size = rows + held[-1].num_rows, size + held[-1].nbytes
                    state.position = batch.position
                    if rows >= CHUNK_ROWS or size >= CHUNK_BYTES:
                        self._spill(held, number, spill, is_clicks)
                        held, rows, size = [], 0, 0
            if held:
                self._spill(held, number, spill, is_clicks)
            state.file, state.position = number + 1, None
            state.save()

    def _spill(self, held: list[pa.RecordBatch], number: int, spill: Spill, clicks: bool) -> None:
        table = pa.Table.from_batches(held)
        if clicks and self.settings.splits:
            split = pa.array([self.settings.splits[number]] * table.num_rows, pa.string())
            table = table.append_column(Columns.SPLIT, split)
        spill.write(self.checkpoint.chunks, table, OWNER if clicks else None)
        self.checkpoint.chunks += 1
        self.checkpoint.save()

    def _form_sessions(self) -> None:
        """Form the sessions of each part."""
        state, settings = self.checkpoint, self.settings
        chunks = state.done["clicks"]
        if not chunks:
            raise self._nothing_left()
        known = self._known() if settings.items == "known" else None
        with _bar("forming sessions", self.clicks.parts, "part") as bar:
            bar.update(state.chunks)
            for part in range(state.chunks, self.clicks.parts):
                clicks = self.clicks.part(part, chunks)
                if known is not None:
                    reason = "item without a record in the item files"
                    clicks = drop_items(clicks, ITEM, known, reason, state.clicks)
                sessions = form_sessions(
                    clicks,
                    self.rule,
                    settings.gap_minutes,
                    settings.min_session,
                    self.source.is_ratings,
                    state.clicks,
                )
                self.sessions.write(part, sessions)
                state.chunks = part + 1
                state.save()
                bar.update()

    def _known(self) -> pa.Array:
        """The ids of all item records."""
        tables = self.items.tables(self.checkpoint.done["items"])
        ids = [table[Columns.ITEM_ID].combine_chunks() for table in tables]
        return pa.concat_arrays(ids) if ids else pa.array([], pa.string())

    def _write(self) -> dict[str, Any]:
        """Write the tables into the checkpoint folder, then move them to `out` atomically."""
        folder = self.checkpoint.folder / "tables"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        categories: dict[str, str] = {}
        clicked, sessions = self._write_interactions(folder / INTERACTIONS, categories)
        if not clicked:
            raise self._nothing_left()
        self._write_items(folder / ITEMS, clicked, categories)
        summary = {
            **self.key,
            "sessions": sessions,
            "interactions": self.checkpoint.clicks.as_dict(),
            "items": self.checkpoint.items.as_dict(),
            "notes": list(self.source.notes),
        }
        text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
        (folder / REPORT).write_text(text, "utf-8")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        if self.out.is_dir():
            self.out.rmdir()  # it is empty: `finished_report` has checked it
        os.replace(folder, self.out)
        return summary

    def _write_interactions(self, path: Path, categories: dict[str, str]) -> tuple[set[str], int]:
        """Write the clicks; returns the clicked items and the number of sessions, and fills `categories`."""
        settings, counts, parts = (
            self.settings,
            self.checkpoint.clicks,
            self.checkpoint.done["sessions"],
        )
        rare = self._rare(parts)
        clicked: set[str] = set()
        sessions = 0
        writer: TableWriter | None = None
        with ExitStack() as stack:
            bar = stack.enter_context(_bar("writing interactions", parts, "part"))
            for clicks in self.sessions.tables(parts):
                if rare is not None:
                    reason = f"item with fewer than {settings.min_clicks} clicks"
                    clicks = drop_items(clicks, Columns.ITEM_ID, rare, reason, counts, keep=False)
                    clicks = drop_short(clicks, settings.min_session, counts)
                if CATEGORY in clicks.column_names:
                    pairs = zip(
                        clicks[Columns.ITEM_ID].to_pylist(),
                        clicks[CATEGORY].to_pylist(),
                        strict=True,
                    )
                    for item, category in pairs:
                        if category:
                            categories.setdefault(item, category)
                    clicks = clicks.drop_columns([CATEGORY])
                sessions += pc.count_distinct(clicks[NUMBER]).as_py()
                clicks = clicks.drop_columns([NUMBER])
                clicked.update(pc.unique(clicks[Columns.ITEM_ID]).to_pylist())
                counts.kept += clicks.num_rows
                writer = writer or stack.enter_context(TableWriter(path, clicks.schema))
                writer.write(clicks)
                bar.update()
        return clicked, sessions

    def _rare(self, parts: int) -> pa.Array | None:
        """Ids of the items with fewer than `min_clicks` clicks; None if `min_clicks` is 1."""
        if self.settings.min_clicks == 1:
            return None
        counts: dict[str, int] = {}
        for clicks in self.sessions.tables(parts):
            count_ids(counts, clicks[Columns.ITEM_ID])
        least = self.settings.min_clicks
        return pa.array([item for item, n in counts.items() if n < least], pa.string())

    def _write_items(self, path: Path, clicked: set[str], categories: dict[str, str]) -> None:
        readers, chunks = self.source.items, self.checkpoint.done["items"]
        schema = readers[0].schema if readers else ITEM_FIELDS
        keeps_all = self.settings.items == "all"
        counts = self.checkpoint.items
        pictures = Pictures(self.pictures, path.parent, counts) if self.pictures else None
        with ItemsWriter(path, schema, clicked, keeps_all, counts, pictures) as writer:
            for records in tqdm(
                self.items.tables(chunks), "writing items", chunks, unit="part", delay=0.5
            ):
                writer.write(records)
            writer.write_without_record(categories, has_records=bool(readers))

    def _nothing_left(self) -> DataError:
        dropped = self.checkpoint.clicks.dropped.findings
        reasons = ", ".join(
            f"{f.count:,} × {f.reason}" + (f" (such as {f.examples[0]})" if f.examples else "")
            for f in dropped
        )
        return DataError(
            f"No interaction is left of {self.checkpoint.clicks.read:,} ({reasons or 'no rows'}); "
            "check the format and the settings."
        )


def _parts(readers: list[Reader]) -> int:
    """Number of parts of the clicks, such that each part is small."""
    size = sum(reader.size * (6 if is_packed(reader.path) else 1) for reader in readers)
    return min(MAX_PARTS, 1 + size // PART_BYTES)


def _bar(title: str, total: int, unit: str) -> tqdm:
    return tqdm(desc=title, total=total, unit=unit, unit_scale=unit == "B", delay=0.5)
