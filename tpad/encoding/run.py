"""Encoding a large item table into shards, with one process or several.

The table is read from its beginning, and never lies in memory as a whole: no more than one shard's
rows for each worker and one more. A shard appears whole or not at all, and only then the manifest
names it; so after any end the same command makes what is lacking.

Several processes are workers of this one, or those of a launcher (`torchrun`, `accelerate launch`,
several machines, see `tpad.distributed.processes`): there each makes every n-th shard that is lacking,
and the main one keeps the manifest.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice
from multiprocessing import connection
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
from tpad.encoding.plan import ROWS, Plan, Survey, plan_for, survey
from tpad.encoding.shards import is_whole, read_manifest, shard_name, write_manifest
from tpad.encoding.work import MakeEncoder, Shard, Worker, make_shard, picture_digest
from tpad.errors import ConfigError, DataError, ModelError
from tpad.io.locking import LOCK
from tpad.mllm.precision import choose_device
from tpad.model.given_features import TFIDF

ATTEMPTS = 3  # at a shard whose worker ends without a word
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """What came of encoding a table.

    Attributes:
        n_rows: rows of the table.
        n_items: items that were encoded.
        n_shards: shards of the folder.
        n_new: those of them that this run made.
        n_lost: workers that were lost and replaced.
        report: what was left out or mended, in all shards.
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
    model: str = "tpad",
    shard_size: int = 10_000,
    form: str = "parquet",
    workers: int = 1,
    features: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
    make_encoder: MakeEncoder | None = None,
) -> Summary:
    """Encode an item table of any length into the shards of a folder.

    Args:
        bundle: whose encoder is used.
        table: CSV or Parquet; pictures lie relative to it. Faulty rows are mended or left out.
        folder: where to; one that an earlier run began is gone on with.
        model: embedding set.
        shard_size: rows of the table that go into one shard.
        form: "parquet" or "safetensors".
        workers: processes; with one, this process encodes. Under a launcher there is one in each
            of its processes, and they share the shards.
        features: name -> file of vectors, for a bundle that reads such; they are held in memory.
        progress: called with the number of rows done and of all, after each shard.
        make_encoder: makes the encoder, once in each process; by default it is the bundle's.

    Raises:
        ConfigError: a setting cannot be, another run writes to the folder, the folder is in use, or
            was begun from another table or with other settings.
        DataError: the table cannot be read.
        ModelError: a shard ends every worker that begins it.
    """
    table, folder = Path(table), Path(folder)
    files = {name: Path(path) for name, path in (features or {}).items()}
    if workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {workers}.")
    if workers > 1 and processes.size() > 1:
        raise ConfigError("Under a launcher each process encodes by itself; leave out --workers.")
    with processes.main_first():  # which alone says what is wrong
        _check_names(list(files), bundle)
        seen = survey(table)
        vectors = {name: _with_ids(VectorFile.read(path), table) for name, path in files.items()}
        plan = plan_for(bundle, table, seen.n_rows, model, shard_size, form, files)
        manifest = read_manifest(folder)
        if manifest is not None:
            plan.refuse_other(manifest["plan"], folder)
        elif folder.exists() and (not folder.is_dir() or _in_use(folder)):
            raise ConfigError(
                f"{folder} is in use for other things; choose a new or an empty folder."
            )
    processes.check_shared(folder)
    with processes.only_run(folder):
        run = _Run(plan, seen, table, folder, vectors, progress)
        if make_encoder is not None:
            makers = [make_encoder] * workers
        elif workers == 1:
            makers = [partial(getattr, bundle, "encoder")]
        else:
            threads = max(1, (os.cpu_count() or 1) // workers)
            devices = _devices(bundle.device, workers)
            makers = [partial(_encoder, bundle.path, device, threads) for device in devices]
        run.go(makers)
        return run.summary()


class _Run:
    """One run over the shards that are lacking."""

    def __init__(
        self,
        plan: Plan,
        seen: Survey,
        table: Path,
        folder: Path,
        vectors: Mapping[str, VectorFile],
        progress: Progress | None,
    ) -> None:
        self.plan, self.seen, self.table, self.folder = plan, seen, table, folder
        self.vectors = vectors
        self.progress = progress or (lambda done, total: None)
        self.shards: dict[str, Any] = {}
        if processes.is_main():
            _remove_parts(folder)
            self.shards = self._kept()
        self.shards = processes.agreed(self.shards)
        self.n_new, self.n_lost = 0, 0
        self._write()
        self._show()

    def _kept(self) -> dict[str, Any]:
        """What an earlier run made and what is still so."""
        manifest = read_manifest(self.folder)
        known = manifest["shards"] if manifest else {}
        whole = {name: shard for name, shard in known.items() if is_whole(self.folder, shard)}
        if not whole or Columns.IMAGE not in table_columns(self.table):
            return whole
        kept = {}
        for shard in self._all():
            found = whole.get(shard_name(shard.number))
            if found and found["pictures"] == picture_digest(shard.rows, self.table.parent):
                kept[shard_name(shard.number)] = found
        return kept

    def go(self, makers: Sequence[MakeEncoder]) -> None:
        """Make what is lacking, each encoder that is made in a process of its own if several are."""
        if len(self.shards) == self.plan.n_shards:
            return
        if len(makers) == 1:
            self._alone(makers[0])
            return
        slots = range(min(len(makers), self.plan.n_shards - len(self.shards)))

        def start(slot: int) -> Worker:
            return Worker(makers[slot], self.plan, self.folder, self.table.parent)

        at_work: list[Worker] = []
        try:
            at_work += [start(slot) for slot in slots]
            self._share(at_work, start)
        finally:
            for worker in at_work:
                worker.end()

    def _alone(self, make_encoder: MakeEncoder) -> None:
        """In this process, and in those that a launcher has started beside it."""
        encoder, root = cache(make_encoder), self.table.parent
        lacking = self._lacking()
        while some := list(islice(lacking, processes.size())):
            records = processes.spread(
                lambda shard: make_shard(shard, self.plan, self.folder, root, encoder()), some
            )
            for shard, record in zip(some, records, strict=True):
                self._done(shard, record)

    def _share(self, at_work: list[Worker], start: Callable[[int], Worker]) -> None:
        """Give every worker a shard whenever it is free, until all are made."""
        lacking, again, failed = self._lacking(), deque[Shard](), dict[int, int]()
        while True:
            for worker in at_work:
                if worker.shard is None:
                    shard = again.popleft() if again else next(lacking, None)
                    if shard is None:
                        break
                    worker.begin(shard)
            busy = [worker for worker in at_work if worker.shard is not None]
            if not busy:
                return
            # A pipe is ready, too, when its worker ends.
            ready = connection.wait([worker.connection for worker in busy])
            for worker in (worker for worker in busy if worker.connection in ready):
                shard = worker.shard
                result = worker.result()
                assert shard is not None
                if result is not None:
                    self._done(shard, result)
                    continue
                self.n_lost += 1
                failed[shard.number] = failed.get(shard.number, 0) + 1
                if failed[shard.number] == ATTEMPTS:
                    raise ModelError(
                        f"Shard {shard.number} ended its worker {ATTEMPTS} times, for instance for "
                        "lack of memory; try fewer --workers, and the same command goes on."
                    )
                again.append(shard)
                worker.end()
                slot = at_work.index(worker)
                at_work[slot] = start(slot)

    def _lacking(self) -> Iterator[Shard]:
        """The shards that are to be made, with the vectors that their items bring."""
        for shard in self._all():
            if shard_name(shard.number) in self.shards:
                continue
            ids = to_ids(shard.rows[Columns.ITEM_ID], self.table.name)
            ids = ids[ids != ""].tolist()
            yield replace(shard, vectors={n: file.part(ids) for n, file in self.vectors.items()})

    def _all(self) -> Iterator[Shard]:
        """All shards, read from the table."""
        frames = stream_table(self.table, self.plan.shard_size, ReportBuilder())
        for number, frame in enumerate(frames):
            repeated = np.isin(frame.index.to_numpy(), self.seen.repeated)
            yield Shard(number, frame[~repeated], int(repeated.sum()))

    def _done(self, shard: Shard, record: dict[str, Any]) -> None:
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
        shards = self.shards.values()
        merged: dict[str, Finding] = {}
        for finding in self.seen.report.findings:
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


def _check_names(given: Sequence[str], bundle: Bundle) -> None:
    """Refuses vectors that the bundle does not read, and to do without those that it reads."""
    wanted = [name for name in bundle.config.get("features", ()) if name != TFIDF]
    for name in given:
        if name not in wanted:
            told = f"it reads {', '.join(wanted)}" if wanted else "leave out --features"
            raise ConfigError(f"{bundle.path} reads no vectors {name!r} of an item; {told}.")
    for name in wanted:
        if name not in given:
            raise ConfigError(
                f"{bundle.path} reads vectors {name!r} of an item; give --features {name}=FILE, in "
                "which some items may be lacking."
            )


def _with_ids(file: VectorFile, table: Path) -> VectorFile:
    """Where a file's rows are in the order of the table, with the ids that this has."""
    if file.ids is not None:
        return file
    ids: list[str] = []
    for frame in stream_table(table, ROWS, ReportBuilder(), [Columns.ITEM_ID]):
        ids += to_ids(frame[Columns.ITEM_ID], table.name).tolist()
    if len(ids) != len(file.vectors):
        raise DataError(
            f"{file.path} has {len(file.vectors):,} rows in the order of the item table, but that "
            f"has {len(ids):,} rows; add an item_id to each row."
        )
    return replace(file, ids=ids)


def _devices(device: str, n: int) -> list[str]:
    """One for each worker: the GPUs in turn, where none is named."""
    import torch

    if choose_device(device) != torch.device("cuda"):
        return [device] * n
    return [f"cuda:{number % torch.cuda.device_count()}" for number in range(n)]


def _encoder(path: Path, device: str, threads: int) -> Encoder:
    """A worker's own, with its share of the processor's cores."""
    import torch

    torch.set_num_threads(threads)
    return Bundle.load(path, verify="fast", device=device).encoder


def _in_use(folder: Path) -> bool:
    return any(path.name != LOCK for path in folder.iterdir())


def _remove_parts(folder: Path) -> None:
    """What a killed run was writing."""
    for part in folder.glob(".*.part-*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
