"""The items on which a step of distillation runs the heads.

These are all training items and some imagined ones. If there are many training items, a step uses a sample of
them: the targets of the batch, items drawn uniformly, and the teacher's candidates. The next-item loss is then
the sampled softmax of `tpad.training.sampled_softmax`, so the cost of a step does not grow with the number of
items.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tpad.model.session.batching import PADDING
from tpad.training.sampled_softmax import Sampling, SessionSampler, correction, positions

MASKED = -1e4  # score of masked candidates; finite, because KL of two infinities is undefined


@dataclass(frozen=True, eq=False)
class StepItems:
    """The items of a training step.

    Attributes:
        every: (n,) ascending columns of training and imagined items.
        n_warm: how many of them, the first ones, are training items.
        candidates: positions in `every` of the C candidates for the next item; None if these are all
            training items.
        log_q: (C,) log of the probability that a candidate is in the step; None if all are.
    """

    every: Tensor
    n_warm: int
    candidates: Tensor | None = None
    log_q: Tensor | None = None


class StepSampler:
    """Draws the items of each step.

    Args:
        targets: (N,) columns of the targets of all training cases.
        n_warm: number of training items; imagined items have the columns after them.
        n_imagined: number of imagined items.
        imagined_batch: imagined items of a step.
        sampling: number of training items beyond which they are sampled, and how many.
    """

    def __init__(
        self,
        targets: np.ndarray,
        n_warm: int,
        n_imagined: int,
        imagined_batch: int,
        sampling: Sampling,
    ) -> None:
        self.n_warm, self.n_imagined, self.imagined_batch = n_warm, n_imagined, imagined_batch
        self.sampler: SessionSampler | None = None
        if n_warm > sampling.full_softmax_items:
            # Each case is a window of two items: any first one, and its target.
            windows = list(np.stack([targets, targets], axis=1))
            self.sampler = SessionSampler(windows, np.arange(n_warm), n_warm, sampling.negatives)

    def draw(
        self, targets: Tensor, candidates: Tensor | None, rng: np.random.Generator
    ) -> StepItems:
        """The items of a step.

        Args:
            targets: (B,) columns of the targets.
            candidates: columns of the teacher's candidates, in any shape; −1 if not in the table.
            rng: random generator.
        """
        device = targets.device
        # Only some imagined items are used: the candidates of this step, and a random choice.
        if self.sampler is None or self.n_imagined <= self.imagined_batch:
            drawn = rng.permutation(self.n_imagined)[: self.imagined_batch]
        else:
            drawn = rng.choice(self.n_imagined, self.imagined_batch, replace=False)
        others = torch.from_numpy(drawn + self.n_warm).to(device)
        if candidates is not None:
            others = torch.cat([others, candidates[candidates >= self.n_warm]])
        others = torch.unique(others)
        if self.sampler is None:
            warm = torch.arange(self.n_warm, device=device)
            return StepItems(torch.cat([warm, others]), self.n_warm)
        lengths = np.full(len(targets), 2)
        columns, log_q = self.sampler.draw(lengths, targets.cpu().numpy(), rng)
        columns = warm = columns.to(device)
        if candidates is not None:
            inside = (candidates >= 0) & (candidates < self.n_warm)
            warm = torch.unique(torch.cat([columns, candidates[inside]]))
        return StepItems(
            torch.cat([warm, others]), len(warm), positions(warm, columns), log_q.to(device)
        )


def sampled_next_loss(scores: Tensor, targets: Tensor, seen: Tensor, items: StepItems) -> Tensor:
    """Cross-entropy of the next items among the sampled ones.

    Args:
        scores: (B, C) scores of the candidates.
        targets: (B,) columns.
        seen: (B, L) columns of the items of each prefix, or negative values. The target is a candidate
            even if it is among them.
        items: of the step.
    """
    assert items.candidates is not None and items.log_q is not None, "the items are not sampled"
    columns = items.every[items.candidates]  # (C,)
    own = positions(columns, targets)  # (B,)
    masked = positions(columns, seen.masked_fill(seen == targets[:, None], PADDING))
    return F.cross_entropy(scores - correction(items.log_q, own[:, None], masked), own)


def kd_loss(
    scores: Tensor, every: Tensor, columns: Tensor, teacher: Tensor, temperature: float
) -> Tensor:
    """`L_kd = KL(softmax_j(log p_teacher / T) ‖ softmax_j(t_tau · k_tau(j) / T))`, mean over sessions.

    Args:
        scores: (S, n), of the items in `every`.
        every: (n,) ascending columns.
        columns: (S, C) columns of the candidates, all in `every`; negative if not in the table.
        teacher: (S, C) log-likelihoods of the teacher.
        temperature: T.
    """
    scores = scores.gather(1, torch.searchsorted(every, columns.clamp(min=0)))  # (S, C)
    scores, teacher = (one.masked_fill(columns < 0, MASKED) for one in (scores, teacher))
    return F.kl_div(
        F.log_softmax(scores / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def words_seen(columns: Tensor, words: Tensor) -> Tensor:
    """Which words describe an item of each prefix: (B, W) 0/1.

    Args:
        columns: (B, L) columns of the items of each prefix; negative where there is none.
        words: (n, W) 0/1, words of each item.
    """
    found = torch.zeros(len(columns), words.shape[1], device=words.device)
    for step in columns.T:  # (B,)
        known = step >= 0
        found[known] = torch.maximum(found[known], words[step[known]])
    return found
