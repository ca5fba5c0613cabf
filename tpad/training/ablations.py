"""The ablations of the method: what each is called, and the settings that it changes.

Plain values only, so that the command line can name them before PyTorch starts.
"""

from typing import Any

from tpad.errors import ConfigError

ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "no-generation": ("without L_gen (and so without L_kd)",
                      {"transfer.generation": False, "distill.generative": False}),
    "no-distillation": ("without L_kd", {"distill.generative": False}),
    "no-disentanglement": ("without disentanglement", {"distill.disentangle": False}),
    "no-alignment": ("without alignment", {"distill.align": False}),
    "image-only": ("image only", {"inputs": "image"}),
    "text-only": ("text only", {"inputs": "text"}),
    "mine": ("MINE in place of InfoNCE", {"distill.lower_bound": "mine"}),
    "nwj": ("NWJ in place of InfoNCE", {"distill.lower_bound": "nwj"}),
    "jsd": ("JSD in place of InfoNCE", {"distill.lower_bound": "jsd"}),
    "no-words": ("heads over all features in place of words", {"distill.words": False}),
    "last-layer": ("last layer only", {"knowledge.layers": (-1,)}),
    "no-feedback": ("without downstream feedback", {"feedback.epochs": 0}),
    "no-fields": ("without price and category", {"fields": False}),
}  # fmt: skip
"""Ablations by flag: what it says in a table, and the settings that it changes."""


def check_ablation(name: str) -> None:
    """Refuses an unknown name.

    Raises:
        ConfigError: there is no such ablation.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"There is no ablation {name!r}; choose one of {', '.join(ABLATIONS)}.")
