"""Bounds on the size of a model, checked before anything of that size is built."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

from tpad.errors import ModelError

MOST_PARTS = 1_024
"""Most layers, attention heads or experts of a model; each is built on its own."""
LARGEST = 1 << 31
"""Largest whole number of a config, in size."""
DEEPEST, LONGEST = 16, 20_000
"""Most values inside of one another in a config, and most elements of one of its lists."""
_COUNT = re.compile(r"(^|_)(depths?|(n_|num_)?\w*(layers?|heads|experts|blocks|stages))$")


def check_config(config: dict[str, Any], path: str) -> None:
    """Refuses sizes in a `config.json` that no model has.

    Args:
        config: as it was read.
        path: of the checkpoint, to be named in an error.

    Raises:
        ModelError: it asks for too many layers, or holds a number or a list that is too large.
    """
    for name, value, depth in _walk(config, "config", 0):
        if depth > DEEPEST:
            raise ModelError(f"The config.json of {path} is nested too deeply; get it again.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ModelError(f"The config.json of {path} sets {name!r} to {value}; get it again.")
        if isinstance(value, list | dict) and len(value) > LONGEST:
            raise ModelError(f"The config.json of {path} holds too long a list, {name!r}.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        most = MOST_PARTS if _COUNT.search(name) else LARGEST
        if abs(value) > most and (isinstance(value, int) or most == MOST_PARTS):
            raise ModelError(
                f"The config.json of {path} sets {name} to {value:,}; tpad builds models of at "
                f"most {most:,}."
            )


def check_size(config: dict[str, Any], path: str, **hub: Any) -> None:
    """Refuses a config that asks for a model larger than the weights beside it.

    The model is laid out without memory, and its numbers are counted.

    Args:
        config: `config.json` as it was read, with sizes as `check_config` allows them.
        path: of the checkpoint, a folder or a hub id.
        **hub: revision, local_files_only and the like, as in `from_pretrained`.

    Raises:
        ModelError: the model has more than twice as many numbers as the files, or a file that holds
            them lies elsewhere.
        Exception: whatever transformers raises over a config that it cannot use.
    """
    files = _weight_files(path, **hub)
    if not files:
        return  # missing, which is told later
    stored = sum(map(_numbers, files))
    plain = {name: value for name, value in config.items() if name != "quantization_config"}
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(**plain), attn_implementation="eager", trust_remote_code=False
        )
    wanted = sum(weight.numel() for weight in (*model.parameters(), *model.buffers()))
    if wanted > 2 * stored:  # tied weights are stored once
        raise ModelError(
            f"The config.json of {path} asks for {wanted:,} numbers, but its weights hold "
            f"{stored:,}; the files do not belong together."
        )


def _weight_files(path: str, **hub: Any) -> list[str]:
    """The safetensors files that transformers opens of a checkpoint."""
    hub = {**hub, "_raise_exceptions_for_missing_entries": False}
    if (whole := cached_file(path, SAFE_WEIGHTS_NAME, **hub)) is not None:
        return [whole]
    if (index := cached_file(path, SAFE_WEIGHTS_INDEX_NAME, **hub)) is None:
        return []
    names = sorted(set(json.loads(Path(index).read_text("utf-8"))["weight_map"].values()))
    if any(PurePath(name).name != name or "\\" in name for name in names):
        raise ModelError(f"The index of {path} names files in other folders; get it again.")
    found = (cached_file(path, name, **hub) for name in names)
    return [file for file in found if file is not None]


def _numbers(file: str) -> int:
    """How many numbers a safetensors file holds; a byte may hold two of four bits."""
    total = 0
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118
            part = opened.get_slice(name)
            each = 2 if part.get_dtype() in ("U8", "I8") else 1
            total += each * math.prod(part.get_shape())
    return total


def _walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Each value in a config with the name that it stands under."""
    yield name, value, depth
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _walk(part, str(key), depth + 1)
    elif isinstance(value, list):
        for part in value[: LONGEST + 1]:
            # The numbers of a list are no counts: `deepstack_visual_indexes`, `fullatt_block_indexes`.
            yield from _walk(part, "" if isinstance(part, int | float) else name, depth + 1)
