"""Pools token vectors to one vector per text, as in sentence-transformers."""

from typing import Any

import torch
from torch import Tensor

from tpad import ModelError

LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Switches in older configurations -> names of the modes, in the order of their vectors."""


def pooling_modes(settings: dict[str, Any], path: str) -> tuple[str, ...]:
    """The modes in the configuration of a Pooling module; the mean if it names none.

    Args:
        settings: content of its `config.json`.
        path: of the checkpoint, for messages.

    Raises:
        ModelError: a mode is unknown.
    """
    named = settings.get("pooling_mode")
    if named is None:
        named = [mode for switch, mode in LEGACY.items() if settings.get(switch)]
        unknown = [k for k, on in settings.items() if k.startswith("pooling_mode_") and on is True]
        unknown = [switch for switch in unknown if switch not in LEGACY]
    else:
        named = [named] if isinstance(named, str) else list(named)
        unknown = [mode for mode in named if mode not in LEGACY.values()]
    if unknown:
        raise ModelError(
            f"{path} has the module Pooling, whose mode {unknown[0]} is not supported; the modes are "
            f"{', '.join(LEGACY.values())}."
        )
    return tuple(named) or ("mean",)


def pooled(states: Tensor, mask: Tensor, modes: tuple[str, ...], prompt: int = 0) -> Tensor:
    """Vectors of texts; those of several modes are concatenated.

    Args:
        states: (B, L, d) of the tokens.
        mask: (B, L), 1 for tokens and 0 for padding on either side.
        modes: at least one.
        prompt: number of tokens at the start of each text to leave out.

    Returns:
        (B, d · len(modes)).
    """
    positions = torch.arange(mask.shape[1], device=mask.device)  # (L,)
    starts = mask.argmax(dim=1, keepdim=True)  # (B, 1)
    kept = mask * (positions >= starts + prompt) if prompt else mask
    return torch.cat([_pooled(states, kept, positions - starts, mode) for mode in modes], dim=1)


def _pooled(states: Tensor, mask: Tensor, order: Tensor, mode: str) -> Tensor:
    """(B, d) of one mode; `order` (B, L) is the position of each token in its text, from 0."""
    rows = torch.arange(len(states), device=states.device)
    weights = mask[..., None].to(states.dtype)  # (B, L, 1)
    match mode:
        case "cls":
            return states[rows, mask.argmax(dim=1)]
        case "lasttoken":
            return states[rows, mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)]
        case "max":
            return states.masked_fill(weights == 0, -torch.inf).amax(dim=1)
        case "weightedmean":
            weights = weights * (order[..., None] + 1)
    total, count = (states * weights).sum(1), weights.sum(1).clamp(min=1e-9)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)
