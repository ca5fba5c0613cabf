"""The import itself: read, spread over part files, cut into sessions, filter, write.

Four stages. `items` and `clicks` read the files batch by batch into Arrow files, the clicks spread
over parts by their owner; `cut` sorts each part and cuts it into sessions; `write` filters rare
items and writes the tables. Memory holds one part, and the ids of the items. After each Arrow file
the state is kept, so that a killed import goes on there; the last stage starts over, since it is
short. The tables appear in one step.
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
from tpad.importers.cutting import NUMBER, cut, drop_items, drop_short
from tpad.importers.formats import FORMATS, WITH_COLUMNS
from tpad.importers.pictures import Pictures, pictures_in
from tpad.importers.settings import ImportSettings
from tpad.importers.source import CATEGORY, ITEM, ITEM_FIELDS, OWNER, Reader, Source, is_packed
from tpad.importers.spill import Spill
from tpad.importers.tables import ItemsWriter, TableWriter, count_ids
from tpad.importers.tally import Tally
from tpad.importers.work import Work, remove_left_over
from tpad.version import __version__

CHUNK_ROWS, CHUNK_BYTES = 400_000, 64 << 20  # an Arrow file of the spill is written at either
PART_BYTES = 16 << 20  # of the input; gzip counts sixfold
MOST_PARTS = 1024
REPORT, ITEMS, INTERACTIONS = "import.json", "items.parquet", "interactions.parquet"


def import_tables(
    form: str,
    files: list[Path],
    out: Path,
    settings: ImportSettings | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Writes `items.parquet`, `interactions.parquet` and `import.json` into a new folder.

    Args:
        form: one of `FORMATS`.
        files: the dataset's files; what each holds is told from its content.
        out: the folder; it must not exist, be empty, or hold the same import already.
        settings: what is kept; by default `ImportSettings()`.
        say: told what goes on.

    Returns:
        What `import.json` holds: settings, and rows read, kept and dropped by reason.

    Raises:
        TpadError: the files or settings cannot be used, or nothing is left; nothing is written.
    """
    settings = settings or ImportSettings()
    files = [Path(file) for file in files]
    for file in files:
        if files.count(file) > 1:
            raise ConfigError(f"{file} is given twice; give each file once.")
    source = FORMATS[form].open(files, settings)
    rule = source.rule(settings.sessions)
    if not source.clicks:
        raise DataError("None of the files holds interactions; give one that does.")
    if settings.splits and len(settings.splits) != len(source.clicks):
        raise ConfigError(
            f"--splits names {len(settings.splits)} splits for {len(source.clicks)} interaction "
            "files; name one for each, in their order."
        )
    if settings.min_rating is not None and not source.is_ratings:
        raise ConfigError(
            "--min-rating needs ratings, which these files do not have; leave it out."
        )
    if settings.columns and form not in WITH_COLUMNS:
        raise ConfigError(
            f"--column is for {' and '.join(WITH_COLUMNS)}; {form} has its own names."
        )
    if settings.items == "known" and not source.items:
        raise ConfigError("--items known needs a file of items; give one, or leave it out.")
    pictures = pictures_in(Path(settings.images)) if settings.images else {}
    key = {
        "tpad": __version__,
        "format": form,
        "settings": {**settings.as_dict(), "sessions": rule},
        "files": [_identity(reader.path) for reader in (*source.items, *source.clicks)],
        "images": _identity(Path(settings.images)) if settings.images else None,
    }
    out = Path(out)
    stored = _finished(out, key)
    if stored is not None:
        remove_left_over(out)
        say(f"{out} already holds this import")
        return stored
    try:
        return _Import(source, rule, out, settings, key, pictures, say).run()
    except OSError as error:
        raise TpadError(
            f"{error.filename or out} cannot be written ({error.strerror or error}); free some "
            "space or choose another --out, and give the same command again."
        ) from error


