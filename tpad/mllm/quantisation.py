"""Language models in 4 bits, with bitsandbytes, to train adapters on (QLoRA)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tpad.errors import ConfigError
from tpad.mllm.hugging_face import (
    BitsAndBytesConfig,
    PreTrainedModel,
    prepare_model_for_kbit_training,
)

NOT_QUANTISED = r"(.*\.)?(vision_model|vision_tower|visual|connector|multi_modal_projector|lm_head)"
"""Modules that keep their precision: the vision tower and the connector, which are small, and the output
layer."""


def check_4bit(device: torch.device) -> None:
    """Check that bitsandbytes is installed and supports the device.

    Raises:
        ConfigError: the package is missing, or the device is not supported.
    """
    if device.type not in ("cuda", "cpu"):
        raise ConfigError(
            f"Loading in 4 bits works on CUDA and on a CPU, but the model would be on "
            f"{device.type!r}; leave out load_in_4bit, or set --device cpu."
        )
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            "Loading in 4 bits needs the package bitsandbytes, which is not installed; install it "
            'with `pip install "tpad[quant]"`, or leave out load_in_4bit.'
        )


def loading_options(device: torch.device, compute: torch.dtype) -> dict[str, Any]:
    """Options of `from_pretrained`: NF4 with double quantisation, loaded directly onto the device."""
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=[NOT_QUANTISED],
    )
    return {"quantization_config": config, "device_map": {"": str(device)}}


def prepare_4bit(model: PreTrainedModel) -> None:
    """Prepare for training with PEFT: freeze the base, and convert the other weights to float32."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # Otherwise, on some CPUs, the first pass without gradients repacks the weights in place with
            # rounded constants, and the model differs from the one that is saved and trained.
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def save_4bit(model: PreTrainedModel, state: dict[str, torch.Tensor], folder: Path) -> None:
    """Write a quantised model that `from_pretrained` can read.

    `save_pretrained` ignores `state_dict` for a quantised model, and would also write the adapters.

    Args:
        model: provides the config.
        state: the weights and their quantisation constants, without adapters.
        folder: an existing folder.
    """
    tied = model.all_tied_weights_keys
    own = {k: v.cpu().contiguous() for k, v in state.items() if k not in tied}
    save_file(own, folder / "model.safetensors", {"format": "pt"})
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
