"""Encodes a large item table into shards, in one process or several.

The table is streamed: memory holds the rows of one shard for each worker, and of one more. A shard's
file is written atomically, and entered into the manifest afterwards. So a run that was stopped can be
resumed by the same command, which encodes the missing shards.

Several processes are either workers of this one (see `tpad.encoding.workers`) or those of a launcher
(`torchrun`, `accelerate launch`, several machines, see `tpad.distributed.processes`). Under a launcher,
each process encodes every n-th missing shard, and the main process writes the manifest.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tpad.bundle import Bundle, Encoder
from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.report import Finding, LoadReport, ReportBuilder
from tpad.data.table_stream import stream_table, table_columns
from tpad.data.vectors import VectorFile
from tpad.distributed import processes
from tpad.encoding.plan import ROWS, Plan, TableScan, make_plan, scan_table
from tpad.encoding.shards import is_intact, read_manifest, shard_name, write_manifest
from tpad.encoding.work import MakeEncoder, Shard, encode_shard, picture_digest
from tpad.encoding.workers import Encode, encode_in_workers
from tpad.errors import ConfigError, DataError
from tpad.io.locking import LOCK
from tpad.mllm.precision import choose_device
from tpad.model.given_features import TFIDF

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """Counts of an encoded table.

    Attributes:
        n_rows: rows of the table.
        n_items: encoded items.
        n_shards: shards of the folder.
        n_new: shards that this run encoded.
        n_lost: worker processes that died and were replaced.
        report: invalid rows of all shards, and what was done about them.
    """

    n_rows: int
    n_items: int
    n_shards: int
    n_new: int
    n_lost: int
    report: LoadReport


def encode_table(
    bundle: Bundle,
    table: str | Path,
    folder: str | Path,
    *,
    model: str | None = None,
    shard_size: int = 10_000,
    form: str = "parquet",
    workers: int = 1,
    features: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
    make_encoder: MakeEncoder | None = None,
) -> Summary:
    """Encode an item table of any length into shards, files of a folder.

    Args:
        bundle: provides the encoder.
        table: CSV or Parquet; the paths of pictures are relative to its folder. Invalid rows are
            repaired or skipped, and reported.
        folder: where the shards are written; an unfinished run is resumed.
        model: name of the embedding set; by default the main set of the bundle.
        shard_size: rows of the table in one shard.
        form: "parquet" or "safetensors".
        workers: number of processes; with 1, this process encodes. Under a launcher it must be 1:
            the launcher's processes share the shards.
        features: name -> file of vectors, for a bundle that was trained with such vectors; they are
            held in memory.
        progress: called after each shard with the rows done so far and the rows of the table.
        make_encoder: makes the encoder, once in each process; by default, the bundle's encoder.

    Raises:
        ConfigError: a setting is invalid, another run writes to the folder, or the folder holds
            other files, or shards of another table or of other settings.
        DataError: the table cannot be read.
        ModelError: every worker that encodes a certain shard dies.
    """
    table, folder = Path(table), Path(folder)
    files = {name: Path(path) for name, path in (features or {}).items()}
    if workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {workers}.")
    if workers > 1 and processes.size() > 1:
        raise ConfigError("Under a launcher each process encodes by itself; leave out --workers.")
    with processes.main_first():  # so that an error is reported once
        _check_features(list(files), bundle)
        scan = scan_table(table)
        vectors = {name: _with_ids(VectorFile.read(path), table) for name, path in files.items()}
        model = bundle.sets[0] if model is None else model
        plan = make_plan(bundle, table, scan.n_rows, model, shard_size, form, files)
        _check_folder(folder, plan)
    processes.check_shared(folder)
    with processes.only_run(folder):
        run = _Run(plan, scan, table, folder, vectors, progress)
        run.encode(_encoder_makers(bundle, workers, make_encoder))
        return run.summary()


def _check_folder(folder: Path, plan: Plan) -> None:
    """Raise a `ConfigError` unless the folder is empty, new, or holds shards of the same plan."""
    manifest = read_manifest(folder)
    if manifest is not None:
        plan.check_same(manifest["plan"], folder)
    elif folder.exists() and (not folder.is_dir() or _holds_files(folder)):
        raise ConfigError(f"{folder} holds other files; choose a new or an empty folder.")


def _encoder_makers(
    bundle: Bundle, workers: int, make_encoder: MakeEncoder | None
) -> list[MakeEncoder]:
    """What makes the encoder of each process."""
    if make_encoder is not None:
        return [make_encoder] * workers
    if workers == 1:
        return [partial(getattr, bundle, "encoder")]
    threads = max(1, (os.cpu_count() or 1) // workers)
    devices = _devices(bundle.device, workers)
    return [partial(_load_encoder, bundle.path, device, threads) for device in devices]


class _Run:
    """One run, which encodes the missing shards."""

    def __init__(
        self,
        plan: Plan,
        scan: TableScan,
        table: Path,
        folder: Path,
        vectors: Mapping[str, VectorFile],
        progress: Progress | None,
    ) -> None:
        self.plan, self.scan, self.table, self.folder = plan, scan, table, folder
        self.vectors = vectors
        self.progress = progress or (lambda done, total: None)
        self.shards: dict[str, Any] = {}
        if processes.is_main():
            _remove_parts(folder)
            self.shards = self._finished()
        self.shards = processes.from_main(self.shards)
        self.n_new, self.n_lost = 0, 0
        self._write()
        self._show()

    def _finished(self) -> dict[str, Any]:
        """Shards of an earlier run whose files and pictures have not changed."""
        manifest = read_manifest(self.folder)
        known = manifest["shards"] if manifest else {}
        intact = {name: shard for name, shard in known.items() if is_intact(self.folder, shard)}
        if not intact or Columns.IMAGE not in table_columns(self.table):
            return intact
        finished = {}
        for shard in self._all():
            found = intact.get(shard_name(shard.number))
            if found and found["pictures"] == picture_digest(shard.rows, self.table.parent):
                finished[shard_name(shard.number)] = found
        return finished

    def encode(self, makers: Sequence[MakeEncoder]) -> None:
        """Encode the missing shards; with several encoders, each has a process of its own."""
        n_missing = self.plan.n_shards - len(self.shards)
        root = self.table.parent
        encode = partial(encode_shard, plan=self.plan, folder=self.folder, image_root=root)
        if n_missing and len(makers) == 1:
            self._encode_here(cache(makers[0]), encode)
        elif n_missing:
            makers = makers[:n_missing]
            self.n_lost = encode_in_workers(makers, encode, self._missing(), self._record)

    def _encode_here(self, encoder: MakeEncoder, encode: Encode) -> None:
        """Encode in this process and, under a launcher, in the other processes of the group."""
        missing = self._missing()
        while some := list(islice(missing, processes.size())):
            records = processes.parallel_map(lambda shard: encode(shard, encoder()), some)
            for shard, record in zip(some, records, strict=True):
                self._record(shard, record)

    def _missing(self) -> Iterator[Shard]:
        """The shards that are still to be encoded, with the given vectors of their items."""
        for shard in self._all():
            if shard_name(shard.number) in self.shards:
                continue
            ids = to_ids(shard.rows[Columns.ITEM_ID], self.table.name)
            ids = ids[ids != ""].tolist()
            yield replace(shard, vectors={n: file.part(ids) for n, file in self.vectors.items()})

    def _all(self) -> Iterator[Shard]:
        """All shards, streamed from the table."""
        frames = stream_table(self.table, self.plan.shard_size, ReportBuilder())
        for number, frame in enumerate(frames):
            repeated = np.isin(frame.index.to_numpy(), self.scan.repeated)
            yield Shard(number, frame[~repeated], int(repeated.sum()))

    def _record(self, shard: Shard, record: dict[str, Any]) -> None:
        self.shards[shard_name(shard.number)] = record
        self.n_new += 1
        self._write()
        self._show()

    def _write(self) -> None:
        if not processes.is_main():
            return
        write_manifest(self.folder, asdict(self.plan), dict(sorted(self.shards.items())))

    def _show(self) -> None:
        self.progress(sum(s["n_rows"] for s in self.shards.values()), self.plan.n_rows)

    def summary(self) -> Summary:
        """Counts of all shards."""
        shards = self.shards.values()
        merged: dict[str, Finding] = {}
        for finding in self.scan.report.findings:
            merged[finding.reason] = finding
        for shard in shards:
            for reason, fault in shard["faults"].items():
                old = merged.get(reason, Finding(reason, fault["action"], 0))
                merged[reason] = Finding(
                    reason,
                    fault["action"],
                    old.count + fault["count"],
                    old.examples or tuple(fault["examples"]),
                )
        return Summary(
            self.plan.n_rows,
            sum(shard["n_items"] for shard in shards),
            self.plan.n_shards,
            self.n_new,
            self.n_lost,
            LoadReport(tuple(merged.values())),
        )


def _check_features(given: Sequence[str], bundle: Bundle) -> None:
    """Raise a `ConfigError` unless the given vectors are those that the bundle was trained with."""
    wanted = [name for name in bundle.config.get("features", ()) if name != TFIDF]
    for name in given:
        if name not in wanted:
            advice = f"it uses {', '.join(wanted)}" if wanted else "leave out --features"
            raise ConfigError(f"{bundle.path} does not use item vectors {name!r}; {advice}.")
    for name in wanted:
        if name not in given:
            raise ConfigError(
                f"{bundle.path} uses item vectors {name!r}; give --features {name}=FILE. Some items may "
                "be missing in that file."
            )


def _with_ids(file: VectorFile, table: Path) -> VectorFile:
    """The vectors with the item ids of the table, for a file without ids of its own."""
    if file.ids is not None:
        return file
    ids: list[str] = []
    for frame in stream_table(table, ROWS, ReportBuilder(), [Columns.ITEM_ID]):
        ids += to_ids(frame[Columns.ITEM_ID], table.name).tolist()
    if len(ids) != len(file.vectors):
        raise DataError(
            f"{file.path} has {len(file.vectors):,} rows in the order of the item table, which has "
            f"{len(ids):,} rows; add an item_id to each row."
        )
    return replace(file, ids=ids)


def _devices(device: str, n: int) -> list[str]:
    """The device of each worker: the GPUs in turn, unless one is named."""
    import torch

    if choose_device(device) != torch.device("cuda"):
        return [device] * n
    return [f"cuda:{number % torch.cuda.device_count()}" for number in range(n)]


def _load_encoder(path: Path, device: str, threads: int) -> Encoder:
    """A worker's encoder, which uses the worker's share of the processor cores."""
    import torch

    torch.set_num_threads(threads)
    return Bundle.load(path, verify="fast", device=device).encoder


def _holds_files(folder: Path) -> bool:
    return any(path.name != LOCK for path in folder.iterdir())


def _remove_parts(folder: Path) -> None:
    """Remove what a killed run had half written."""
    for part in folder.glob(".*.part-*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
