"""Language models with weights of 4 bits, by bitsandbytes, to train adapters on (QLoRA)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from safetensors.torch import save_file
from transformers import BitsAndBytesConfig, PreTrainedModel

from tpad.errors import ConfigError

KEPT_WHOLE = r"(.*\.)?(vision_model|vision_tower|visual|connector|multi_modal_projector|lm_head)"
"""Modules that are not packed: what sees, which is small and run once, and the vocabulary."""


def check_4bit(device: torch.device) -> None:
    """Raises a ConfigError where bitsandbytes or the device for it is missing."""
    if device.type not in ("cuda", "cpu"):
        raise ConfigError(
            f"Loading in 4 bits works on CUDA and on a CPU, and the model would be on "
            f"{device.type!r}; leave load_in_4bit out, or give --device cpu."
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
        llm_int8_skip_modules=[KEPT_WHOLE],
    )
    return {"quantization_config": config, "device_map": {"": str(device)}}


def prepare_4bit(model: PreTrainedModel) -> None:
    """PEFT's preparation for training: the base frozen, what is not packed in float32."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # On some CPUs it would repack its weights in place at the first pass without gradients,
            # with rounded constants: another model than the one that is saved and trained.
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def save_4bit(model: PreTrainedModel, state: dict[str, torch.Tensor], folder: Path) -> None:
    """Writes a packed model, as `from_pretrained` reads it.

    `save_pretrained` takes no state of one's own here, and would write adapters along.

    Args:
        state: weights and their quantisation constants, without adapters.
    """
    tied = model.all_tied_weights_keys
    own = {k: v.cpu().contiguous() for k, v in state.items() if k not in tied}
    save_file(own, folder / "model.safetensors", {"format": "pt"})
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
