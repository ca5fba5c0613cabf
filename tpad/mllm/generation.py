"""Write answers by greedy decoding."""

from collections.abc import Sequence

import torch

from tpad.mllm.collator import collate
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import Conversation, ItemInput, Turn


def generate(
    mllm: MLLM,
    items: Sequence[ItemInput],
    *,
    instruction: str,
    max_new_tokens: int = 48,
    batch_size: int = 32,
    images: ImageCache | None = None,
) -> list[str]:
    """Write an answer about each item: the most likely token at each step, up to an end token.

    Args:
        mllm: the model, with its active adapter.
        items: what the model reads.
        instruction: what is asked about each item.
        max_new_tokens: the longest answer.
        batch_size: number of items that are read together.
        images: cached image features; items then name their image by its row.
    """
    out = [""] * len(items)
    order = sorted(range(len(items)), key=lambda i: (items[i].image is None, len(items[i].text)))
    with mllm.inference():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            conversations = [[Turn(items[i], instruction)] for i in rows]
            answers = _generate_batch(mllm, conversations, max_new_tokens, images)
            for i, ids in zip(rows, answers, strict=True):
                out[i] = mllm.chat_tokenizer.decode(ids)
    return out


def _generate_batch(
    mllm: MLLM,
    conversations: Sequence[Conversation],
    max_new_tokens: int,
    images: ImageCache | None,
) -> list[list[int]]:
    """The tokens of the answer to each conversation."""
    batch = collate(mllm, conversations, images=images).to(mllm.device)
    prompt = mllm.forward(batch, need_logits=False, use_cache=True)
    state = prompt.last_hidden[torch.arange(len(batch), device=mllm.device), batch.last_tokens]
    position = batch.next_positions  # (B,)
    mask, pad_id = batch.attention_mask, mllm.chat_tokenizer.pad_id
    stops = torch.tensor(sorted(mllm.chat_tokenizer.stop_ids), device=mllm.device)
    done = torch.zeros(len(batch), dtype=torch.bool, device=mllm.device)
    written: list[torch.Tensor] = []
    for _ in range(max_new_tokens):
        token = mllm.logits(state).argmax(-1)  # (B,)
        done = done | torch.isin(token, stops)
        written.append(token.masked_fill(done, pad_id))
        if done.all():
            break
        mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=1)
        state = mllm.forward_cached(token[:, None], mask, position[:, None], prompt.cache)[:, 0]
        position = position + 1
    ids = torch.stack(written, 1).cpu().numpy()  # (B, new)
    return [row[row != pad_id].tolist() for row in ids]
