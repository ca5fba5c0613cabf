"""What all stages share about optimising: schedule, clipping, and randomness that can be resumed."""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tpad.distributed import processes
from tpad.training.muon import Muon

WARM_UP_STEPS = 100


def adamw(groups: Sequence[dict[str, Any]], weight_decay: float) -> torch.optim.AdamW:
    """AdamW under which matrices decay, and norms and biases do not.

    Args:
        groups: parameter groups as AdamW takes them, each with its `params` and its peak `lr`. A
            group may have a `weight_decay` of its own.
        weight_decay: of the matrices of groups that name none.
    """
    split = []
    for group in groups:
        parameters = list(group["params"])
        split.append({**group, "params": [p for p in parameters if p.ndim > 1]})
        narrow = [p for p in parameters if p.ndim <= 1]
        split.append({**group, "params": narrow, "weight_decay": 0.0})
    # Fused: on two cores a step of a small recommender costs a seventh less.
    return torch.optim.AdamW(split, weight_decay=weight_decay, betas=(0.9, 0.98), fused=True)


def warm_up_cosine(step: int, steps: int) -> float:
    """Linear warm-up times cosine decay to zero: the share of the peak rate at one step.

    Args:
        step: number of the step, from 0.
        steps: number of steps in all. The warm-up takes a tenth of them, at most `WARM_UP_STEPS`.
    """
    warm_up = min(WARM_UP_STEPS, max(1, steps // 10))
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))


class Optimisation:
    """AdamW, and Muon for chosen matrices, with linear warm-up, cosine decay and gradient clipping.

    The rate depends on the number of the step alone, so a resumed run continues it exactly.

    Args:
        groups: parameter groups as for AdamW, each with its peak `lr`.
        steps: number of steps in all.
        weight_decay: of matrices; norms and biases are exempt.
        clip: largest norm of the gradient.
        matrices: parameters that Muon takes, which the groups must not hold too.
        matrix_rate: Muon's peak learning rate.
        split: whether several processes each give the gradient of their share of a loss; all of them
            then begin with the main one's weights and take the same steps.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        steps: int,
        weight_decay: float = 0.0,
        clip: float = 1.0,
        matrices: Sequence[nn.Parameter] = (),
        matrix_rate: float = 0.0,
        split: bool = False,
    ) -> None:
        self.optimizers: list[torch.optim.Optimizer] = [adamw(groups, weight_decay)]
        if matrices:
            self.optimizers.append(Muon(matrices, matrix_rate, weight_decay))
        self.parameters = [p for group in self.groups for p in group["params"]]
        self.peaks = [group["lr"] for group in self.groups]
        self.steps, self.taken, self.clip = max(1, steps), 0, clip
        self.warm_up = max(1, min(WARM_UP_STEPS, steps // 10))
        self.split = split
        if split:
            processes.send(*self.parameters)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimisers' parameter groups; restoring an optimiser's state puts new ones in place."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self, loss: Tensor | None = None) -> None:
        """One step down the gradient of `loss`, or of what `backward` has left in the parameters."""
        if loss is not None:
            self.zero_grad()
            loss.backward()
        if self.split:
            processes.add_up_gradients(self.parameters)
        rate = min(
            (self.taken + 1) / self.warm_up,
            0.5 * (1 + math.cos(math.pi * min(1.0, self.taken / self.steps))) + 0.01,
        )
        for group, peak in zip(self.groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.taken += 1

    def zero_grad(self) -> None:
        """Drops the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)


def epoch_generator(seed: int, stage: str, epoch: int) -> np.random.Generator:
    """Randomness of one epoch; also seeds torch, so that an epoch is the same after a restart."""
    generator = np.random.default_rng([seed, zlib.crc32(stage.encode()), epoch])
    torch.manual_seed(int(generator.integers(2**31)))
    return generator
