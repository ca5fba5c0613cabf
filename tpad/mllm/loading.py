"""Reading a checkpoint from a folder or the hub, with every failure as one clear sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel
from transformers.processing_utils import ProcessorMixin

from tpad.errors import ModelError
from tpad.mllm.processors import FAMILIES, load_processor


def read_checkpoint(
    path_or_hub_id: str | Path,
    *,
    revision: str | None,
    weights: torch.dtype,
    local_files_only: bool,
    split_images: bool,
    max_pixels: int | None,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Model and processor; arguments and errors as in `MLLM.load`."""
    path = str(path_or_hub_id)
    if not Path(path).is_dir() and (Path(path).is_absolute() or path.count("/") != 1):
        raise ModelError(f"There is no model folder {path}; give a folder or a hub id.")
    hub: dict[str, Any] = {"local_files_only": local_files_only}
    if revision is not None:
        hub["revision"] = revision
    with _loading(path):
        settings, _ = PreTrainedConfig.get_config_dict(path, **hub)
    if "model_type" not in settings:
        raise ModelError(f"The model {path} has no config.json that names its model_type.")
    family = check_family(settings["model_type"], f"The model {path}")
    with _loading(path):
        processor = load_processor(
            path, family, split_images=split_images, max_pixels=max_pixels, **hub
        )
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            path,
            dtype=weights,
            attn_implementation="sdpa",
            use_safetensors=True,
            output_loading_info=True,
            **hub,
        )
    model, info = loaded
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"The model {path} lacks weights ({some}, …); get it whole again.")
    return model, processor


def check_family(model_type: str, whose: str) -> str:
    """The family, or a ModelError."""
    if model_type not in FAMILIES:
        raise ModelError(
            f"{whose} is of the family {model_type!r}, which is not supported; "
            f"use one of {', '.join(FAMILIES)}."
        )
    return model_type


# What transformers raises over files that are missing, damaged or do not fit each other.
_BROKEN = (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError)


@contextmanager
def _loading(path: str) -> Iterator[None]:
    """Whatever goes wrong in reading a checkpoint as a ModelError."""
    try:
        yield
    except (*_BROKEN, httpx.HTTPError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"The model {path} cannot be loaded; check the folder or the hub id, the revision "
            f"and the network ({reason})."
        ) from error
