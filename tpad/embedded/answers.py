"""The loss of the answers in a batch of conversations, given the vision tower's picture features."""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Idefics3ForConditionalGeneration

from tpad.embedded.data import IGNORE, Conversation
from tpad.mllm.precision import faster_cpu_dtype

GROUP_SIZE = 8
"""Conversations of similar length that the language model reads at once."""


def fast_autocast() -> torch.autocast:
    """bf16 autocast if it is faster than fp32 on this machine, which is measured once."""
    return torch.autocast("cpu", torch.bfloat16, enabled=faster_cpu_dtype() == torch.bfloat16)


def answer_loss(
    model: Idefics3ForConditionalGeneration,
    batch: list[Conversation],
    patches: Tensor,
    pad: int,
) -> Tensor:
    """Mean cross-entropy over all tokens of the answers.

    The language model reads groups of conversations of similar length, because half of a batch of mixed
    lengths would be padding. The loss and its gradient are those of the whole batch.

    Args:
        model: the model.
        batch: conversations, which refer to pictures by row.
        patches: (n, patches, d) picture features of the vision tower.
        pad: token id of padding.
    """
    batch = sorted(batch, key=lambda conversation: len(conversation[0]))
    rows = torch.tensor([r for _, _, some in batch for r in some])  # (n_pictures,)
    with fast_autocast():
        seen = model.model.connector(patches[rows].float())  # (n_pictures, image tokens, d)
    total, tokens, shown = torch.zeros(()), 0, 0
    for start in range(0, len(batch), GROUP_SIZE):
        some = batch[start : start + GROUP_SIZE]
        own = sum(len(r) for _, _, r in some)
        loss, count = _summed_loss(model, some, seen[shown : shown + own], pad)
        total, tokens, shown = total + loss, tokens + count, shown + own
    return total / tokens


def _summed_loss(
    model: Idefics3ForConditionalGeneration, batch: list[Conversation], seen: Tensor, pad: int
) -> tuple[Tensor, int]:
    """Sum of the answers' token losses, and number of tokens; `seen` has the pictures in order."""
    length = max(len(ids) for ids, _, _ in batch)
    ids = torch.tensor([i + [pad] * (length - len(i)) for i, _, _ in batch])  # (B, L)
    labels = torch.tensor([own + [IGNORE] * (length - len(own)) for _, own, _ in batch])  # (B, L)
    with fast_autocast():
        embedded = model.get_input_embeddings()(ids)  # (B, L, d)
        place = (ids == model.config.image_token_id)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, seen.to(embedded.dtype))
        # Padding comes last and the model is causal, so no mask is needed.
        hidden = model.model.text_model(inputs_embeds=embedded).last_hidden_state  # (B, L, d)
        answer = labels[:, 1:] != IGNORE  # (B, L − 1)
        logits = model.lm_head(hidden[:, :-1][answer])  # (n_tokens, vocabulary)
    loss = F.cross_entropy(logits.float(), labels[:, 1:][answer], reduction="sum")
    return loss, len(logits)
