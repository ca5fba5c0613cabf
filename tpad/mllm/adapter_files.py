"""Adapters in files: read as data, so that nothing in them chooses what code runs or how long."""

import json
import math
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from tpad.errors import ModelError

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
LARGEST_RANK = 1_024
MOST_TARGETS = 20_000
PROJECTIONS = (
    (r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)", 7),  # Llama, Mistral, Qwen, Gemma
    (r"(self_attn\.(qkv|o)_proj|mlp\.(gate_up|down)_proj)", 4),  # Phi-3: some are fused
)
"""Which modules of a layer adapters sit on, and how many these are, by kind of language model."""
LANGUAGE_LAYERS = r".*\.(text_model|language_model)\.layers\.\d+\."
"""The layers of the language model. The vision tower, whose attention has projections of the same
names in some families, is left out."""
# What has no part in a forward pass, or is told by the weights.
_WITHOUT_EFFECT = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "peft_version",
    "revision",
    "task_type",
    "loftq_config",
}
_READ = {"peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "bias"}
_WEIGHT = re.compile(r"base_model\.model\.(.+)\.lora_[AB]\.weight")


def read_adapter(folder: Path) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Settings and weights of a LoRA adapter, as PEFT or `write_adapter` wrote them.

    Where it sits is told by names. A regular expression that is none of our own is not run: the
    names of the weights then say it.

    Args:
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ModelError: the adapter is of another kind, or uses what is not supported.
        OSError, ValueError, SafetensorError and others: a file is missing or damaged.
    """
    settings = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    weights = load_file(folder / WEIGHTS_FILE)
    _check_settings(settings, folder)
    rank, alpha = settings["r"], settings["lora_alpha"]
    known = (LANGUAGE_LAYERS + projections for projections, _ in PROJECTIONS)
    targets = settings["target_modules"]
    if isinstance(targets, str) and targets not in known:
        targets = targets_of(weights)
    if len(targets) > MOST_TARGETS or not all(isinstance(one, str) and one for one in targets):
        raise ModelError(f"The adapter in {folder} names its target_modules in no usable list.")
    _check_shapes(weights, rank, folder)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=settings.get("lora_dropout", 0.0),
        use_rslora=settings.get("use_rslora", False),
        target_modules=targets,
    )
    return config, weights


def write_adapter(config: LoraConfig, weights: dict[str, Tensor], folder: Path) -> None:
    """Writes both files; equal arguments give equal bytes. The modules are listed by their names."""
    tensors = {key: value.contiguous().cpu() for key, value in weights.items()}
    save_file(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
    settings = {
        **config.to_dict(),
        "base_model_name_or_path": None,
        "inference_mode": True,
        "target_modules": targets_of(weights),
    }
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()}
    (folder / CONFIG_FILE).write_text(json.dumps(plain, indent=2, sort_keys=True), "utf-8")


def targets_of(weights: dict[str, Tensor]) -> list[str]:
    """Names of the modules that the weights belong to, in order."""
    matches = (_WEIGHT.fullmatch(key) for key in weights)
    return sorted({match[1] for match in matches if match is not None})


def _check_settings(settings: Any, folder: Path) -> None:
    whose = f"The adapter in {folder}"
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise ModelError(f"{whose} is no LoRA adapter; use one that PEFT wrote with LoraConfig.")
    usual = {f.name: None if f.default is MISSING else f.default for f in fields(LoraConfig)}
    for name, value in settings.items():
        # An empty value leaves out what it names, also where a newer PEFT knows more names.
        if name in _WITHOUT_EFFECT | _READ or not value or value == usual.get(name):
            continue
        raise ModelError(
            f"{whose} sets {name!r}, which is not supported; use a plain LoRA adapter."
        )
    rank: Any = settings.get("r")
    alpha: Any = settings.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= LARGEST_RANK:
        raise ModelError(f"{whose} has the rank {rank!r}; it must be from 1 to {LARGEST_RANK:,}.")
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise ModelError(f"{whose} has the lora_alpha {alpha!r}, which must be a number.")
    dropout = settings.get("lora_dropout", 0.0)
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ModelError(f"{whose} has the lora_dropout {dropout!r}; it must be from 0 to below 1.")
    if type(settings.get("use_rslora", False)) is not bool:
        raise ModelError(f"{whose} has a use_rslora that is neither true nor false.")
    if settings.get("bias", "none") != "none":
        raise ModelError(
            f"{whose} trains biases, which is not supported; use a plain LoRA adapter."
        )
    if not isinstance(settings.get("target_modules"), str | list):
        raise ModelError(f"{whose} names its target_modules in no usable list.")


def _check_shapes(weights: dict[str, Tensor], rank: int, folder: Path) -> None:
    for key, value in weights.items():
        if ".lora_A." in key and (value.ndim != 2 or value.shape[0] != rank):
            raise ModelError(
                f"The adapter in {folder} has the rank {rank}, but {key} the shape "
                f"{tuple(value.shape)}; its files do not belong together."
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise ModelError(f"The adapter in {folder} holds NaN or infinity in {key}.")
