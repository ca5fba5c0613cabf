"""Learns to predict the words of an item's description from given vectors.

The student learns this with its adapter (see `describing`). Given vectors are fixed, so a linear layer
is trained, which takes seconds.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tpad.model.heads import KnowledgeHeads, word_loss

STEPS = 600
VALIDATE_EVERY = 20  # steps
HELD_OUT = 0.1  # share of the items
LEARNING_RATE = 0.02
DROPOUT = 0.2  # on the features, so that no word depends on a few of them


def fit_word_predictions(heads: KnowledgeHeads, table: Tensor, words: Tensor, seed: int) -> float:
    """Fit `heads.describe` in place and keep the step that is best on held-out items.

    Args:
        heads: heads with `config.words`.
        table: (n_items, D) standardised features.
        words: (n_items, W) in 0/1.
        seed: seed of the held-out items and of dropout.

    Returns:
        Cross-entropy of the words in nats per held-out item.
    """
    describe = heads.describe
    assert describe is not None, "these heads predict no words"
    inputs = table[:, table.shape[1] - heads.d_words :].detach()  # (n_items, d_words)
    generator = torch.Generator().manual_seed(seed)
    held_out = (torch.rand(len(inputs), generator=generator) < HELD_OUT).to(inputs.device)
    if held_out.all() or not held_out.any():  # there are very few items
        held_out = torch.zeros_like(held_out)
    validation = held_out if held_out.any() else ~held_out
    optimizer = torch.optim.Adam(describe.parameters(), lr=LEARNING_RATE)
    best, state = float("inf"), {}
    # Do not change the caller's random state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(STEPS):
            dropped = F.dropout(inputs[~held_out], DROPOUT)
            optimizer.zero_grad()
            word_loss(describe(dropped), words[~held_out]).backward()
            optimizer.step()
            if step % VALIDATE_EVERY == VALIDATE_EVERY - 1:
                with torch.no_grad():
                    loss = float(word_loss(describe(inputs[validation]), words[validation]))
                if loss < best:
                    best = loss
                    state = {name: value.clone() for name, value in describe.state_dict().items()}
    describe.load_state_dict(state)
    return best
