"""Reading and writing the folder of an encoded catalogue: its manifest and its shards."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from safetensors import SafetensorError, safe_open

from tpad.errors import ConfigError, DataError
from tpad.io.files import replacing, sha256
from tpad.model.embedding_sets import write_with_ids

FORMATS = ("parquet", "safetensors")
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


class Shards:
    """A complete encoded catalogue, in the order of its table; see `read_shards`.

    Iterating yields the item_ids (n,) and vectors (n, d) float32 of one shard at a time, so that
    memory holds a single shard.

    Attributes:
        folder: that holds it.
        plan: what was encoded and how; see `tpad.encoding.plan.Plan`.
        n_items: number of vectors.
        width: size d of a vector.
        model: name of the embedding set.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.plan = folder, manifest["plan"]
        self._shards = [manifest["shards"][name] for name in sorted(manifest["shards"])]
        self.n_items = sum(shard["n_items"] for shard in self._shards)
        self.width, self.model = int(self.plan["width"]), str(self.plan["model"])

    def __iter__(self) -> Iterator[tuple[list[str], np.ndarray]]:
        for shard in self._shards:
            path = self.folder / shard["file"]
            ids, vectors = read_shard(path)
            if vectors.shape != (shard["n_items"], self.width) or len(ids) != len(vectors):
                raise _broken(path)
            yield ids, vectors

    def load(self) -> tuple[list[str], np.ndarray]:
        """All shards at once: item_ids (n_items,) and vectors (n_items, d) float32."""
        ids: list[str] = []
        vectors = np.empty((self.n_items, self.width), np.float32)
        for some, block in self:
            vectors[len(ids) : len(ids) + len(some)] = block
            ids += some
        return ids, vectors


def read_shards(folder: str | Path, verify: bool = False) -> Shards:
    """Open an encoded catalogue.

    Args:
        folder: written by `python -m tpad encode`.
        verify: compare the checksum of every file, not only its size.

    Raises:
        DataError: the folder holds no catalogue, it is incomplete, or a file is missing or changed.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} holds no {MANIFEST}; give a folder that `tpad encode` wrote.")
    missing = manifest["plan"]["n_shards"] - len(manifest["shards"])
    if missing:
        raise DataError(
            f"{folder} is incomplete: {missing:,} of its {manifest['plan']['n_shards']:,} shards are "
            "missing; run the same `tpad encode` command again to resume."
        )
    for shard in manifest["shards"].values():
        if not is_intact(folder, shard, verify):
            raise _broken(folder / shard["file"])
    return Shards(folder, manifest)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest: "plan", and "shards" by name; None if there is none.

    Raises:
        DataError: it cannot be read, or has another format version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text("utf-8"))
        version = manifest["format_version"]
        assert isinstance(manifest["plan"], dict) and isinstance(manifest["shards"], dict)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(f"{path} cannot be read; encode into another folder.") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has the format version {version!r}, and this tpad reads {FORMAT_VERSION}; "
            "encode into another folder."
        )
    return manifest


def write_manifest(folder: Path, plan: dict[str, Any], shards: dict[str, Any]) -> None:
    """Write the manifest atomically."""
    manifest = {"format_version": FORMAT_VERSION, "plan": plan, "shards": shards}
    with replacing(folder / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")


def shard_name(number: int) -> str:
    return f"shard-{number:05d}"


def is_intact(folder: Path, shard: dict[str, Any], verify: bool = True) -> bool:
    """Whether a shard's file exists and has not changed since it was written."""
    path = folder / Path(shard["file"]).name  # never outside the folder
    if not path.is_file() or path.stat().st_size != shard["bytes"]:
        return False
    return not verify or sha256(path) == shard["sha256"]


def write_shard(path: Path, item_ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a shard atomically.

    A `.parquet` file has the columns item_id and vector (a list of float32 of fixed length); see
    `write_with_ids` for `.safetensors`.

    Args:
        path: the file.
        item_ids: (n,).
        vectors: (n, d) float32.
    """
    if path.suffix == ".safetensors":
        write_with_ids(path, item_ids, vectors)
        return
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table({"item_id": pa.array(item_ids, pa.string()), "vector": column})
    with replacing(path) as part:
        pa.parquet.write_table(table, part, compression="zstd")


def read_shard(path: Path) -> tuple[list[str], np.ndarray]:
    """Read item_ids and vectors of a file that `write_shard` wrote.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                return json.loads(file.metadata()["item_ids"]), file.get_tensor("x")
        table = pa.parquet.read_table(path, memory_map=True)
        column = table["vector"].combine_chunks()
        vectors = column.flatten().to_numpy().reshape(-1, column.type.list_size)
        return table["item_id"].to_pylist(), vectors
    except (OSError, SafetensorError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise _broken(path) from error


def check_format(name: str) -> None:
    """Raise a `ConfigError` if there is no such format."""
    if name not in FORMATS:
        raise ConfigError(f"There is no format {name!r}; choose one of {', '.join(FORMATS)}.")


def _broken(path: Path) -> DataError:
    return DataError(
        f"{path} is missing or was changed; run the same `tpad encode` command again to restore it."
    )
