"""The ablations of the method: what each is called, and the settings that it changes.

Plain values only, so that the command line can name them before PyTorch starts.
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
    "no-alignment": ("without alignment", {"distillation.align": False}),
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
"""Ablations by name: title in a table, and the settings that it changes. Each varies one thing."""
SETS_ONLY = ("no-tau", "describing-only", "captions")
"""Ablations of the representation, which `ablate` makes and `train` does not."""


def check_ablation(name: str) -> None:
    """Refuses an unknown name.

    Raises:
        ConfigError: there is no such ablation.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"There is no ablation {name!r}; choose one of {', '.join(ABLATIONS)}.")


def apply_ablation(config: "TrainingConfig", name: str) -> "TrainingConfig":
    """The settings with one of `ABLATIONS` applied."""
    check_ablation(name)
    for path, value in ABLATIONS[name][1].items():
        config = config.override(path, value)
    return config