class _Import:
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
        self.work = Work(out, key)
        self.items = Spill(self.work.folder / "items")
        self.clicks = Spill(self.work.folder / "clicks", _parts(source.clicks))
        self.cut = Spill(self.work.folder / "cut")

    def run(self) -> dict[str, Any]:
        if self.work.resumed:
            self.say(f"going on with what {self.work.folder} holds")
        try:
            if self.work.stage == "items":
                self._read(self.source.items, self.items, self.work.items)
                self.work.next_stage("clicks")
            if self.work.stage == "clicks":
                self._read(self.source.clicks, self.clicks, self.work.clicks)
                self.work.next_stage("cut")
            if self.work.stage == "cut":
                self._cut()
                self.work.next_stage("write")
            summary = self._write()
        except DataError:
            self.work.remove()  # the file must change, and then nothing of this is of use
            raise
        self.work.remove()
        return summary

    def _read(self, readers: list[Reader], spill: Spill, tally: Tally) -> None:
        """Spreads the rows of all files; the state is kept after each Arrow file."""
        is_clicks = spill is self.clicks
        work, settings = self.work, self.settings
        for number, reader in enumerate(readers):
            if number < work.file:
                continue
            held: list[pa.RecordBatch] = []
            rows = size = 0
            with _bar(f"reading {reader.path.name}", reader.size, "B") as bar:
                limit = settings.limit - tally.read if is_clicks and settings.limit else None
                for batch in reader.batches(tally, work.position, limit):
                    bar.update(batch.done - bar.n)
                    if batch.rows:
                        columns = zip(*batch.rows, strict=True)
                        arrays = [
                            pa.array(values, field.type)
                            for values, field in zip(columns, reader.schema, strict=True)
                        ]
                        held.append(pa.record_batch(arrays, schema=reader.schema))
                        rows, size = rows + held[-1].num_rows, size + held[-1].nbytes
                    work.position = batch.position
                    if rows >= CHUNK_ROWS or size >= CHUNK_BYTES:
                        self._spill(held, number, spill, is_clicks)
                        held, rows, size = [], 0, 0
            if held:
                self._spill(held, number, spill, is_clicks)
            work.file, work.position = number + 1, None
            work.save()

    def _spill(self, held: list[pa.RecordBatch], number: int, spill: Spill, clicks: bool) -> None:
        table = pa.Table.from_batches(held)
        if clicks and self.settings.splits:
            split = pa.array([self.settings.splits[number]] * table.num_rows, pa.string())
            table = table.append_column(Columns.SPLIT, split)
        spill.write(self.work.chunks, table, OWNER if clicks else None)
        self.work.chunks += 1
        self.work.save()

    def _cut(self) -> None:
        """Cuts each part into sessions."""
        work, settings = self.work, self.settings
        chunks = work.done["clicks"]
        if not chunks:
            raise self._nothing_left()
        known = self._known() if settings.items == "known" else None
        with _bar("cutting sessions", self.clicks.parts, "part") as bar:
            bar.update(work.chunks)
            for part in range(work.chunks, self.clicks.parts):
                clicks = self.clicks.part(part, chunks)
                if known is not None:
                    reason = "item without a record in the item files"
                    clicks = drop_items(clicks, ITEM, known, reason, work.clicks)
                sessions = cut(
                    clicks,
                    self.rule,
                    settings.gap_minutes,
                    settings.min_session,
                    self.source.is_ratings,
                    work.clicks,
                )
                self.cut.write(part, sessions)
                work.chunks = part + 1
                work.save()
                bar.update()

    def _known(self) -> pa.Array:
        """Ids of all item records."""
        tables = self.items.tables(self.work.done["items"])
        ids = [table[Columns.ITEM_ID].combine_chunks() for table in tables]
        return pa.concat_arrays(ids) if ids else pa.array([], pa.string())

    def _write(self) -> dict[str, Any]:
        """Writes the tables into the workspace, and puts them in their place in one step."""
        folder = self.work.folder / "tables"
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
            "interactions": self.work.clicks.as_dict(),
            "items": self.work.items.as_dict(),
            "notes": list(self.source.notes),
        }
        text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
        (folder / REPORT).write_text(text, "utf-8")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        if self.out.is_dir():
            self.out.rmdir()  # it is empty, as was checked
        os.replace(folder, self.out)
        return summary

    def _write_interactions(self, path: Path, categories: dict[str, str]) -> tuple[set[str], int]:
        """Returns the clicked items and the number of sessions; fills `categories`."""
        settings, tally, parts = self.settings, self.work.clicks, self.work.done["cut"]
        rare = self._rare(parts)
        clicked: set[str] = set()
        sessions = 0
        writer: TableWriter | None = None
        with ExitStack() as stack:
            bar = stack.enter_context(_bar("writing interactions", parts, "part"))
            for clicks in self.cut.tables(parts):
                if rare is not None:
                    reason = f"item with fewer than {settings.min_clicks} clicks"
                    clicks = drop_items(clicks, Columns.ITEM_ID, rare, reason, tally, keep=False)
                    clicks = drop_short(clicks, settings.min_session, tally)
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
                tally.kept += clicks.num_rows
                writer = writer or stack.enter_context(TableWriter(path, clicks.schema))
                writer.write(clicks)
                bar.update()
        return clicked, sessions

    def _rare(self, parts: int) -> pa.Array | None:
        """Ids of the items with fewer than `min_clicks` clicks; None if any number will do."""
        if self.settings.min_clicks == 1:
            return None
        counts: dict[str, int] = {}
        for clicks in self.cut.tables(parts):
            count_ids(counts, clicks[Columns.ITEM_ID])
        few = self.settings.min_clicks
        return pa.array([item for item, n in counts.items() if n < few], pa.string())

    def _write_items(self, path: Path, clicked: set[str], categories: dict[str, str]) -> None:
        readers, chunks = self.source.items, self.work.done["items"]
        schema = readers[0].schema if readers else ITEM_FIELDS
        keeps_all = self.settings.items == "all"
        tally = self.work.items
        pictures = Pictures(self.pictures, path.parent, tally) if self.pictures else None
        with ItemsWriter(path, schema, clicked, keeps_all, tally, pictures) as writer:
            for records in tqdm(
                self.items.tables(chunks), "writing items", chunks, unit="part", delay=0.5
            ):
                writer.write(records)
            writer.write_bare(categories, has_records=bool(readers))

    def _nothing_left(self) -> DataError:
        dropped = self.work.clicks.dropped.findings
        reasons = ", ".join(
            f"{f.count:,} × {f.reason}" + (f" (such as {f.examples[0]})" if f.examples else "")
            for f in dropped
        )
        return DataError(
            f"No interaction is left of {self.work.clicks.read:,} ({reasons or 'no rows'}); "
            "check the format and the settings."
        )


def _parts(readers: list[Reader]) -> int:
    """Into how many parts the clicks are spread, so that each fits well into memory."""
    size = sum(reader.size * (6 if is_packed(reader.path) else 1) for reader in readers)
    return min(MOST_PARTS, 1 + size // PART_BYTES)


def _bar(title: str, total: int, unit: str) -> tqdm:
    return tqdm(desc=title, total=total, unit=unit, unit_scale=unit == "B", delay=0.5)


def _identity(path: Path) -> list[Any]:
    """What changes when a file does: path, bytes, and time of the last change in ns."""
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _finished(out: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The report of the same import, if `out` holds it; None if it is free.

    Raises:
        ConfigError: something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        stored = json.loads((out / REPORT).read_text("utf-8"))
        if {name: stored.get(name) for name in key} == key:
            return stored
        what = f"holds another import ({stored['format']})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        what = "is in use"
    raise ConfigError(f"{out} {what}; choose another --out, or remove it.")
