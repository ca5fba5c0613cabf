"""Limits on the size of a model, checked before the model is built."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import safe_open

from tpad.errors import ModelError
from tpad.mllm.hugging_face import (
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    AutoConfig,
    cached_file,
)

MAX_PARTS = 1_024
"""Most layers, attention heads or experts of a model."""
MAX_INTEGER = 1 << 31
"""Largest absolute value of an integer in a config."""
MAX_DEPTH, MAX_ELEMENTS = 16, 50_000
"""Most levels of nesting in a config, and most elements of one of its lists. Transformers makes a list
of `num_labels` elements."""
_COUNT = re.compile(r"(^|_)(depths?|(n_|num_)?\w*(layers?|heads|experts|blocks|stages))$")
_LISTED = ("num_labels", "_num_labels")


def check_config(config: dict[str, Any], path: str) -> None:
    """Reject sizes in a `config.json` that no model has.

    Args:
        config: the content of the file.
        path: of the checkpoint, for error messages.

    Raises:
        ModelError: the config has too many layers, or contains a number or a list that is too large.
    """
    for name, value, depth in _walk(config, "config", 0):
        if depth > MAX_DEPTH:
            raise ModelError(f"The config.json of {path} is nested too deeply; download it again.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ModelError(
                f"The config.json of {path} sets {name!r} to {value}; download it again."
            )
        if isinstance(value, list | dict) and len(value) > MAX_ELEMENTS:
            raise ModelError(
                f"The config.json of {path} contains a list that is too long, {name!r}; download it again."
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        most = MAX_PARTS if _COUNT.search(name) else MAX_INTEGER
        if name in _LISTED:
            most = MAX_ELEMENTS
        if abs(value) > most and (isinstance(value, int) or most < MAX_INTEGER):
            raise ModelError(
                f"The config.json of {path} sets {name} to {value:,}; tpad builds models of at "
                f"most {most:,}."
            )


def check_size(config: dict[str, Any], path: str, kind: Any, **hub: Any) -> None:
    """Reject a config that describes a larger model than the weights beside it.

    Args:
        config: the content of `config.json`, after `check_config`.
        path: of the checkpoint, a folder or a hub id.
        kind: the class of transformers that builds the model.
        **hub: options of `from_pretrained`, such as revision and local_files_only.

    Raises:
        ModelError: the model has more than twice as many parameters as the files, or the index names
            a file in another folder.
        Exception: anything that transformers raises for an invalid config.
    """
    if files := _weight_files(path, **hub):  # missing files are reported later
        check_parameters(config, path, kind, sum(map(_count_parameters, files)))


def check_parameters(config: dict[str, Any], path: str, kind: Any, stored: int) -> None:
    """Reject a config that describes a larger model than `stored` parameters; see `check_size`.

    The model is built on the meta device, which takes no memory, to count its parameters.
    """
    plain = {name: value for name, value in config.items() if name != "quantization_config"}
    with torch.device("meta"):
        model = kind.from_config(
            AutoConfig.for_model(**plain), attn_implementation="eager", trust_remote_code=False
        )
    wanted = sum(weight.numel() for weight in (*model.parameters(), *model.buffers()))
    if wanted > 2 * stored:  # tied weights are stored only once
        raise ModelError(
            f"The config of {path} describes {wanted:,} parameters, but the weights contain "
            f"{stored:,}; the files do not belong together."
        )


def _weight_files(path: str, **hub: Any) -> list[str]:
    """The safetensors files of a checkpoint that transformers opens."""
    hub = {**hub, "_raise_exceptions_for_missing_entries": False}
    if (whole := cached_file(path, SAFE_WEIGHTS_NAME, **hub)) is not None:
        return [whole]
    if (index := cached_file(path, SAFE_WEIGHTS_INDEX_NAME, **hub)) is None:
        return []
    names = sorted(set(json.loads(Path(index).read_text("utf-8"))["weight_map"].values()))
    if any(PurePath(name).name != name or "\\" in name for name in names):
        raise ModelError(f"The index of {path} names files in other folders; download it again.")
    found = (cached_file(path, name, **hub) for name in names)
    return [file for file in found if file is not None]


def _count_parameters(file: str) -> int:
    """The number of parameters in a safetensors file; a byte may contain two of 4 bits."""
    total = 0
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118
            part = opened.get_slice(name)
            each = 2 if part.get_dtype() in ("U8", "I8") else 1
            total += each * math.prod(part.get_shape())
    return total


def _walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Each value in a config with its name and its depth."""
    yield name, value, depth
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _walk(part, str(key), depth + 1)
    elif isinstance(value, list):
        for part in value[: MAX_ELEMENTS + 1]:
            # Numbers in a list are not counts: `deepstack_visual_indexes`, `fullatt_block_indexes`.
            yield from _walk(part, "" if isinstance(part, int | float) else name, depth + 1)
