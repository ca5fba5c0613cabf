"""The plan of an encoded catalogue: what is encoded and how. The manifest stores it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tpad.bundle import Bundle
from tpad.bundle.files import encoder_digest
from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.items import require_item_columns
from tpad.data.report import EXAMPLES_KEPT, LoadReport, ReportBuilder
from tpad.data.table_stream import stream_table, table_columns
from tpad.encoding.shards import check_format
from tpad.errors import ConfigError, DataError
from tpad.io.files import sha256

ROWS = 50_000  # of the table, read at once

# How error messages call the fields of a plan.
_SETTINGS = {
    "table_sha256": "a table of other content",
    "encoder": "another bundle",
    "model": "--model",
    "shard_size": "--shard-size",
    "format": "--format",
    "features": "other files of --features",
}


@dataclass(frozen=True)
class Plan:
    """What the shards of a folder hold, and how they are encoded; equal plans give equal shards."""

    table: str
    """Name of the item table."""
    table_sha256: str
    """Digest of its content. Pictures have a digest for each shard."""
    n_rows: int
    """Rows of the table that can be read."""
    encoder: str
    """Digest of the encoder; see `tpad.bundle.files.encoder_digest`."""
    model: str
    """Name of the embedding set."""
    width: int
    """Numbers in a vector."""
    shard_size: int
    """Rows of the table in one shard."""
    format: str
    """"parquet" or "safetensors"."""
    n_shards: int
    features: dict[str, str]
    """SHA-256 of the files of given item vectors, by name."""

    def check_same(self, stored: dict[str, Any], folder: Path) -> None:
        """Raise a `ConfigError` if the folder was started with another plan."""
        mine = asdict(self)
        for name, what in _SETTINGS.items():
            if stored.get(name) != mine[name]:
                was = f"{what} {stored.get(name)!r}, not {mine[name]!r}"
                raise ConfigError(
                    f"{folder} was started with {was if what.startswith('--') else what}; give the "
                    "same again to resume, or another folder."
                )
        if stored != {**mine, "table": stored.get("table")}:
            raise ConfigError(f"{folder} was started with other settings; give another folder.")


@dataclass(frozen=True)
class TableScan:
    """What one pass over the table finds.

    Attributes:
        n_rows: rows that can be read.
        repeated: sorted numbers of the rows that repeat the item_id of an earlier row.
        report: those rows, and the rows that cannot be read.
    """

    n_rows: int
    repeated: np.ndarray
    report: LoadReport


def scan_table(table: Path) -> TableScan:
    """Read the ids of an item table; memory holds sixteen bytes for each row.

    Raises:
        DataError: the table cannot be read, or has no usable row.
    """
    require_item_columns(table_columns(table), table.name)
    report, numbers, keys = ReportBuilder(), [], []
    for frame in stream_table(table, ROWS, report, [Columns.ITEM_ID]):
        ids = to_ids(frame[Columns.ITEM_ID], table.name)
        known = (ids != "").to_numpy(dtype=bool)
        ids = ids[known].astype(object)
        # Two hashes of 64 bits: a collision among a million ids is practically impossible.
        keys.append(
            np.stack([pd.util.hash_array(ids.to_numpy(), hash_key=k) for k in _KEYS], axis=1)
        )
        numbers.append(np.stack([frame.index.to_numpy(), known], axis=1))
    rows = np.concatenate(numbers)  # (n_rows, 2): number, and whether it has an id
    with_id = rows[rows[:, 1] == 1, 0]
    if not len(with_id):
        raise DataError(f"{table.name} has no row with an item_id; fill that column.")
    repeated = with_id[pd.DataFrame(np.concatenate(keys)).duplicated().to_numpy()]
    report.error(
        "duplicate item_id",
        "the first row is kept",
        (f"{table.name} row {row}" for row in repeated[:EXAMPLES_KEPT]),
        len(repeated),
    )
    return TableScan(len(rows), repeated, report.build())


_KEYS = ("0123456789abcdef", "fedcba9876543210")


def make_plan(
    bundle: Bundle,
    table: Path,
    n_rows: int,
    model: str,
    shard_size: int,
    form: str,
    features: Mapping[str, Path],
) -> Plan:
    """The plan of encoding a table.

    Raises:
        ConfigError: the embedding set or format does not exist, or the shard size is below 1.
    """
    check_format(form)
    if model not in bundle.sets:
        raise ConfigError(
            f"{bundle.path} has no embedding set {model!r}; choose from {', '.join(bundle.sets)}."
        )
    if shard_size < 1:
        raise ConfigError(f"--shard-size must be at least 1, not {shard_size}.")
    return Plan(
        table.name,
        sha256(table),
        n_rows,
        encoder_digest(bundle.info),
        model,
        bundle.embeddings[model].shape[1],
        shard_size,
        form,
        -(-n_rows // shard_size),
        {name: sha256(path) for name, path in features.items()},
    )
