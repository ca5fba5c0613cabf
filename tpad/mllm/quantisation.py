"""Language models with weights of 4 bits, by bitsandbytes, to train adapters on (QLoRA)."""

from importlib.util import find_spec
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, PreTrainedModel

from tpad.errors import ConfigError

KEPT_WHOLE = (
    "vision_model", "vision_tower", "visual", "connector", "multi_modal_projector", "lm_head",
)  # fmt: skip
"""Modules that are not packed: what sees, which is small and run once, and the vocabulary."""


def check_4bit(device: torch.device) -> None:
    """Raises a ConfigError where bitsandbytes or the device for it is missing."""
    if device.type != "cuda":
        raise ConfigError(
            f"Loading in 4 bits needs a CUDA device, and the model would be on {device.type!r}; "
            "leave load_in_4bit out, or run it where torch finds CUDA."
        )
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            "Loading in 4 bits needs the package bitsandbytes, which is not installed; install it "
            'by `pip install -e ".[quant]"`, or leave load_in_4bit out.'
        )


def loading_options(device: torch.device, compute: torch.dtype) -> dict[str, Any]:
    """Arguments of `from_pretrained`: NF4 with packed constants, straight onto the device."""
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=list(KEPT_WHOLE),
    )
    return {"quantization_config": config, "device_map": {"": str(device)}}


def prepare_4bit(model: PreTrainedModel) -> None:
    """PEFT's preparation for training: the base frozen, what is not packed in float32."""
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
