"""Read and write adapter files as plain data.

Nothing in a file can choose which code runs, or for how long.
"""

import json
import math
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tpad.errors import ModelError
from tpad.mllm.hugging_face import LoraConfig

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
MAX_RANK = 1_024
MAX_TARGETS = 20_000
PROJECTIONS = (
    (r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)", 7),  # Llama, Mistral, Qwen, Gemma
    (r"(self_attn\.(qkv|o)_proj|mlp\.(gate_up|down)_proj)", 4),  # Phi-3: partly fused
)
"""By type of language model: the modules of a layer that adapters are added to, and their number."""
LANGUAGE_LAYERS = r"(model|.*\.(text_model|language_model))\.layers\.\d+\."
"""The layers of the language model, which may be the whole model. It does not match the vision tower, whose
projections have the same names in some families."""
# Settings that do not affect a forward pass, or that follow from the weights.
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
    """Read the settings and the weights of a LoRA adapter that PEFT or `write_adapter` wrote.

    A regular expression in `target_modules` is only used if it is one of our own; otherwise the target
    modules follow from the names of the weights.

    Args:
        folder: contains `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ModelError: the adapter is of another type, or uses a feature that is not supported.
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
    if len(targets) > MAX_TARGETS or not all(isinstance(one, str) and one for one in targets):
        raise ModelError(f"The adapter in {folder} has no usable list of target_modules.")
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
    """Write both files. Equal arguments give equal bytes. The target modules are listed by name."""
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
    """The sorted names of the modules that the weights belong to."""
    matches = (_WEIGHT.fullmatch(key) for key in weights)
    return sorted({match[1] for match in matches if match is not None})


def _check_settings(settings: Any, folder: Path) -> None:
    subject = f"The adapter in {folder}"
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise ModelError(
            f"{subject} is not a LoRA adapter; use one that PEFT wrote with LoraConfig."
        )
    usual = {f.name: None if f.default is MISSING else f.default for f in fields(LoraConfig)}
    for name, value in settings.items():
        # An empty value turns a feature off, including those of newer versions of PEFT.
        if name in _WITHOUT_EFFECT | _READ or not value or value == usual.get(name):
            continue
        raise ModelError(
            f"{subject} sets {name!r}, which is not supported; use a plain LoRA adapter."
        )
    rank: Any = settings.get("r")
    alpha: Any = settings.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise ModelError(f"{subject} has the rank {rank!r}; it must be from 1 to {MAX_RANK:,}.")
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise ModelError(f"{subject} has the lora_alpha {alpha!r}, which is not a finite number.")
    dropout = settings.get("lora_dropout", 0.0)
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ModelError(
            f"{subject} has the lora_dropout {dropout!r}; it must be at least 0 and less than 1."
        )
    if type(settings.get("use_rslora", False)) is not bool:
        raise ModelError(f"{subject} has a use_rslora that is neither true nor false.")
    if settings.get("bias", "none") != "none":
        raise ModelError(
            f"{subject} trains biases, which is not supported; use a plain LoRA adapter."
        )
    if not isinstance(settings.get("target_modules"), str | list):
        raise ModelError(f"{subject} has no usable list of target_modules.")


def _check_shapes(weights: dict[str, Tensor], rank: int, folder: Path) -> None:
    for key, value in weights.items():
        if ".lora_A." in key and (value.ndim != 2 or value.shape[0] != rank):
            raise ModelError(
                f"The adapter in {folder} has the rank {rank}, but {key} has the shape "
                f"{tuple(value.shape)}; its files do not belong together."
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise ModelError(
                f"The adapter in {folder} contains NaN or infinity in {key}; train it again."
            )
