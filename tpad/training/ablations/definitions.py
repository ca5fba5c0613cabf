"""The ablations of the method: their names, and the settings that each one changes.

Only plain values, so that the command line can list them without importing PyTorch.
"""

from typing import TYPE_CHECKING, Any

from tpad.errors import ConfigError

if TYPE_CHECKING:
    from tpad.training.config import TrainingConfig

ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "no-generation": (
        "without L_gen (and so without L_kd)",
        {"transfer.generation": False, "distillation.generative": False},
    ),
    "no-distillation": ("without L_kd", {"distillation.generative": False}),
    "no-disentanglement": (
        "without the penalty that keeps k_tau and k_nu apart",
        {"distillation.separate_weight": 0.0},
    ),
    "no-tau": ("without k_tau: [k_nu; fields]", {"representation": "intrinsic"}),
    "whole-stand-ins": (
        "stand-ins of new items by the whole embedding, not by k_tau",
        {"representation": "unnamed"},
    ),
    "one-space": ("all parts compared in one space", {"representation": "joined"}),
    "no-alignment": (
        "without alignment",
        {"distillation.align": False, "alignment.teacher_weight": 0.0},
    ),
    "describing-only": (
        "describing only: no alignment, no distillation, no k_tau",
        {
            "representation": "intrinsic",
            "distillation.epochs": 0,
            "distillation.generative": False,
            "feedback.epochs": 0,
        },
    ),
    "captions": (
        "words of the captions that the frozen base writes",
        {"representation": "captions", "knowledge.targets": "written", "knowledge.adapt_epochs": 0},
    ),
    "image-only": ("image only", {"inputs": "image"}),
    "text-only": ("text only", {"inputs": "text"}),
    "mine": ("MINE in place of InfoNCE", {"distillation.lower_bound": "mine"}),
    "nwj": ("NWJ in place of InfoNCE", {"distillation.lower_bound": "nwj"}),
    "jsd": ("JSD in place of InfoNCE", {"distillation.lower_bound": "jsd"}),
    "no-words": ("heads over all features in place of words", {"distillation.words": False}),
    "last-layer": ("last layer only", {"knowledge.layers": (-1,)}),
    "no-feedback": ("without downstream feedback", {"feedback.epochs": 0}),
    "no-fields": ("without price and category", {"fields": False}),
}
"""Ablations by name: title in tables, and changed settings. Each one changes a single aspect."""
SETS_ONLY = ("no-tau", "whole-stand-ins", "one-space", "describing-only", "captions")
"""Ablations of the representation: `ablate` supports them, but `train` does not."""


def check_ablation(name: str) -> None:
    """Check that an ablation exists.

    Raises:
        ConfigError: there is no such ablation.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"There is no ablation {name!r}; choose one of {', '.join(ABLATIONS)}.")


def apply_ablation(config: "TrainingConfig", name: str) -> "TrainingConfig":
    """The settings of an ablation, one of `ABLATIONS`."""
    check_ablation(name)
    for path, value in ABLATIONS[name][1].items():
        config = config.override(path, value)
    return config
