"""Learning to name the words of an item's description from vectors that are given.

The student learns it by its adapter (see `describing`). Given vectors do not move, so that here a
linear layer is all there is to learn, in seconds.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tpad.model.heads import KnowledgeHeads, naming_loss

STEPS = 600
LOOK_EVERY = 20  # steps between two looks at the items held out
HELD_OUT = 0.1
LEARNING_RATE = 0.02
DROPOUT = 0.2  # on the features, so that no word hangs on a few of them


def learn_to_name(heads: KnowledgeHeads, table: Tensor, words: Tensor, seed: int) -> float:
    """Fits `heads.describe` in place, up to the step that is best on a tenth of the items.

    Args:
        heads: with words.
        table: (n_items, D) standardised features.
        words: (n_items, W) in 0/1.
        seed: draws the tenth and the dropout.

    Returns:
        Cross-entropy of the words in nats an item, on the items held out.
    """
    describe = heads.describe
    assert describe is not None, "heads without words name none"
    read = table[:, table.shape[1] - heads.d_named :].detach()  # (n_items, d_named)
    generator = torch.Generator().manual_seed(seed)
    held = (torch.rand(len(read), generator=generator) < HELD_OUT).to(read.device)
    if held.all() or not held.any():  # a handful of items
        held = torch.zeros_like(held)
    judged = held if held.any() else ~held
    optimizer = torch.optim.Adam(describe.parameters(), lr=LEARNING_RATE)
    best, state = float("inf"), {}
    # The caller's own random state stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(STEPS):
            shown = F.dropout(read[~held], DROPOUT)
            optimizer.zero_grad()
            naming_loss(describe(shown), words[~held]).backward()
            optimizer.step()
            if step % LOOK_EVERY == LOOK_EVERY - 1:
                with torch.no_grad():
                    reached = float(naming_loss(describe(read[judged]), words[judged]))
                if reached < best:
                    best = reached
                    state = {name: value.clone() for name, value in describe.state_dict().items()}
    describe.load_state_dict(state)
    return best
