"""Writes safetensors files whose bytes depend only on their content."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tpad.io.files import replacing

_LENGTH = 8  # bytes at the start, the length of the header


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays atomically; equal arguments give equal bytes.

    Args:
        path: the file.
        arrays: arrays by name.
        metadata: text by name.
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with replacing(path) as part:
        save_file(whole, part, metadata=None if metadata is None else dict(metadata))
        if metadata:
            _sort_metadata(part)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata, whose order in safetensors differs between processes."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > length:  # not expected: both writers escape the same characters
            raise ValueError(f"The header of {path} cannot be sorted.")
        file.seek(_LENGTH)
        file.write(text.ljust(length))
