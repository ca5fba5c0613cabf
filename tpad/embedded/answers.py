"""The loss of the answers in a batch of conversations whose pictures the tower has read already."""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Idefics3ForConditionalGeneration

from tpad.embedded.data import IGNORE, Conversation
from tpad.mllm.precision import faster_cpu_dtype

TOGETHER = 8
"""Conversations of like length that the language model reads at once."""


def fast_format() -> torch.autocast:
    """bf16 autocast where that multiplies faster than fp32; measured once."""
    return torch.autocast("cpu", torch.bfloat16, enabled=faster_cpu_dtype() == torch.bfloat16)


def answer_loss(
    model: Idefics3ForConditionalGeneration,
    batch: list[Conversation],
    patches: Tensor,
    pad: int,
) -> Tensor:
    """Cross-entropy of the answers' tokens, a mean over those of the whole batch.

    `patches`, (n, patches, d), is what the tower sees in the pictures that the batch names by row.

    The language model reads conversations of like length together: half of a batch of mixed lengths
    is padding. The loss and its gradient are those of the batch as a whole.
    """
    batch = sorted(batch, key=lambda conversation: len(conversation[0]))
    rows = torch.tensor([r for _, _, some in batch for r in some])  # (n_pictures,)
    with fast_format():
        seen = model.model.connector(patches[rows].float())  # (n_pictures, image tokens, d)
    total, tokens, shown = torch.zeros(()), 0, 0
    for start in range(0, len(batch), TOGETHER):
        some = batch[start : start + TOGETHER]
        own = sum(len(r) for _, _, r in some)
        loss, count = _summed_loss(model, some, seen[shown : shown + own], pad)
        total, tokens, shown = total + loss, tokens + count, shown + own
    return total / tokens


def _summed_loss(
    model: Idefics3ForConditionalGeneration, batch: list[Conversation], seen: Tensor, pad: int
) -> tuple[Tensor, int]:
    """Sum of the answers' token losses and their number; `seen` are the batch's pictures in order."""
    length = max(len(ids) for ids, _, _ in batch)
    ids = torch.tensor([i + [pad] * (length - len(i)) for i, _, _ in batch])  # (B, L)
    labels = torch.tensor([own + [IGNORE] * (length - len(own)) for _, own, _ in batch])  # (B, L)
    with fast_format():
        embedded = model.get_input_embeddings()(ids)  # (B, L, d)
        place = (ids == model.config.image_token_id)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, seen.to(embedded.dtype))
        # Padding stands at the end, where a causal model cannot look back from: no mask is needed.
        hidden = model.model.text_model(inputs_embeds=embedded).last_hidden_state  # (B, L, d)
        answer = labels[:, 1:] != IGNORE  # (B, L − 1)
        logits = model.lm_head(hidden[:, :-1][answer])  # (n_tokens, vocabulary)
    loss = F.cross_entropy(logits.float(), labels[:, 1:][answer], reduction="sum")
    return loss, len(logits)
