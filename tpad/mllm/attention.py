"""Attention masks of language models whose layers differ in what they see (Gemma, and some of Qwen)."""

from typing import Any

import torch
from torch import Tensor

SLIDING = "sliding_attention"


def attention_of(family: str) -> str:
    """The implementation of attention that a family needs; sdpa knows no soft caps of scores."""
    return "eager" if family == "gemma2" else "sdpa"


def masks_after(config: Any, mask: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
    """The mask of tokens that follow a cache, in the form that the model needs.

    A layer with a sliding window sees the tokens that are at most so many positions before. Transformers
    counts columns instead, and so the padding between a prompt and what follows it.

    Args:
        config: of the model.
        mask: (B, P + N), or (B, 1, N, P + N) bool, of N tokens after P tokens of a cache.
        positions: (B, N), of the N tokens.

    Returns:
        The mask as it is, or for a model with sliding windows a mask for each kind of layer.
    """
    text = config.get_text_config()
    eager = text._attn_implementation == "eager"
    slides = SLIDING in (getattr(text, "layer_types", None) or ())
    if not eager and not slides:
        return mask
    new = positions.shape[1]
    if mask.ndim == 2:
        causal = torch.ones(new, mask.shape[1], dtype=torch.bool, device=mask.device)
        mask = mask.bool()[:, None, None] & causal.tril(mask.shape[1] - new)
    masks = {"full_attention": mask}
    if slides:
        before = mask[:, 0, 0, :-new].long().cumsum(1) - 1  # (B, P); all N tokens see the prompt
        columns = torch.cat([before, positions], dim=1)  # (B, P + N)
        near = positions[:, :, None] - columns[:, None] < text.sliding_window  # (B, N, P + N)
        masks[SLIDING] = mask & near[:, None]
    if eager:  # adds the mask to the scores
        lowest = torch.finfo(torch.float32).min
        return {
            kind: torch.zeros(one.shape, device=one.device).masked_fill(~one, lowest)
            for kind, one in masks.items()
        }
    return masks
