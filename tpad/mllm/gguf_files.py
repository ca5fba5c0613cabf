"""Read language models from GGUF files, the format of llama.cpp.

The header of a file is checked here, before any other library reads it: it could otherwise claim sizes
that do not fit in the file. The model is then unpacked into a temporary checkpoint, so that everything
else reads it like any other.
"""

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import torch

from tpad.errors import ConfigError, ModelError, TpadError, one_line
from tpad.mllm.bounds import check_config, check_parameters
from tpad.mllm.hugging_face import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
)
from tpad.mllm.processors import check_family

MAX_COUNT = 4_000_000
"""Most values of a list in a header, such as the tokens of a vocabulary."""
MAX_FIELDS = 65_536
"""Most fields and most tensors of a file."""
MAX_DIMENSIONS = 4
VERSIONS = (2, 3)
_STRING, _LIST = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a number, by its type."""


def is_gguf(path: str | Path) -> bool:
    """Whether a path names a GGUF file, which may not exist."""
    return Path(path).suffix.lower() == ".gguf"


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with the model and the tokenizer of a GGUF file, as a checkpoint in bfloat16.

    Raises:
        ConfigError: the package gguf is not installed.
        ModelError: the file is missing, damaged or hostile, or contains a model that is not supported.
    """
    if not path.is_file():
        raise ModelError(f"There is no GGUF file {path}; check the path.")
    if find_spec("gguf") is None:
        raise ConfigError(
            "Reading a GGUF file needs the package gguf, which is not installed; run "
            '`pip install "tpad[gguf]"`, or give the model as a folder.'
        )
    with TemporaryDirectory(prefix="tpad-gguf-") as work:
        with _reading(path):
            _unpack(path, check_header(path), Path(work))
        yield Path(work)


def check_header(path: Path) -> int:
    """Check that everything that the header of a GGUF file names lies within the file.

    Returns:
        The number of weights in the file.

    Raises:
        ModelError: the file is damaged or incomplete, or is one of several parts.
    """
    with path.open("rb") as file:
        header = _Header(file, path)
        if header.take(4) != b"GGUF":
            raise header.damaged("it does not begin as one")
        [version] = header.numbers("I")
        if version not in VERSIONS:
            raise ModelError(
                f"{path} has the GGUF version {version}, but only {VERSIONS} are supported; convert "
                "the model again with a recent llama.cpp."
            )
        n_tensors, n_fields = header.numbers("QQ")
        header.limit(max(n_tensors, n_fields), MAX_FIELDS, "fields or tensors")
        facts: dict[bytes, Any] = {}
        for _ in range(n_fields):
            name = header.string()
            facts[name] = header.value(*header.numbers("I"))
        if not isinstance(facts.get(b"general.architecture"), bytes):
            raise header.damaged("it names no architecture")
        parts = facts.get(b"split.count") or 1
        if parts != 1:
            raise ModelError(
                f"{path} is one of {parts} parts; join them with llama.cpp's "
                "`llama-gguf-split --merge` and give the result."
            )
        return header.check_tensors(n_tensors)


class _Header:
    """Reads the header of a file, never beyond its end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path
        self.left = self.size = os.fstat(file.fileno()).st_size

    def damaged(self, why: str) -> ModelError:
        return ModelError(f"The GGUF file {self.path} is damaged ({why}); download it again.")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        self.skip(size)
        return self.file.read(size)

    def skip(self, size: int) -> None:
        """Count bytes as read, without reading them."""
        self.left -= size
        if self.left < 0:
            raise self.damaged("it ends too early")

    def limit(self, count: int, most: int, what: str) -> None:
        if count > most:
            raise self.damaged(f"it claims to have {count:,} {what}")

    def numbers(self, format: str) -> tuple[int, ...]:
        return struct.unpack("<" + format, self.take(struct.calcsize("<" + format)))

    def string(self) -> bytes:
        return self.take(*self.numbers("Q"))

    def value(self, kind: int) -> bytes | int | None:
        """A value of a field: a string, a whole number of 16 or 32 bits, or None for anything else."""
        if kind == _STRING:
            return self.string()
        if kind in (2, 4):
            return self.numbers("H" if kind == 2 else "I")[0]
        if kind in _WIDTHS:
            self.take(_WIDTHS[kind])
            return None
        if kind != _LIST:
            raise self.damaged(f"it has a value of the type {kind}")
        of, count = self.numbers("IQ")
        self.limit(count, MAX_COUNT, "values of a list")
        if of == _STRING:
            for _ in range(count):
                self.string()
        elif of in _WIDTHS:
            self.take(count * _WIDTHS[of])
        else:  # no published file has a list of lists
            raise self.damaged(f"it has a list of the type {of}")
        return None

    def check_tensors(self, count: int) -> int:
        """Check the table of tensors; returns the number of their elements."""
        from gguf.constants import GGML_QUANT_SIZES

        sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
        places, total = [], 0
        for _ in range(count):
            self.string()
            [dimensions] = self.numbers("I")
            self.limit(dimensions, MAX_DIMENSIONS, "dimensions of a tensor")
            elements = math.prod(self.numbers(f"{dimensions}Q"))
            kind, offset = self.numbers("IQ")
            if kind not in sizes:
                raise self.damaged(f"it has a tensor of the type {kind}")
            per_block, block_bytes = sizes[kind]
            places.append((offset, elements // per_block * block_bytes))
            total += elements
        # Tensors do not overlap, so that a small file cannot contain a large model.
        if sum(size for _, size in places) > self.left:
            raise self.damaged("it ends too early")
        if any(offset + size > self.left for offset, size in places):
            raise self.damaged("it ends too early, or tensors lie outside of it")
        return total


def _unpack(path: Path, weights: int, folder: Path) -> None:
    """Write the model and the tokenizer of a file to a folder."""
    options: dict[str, Any] = {"gguf_file": str(path.absolute()), "local_files_only": True}
    config, _ = PreTrainedConfig.get_config_dict(folder, **options)
    family = check_family(config["model_type"], f"The model {path}")
    check_config(config, str(path))
    check_parameters(config, str(path), AutoModelForCausalLM, weights)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        config=AutoConfig.for_model(**config),
        trust_remote_code=False,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
        **options,
    )
    model, info = loaded
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"The {family} model {path} lacks weights ({some}, …); download it again.")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn any failure to read a file into a `ModelError`."""
    try:
        yield
    except (TpadError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # damaged files make Rust panic, which is not an Exception
        raise ModelError(
            f"The GGUF file {path} cannot be read ({one_line(error)}); download it again, or give the "
            "model as a folder."
        ) from error
