"""Measures how likely captions are: with their pictures, with those of other items, and without."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tpad.assembly.features import TowerOutputs
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn
from tpad.mllm.scoring import score_answers
from tpad.training.workspace import Stage

MOST_MEASURED = 500
"""Most held-out items that are measured."""
BATCH = 32  # items that are scored at once

OWN, OTHER, NONE = "with_its_picture", "with_another_picture", "without_a_picture"


def measure(
    mllm: MLLM, captions: Sequence[str], rows: np.ndarray, outputs: TowerOutputs, stage: Stage
) -> dict[str, Any]:
    """The negative log-likelihood of held-out captions per token, in nats, end tokens included.

    The language model also learns from the connector what captions look like. Only the picture of another
    item shows how much of a gain is due to what is *on* a picture.

    Args:
        mllm: the model.
        captions: of all items.
        rows: the held-out items, in random order.
        outputs: of the vision tower, for all items.
        stage: stores the result.

    Returns:
        items, tokens, nats_per_token by picture, and gain over other pictures and over none, each with
        its standard error over items.
    """
    if stage.done:
        return stage.facts()
    rows = rows[:MOST_MEASURED]
    own = [captions[row] for row in rows]
    answers = mllm.chat_tokenizer.tokenize_answers(own)
    tokens = np.array([len(ids) for ids in answers])  # (n,)
    pictures = {OWN: rows, OTHER: np.roll(rows, 1), NONE: None}
    nats = {name: np.zeros(len(rows)) for name in pictures}
    starts = range(0, len(rows), BATCH)
    for start in stage.bar(starts, len(starts), "measuring held-out captions"):
        part = slice(start, start + BATCH)
        for name, shown in pictures.items():
            shown = None if shown is None else shown[part]
            nats[name][part] = _nats(mllm, answers[part], shown, outputs)
    facts = {
        "items": len(rows),
        "tokens": int(tokens.sum()),
        "nats_per_token": {name: float(sums.sum() / tokens.sum()) for name, sums in nats.items()},
        "gain": {name: _gain(nats[name] - nats[OWN], tokens) for name in (OTHER, NONE)},
    }
    stage.finish(**facts)
    return facts


def _nats(
    mllm: MLLM, answers: Sequence[np.ndarray], shown: np.ndarray | None, outputs: TowerOutputs
) -> np.ndarray:
    """(B,) negative log-likelihoods of captions, with the pictures in the rows `shown` or without."""
    images = None
    if shown is not None:
        with torch.no_grad():
            images = outputs.connected(mllm, shown)
    items = [ItemInput(None if shown is None else n) for n in range(len(answers))]
    chats = [[Turn(item, DESCRIBE)] for item in items]
    scores = score_answers(mllm, chats, [[ids] for ids in answers], images=images)
    return -np.concatenate(scores)


def _gain(differences: np.ndarray, tokens: np.ndarray) -> dict[str, float]:
    """The mean difference per token, and the standard error of this ratio.

    Args:
        differences: (n,) sums over the tokens of each item.
        tokens: (n,) number of tokens of each item.
    """
    mean = differences.sum() / tokens.sum()
    error = np.sqrt(((differences - mean * tokens) ** 2).sum()) / tokens.sum()
    return {"nats_per_token": float(mean), "standard_error": float(error)}
