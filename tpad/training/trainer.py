"""The trainer of all networks that learn from sessions: the recommender and the neural baselines.

It runs epochs of shuffled batches with AdamW, linear warm-up, cosine decay and gradient clipping. Large
tables, of which a step uses a few rows, are updated by `RowAdam`. The trainer
keeps the epoch with the best validation value, and stops when that value no longer improves.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tpad.errors import DataError
from tpad.io.saved_state import optimizer_tensors, restore_optimizer, under
from tpad.model.session.batching import shuffled_batches
from tpad.model.session.fitted import EpochReport
from tpad.training.optimisation import adamw, warm_up_cosine
from tpad.training.row_adam import RowAdam, clip_gradients

Progress = Callable[[EpochReport], None]
"""Called after each epoch."""
Bar = Callable[[Iterable, int, str], Iterable]
"""A progress bar: takes the batches of an epoch, their number and a text, and yields the batches."""


class TrainerConfig(Protocol):
    """The settings of a trainer."""

    @property
    def epochs(self) -> int:
        """Maximum number of passes over the sessions."""

    @property
    def batch_size(self) -> int:
        """Sessions per step."""

    @property
    def weight_decay(self) -> float:
        """Weight decay of matrices; norms and biases are exempt."""

    @property
    def patience(self) -> int:
        """Number of epochs without improvement after which training stops."""

    @property
    def seed(self) -> int:
        """Seed of the order of the sessions."""


class Checkpoint(Protocol):
    """Stores the state of a training after each epoch; `Stage` implements it."""

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state that was saved last; None if there is none."""

    def save_state(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Replace the saved state by these tensors and plain values."""


class Trainer:
    """Trains a module on sessions.

    Args:
        module: contains all parameters that are trained.
        groups: its parameters in groups, each with `params` and peak `lr`.
        windows: sessions as integer arrays, at least one.
        config: settings.
        loss: takes a batch (B, L) of windows, padded with `PADDING`; returns the mean loss over its
            cases, and their number. A batch without cases is skipped.
        validate: returns the validation value of the module, larger is better; NaN if there is no
            validation data, in which case the last epoch is kept.
        no_cases: error message if no batch has a case.
        tables: parameters whose gradients are sparse, in groups with peak `lr`; not in `groups`.
        rng: draws the order of the sessions; by default it is seeded with `config.seed`. A loss may
            draw from it too, because checkpoints store its state.
        device: device of the batches.

    Attributes:
        history: reports of the finished epochs.
    """

    def __init__(
        self,
        module: nn.Module,
        groups: Sequence[dict[str, Any]],
        windows: Sequence[np.ndarray],
        config: TrainerConfig,
        loss: Callable[[Tensor], tuple[Tensor, int]],
        validate: Callable[[], float],
        *,
        no_cases: str,
        tables: Sequence[dict[str, Any]] = (),
        rng: np.random.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.module, self.windows, self.config = module, windows, config
        self.loss, self.validate, self.no_cases = loss, validate, no_cases
        self.device = torch.device(device)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "optimizer": adamw(groups, config.weight_decay)
        }
        if tables:
            self.optimizers["tables"] = RowAdam(tables)
        self.peaks = [group["lr"] for group in self._groups]
        self.per_epoch = math.ceil(len(windows) / config.batch_size)  # steps
        self.rng = rng or np.random.default_rng(config.seed)
        self.taken = 0  # steps
        self.history: list[EpochReport] = []
        self.best_epoch, self.best_state = 0, dict[str, Tensor]()

    def run(
        self,
        progress: Progress | None = None,
        bar: Bar | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> list[EpochReport]:
        """Train the module; afterwards it has the weights of the best epoch.

        Args:
            progress: called after each epoch.
            bar: shows progress within an epoch.
            checkpoint: stores the state after each epoch. If it holds a state, training resumes from
                it and gives the same result as an uninterrupted run.

        Raises:
            DataError: no batch has a case.
        """
        state = checkpoint.load_state() if checkpoint is not None else None
        if state is not None:
            self._restore(*state)
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            if epoch - self.best_epoch > self.config.patience:
                break
            loss = self._epoch(epoch, bar)
            reached = self.validate()
            best = self.history[self.best_epoch - 1].validation if self.best_epoch else -math.inf
            self.history.append(EpochReport(epoch, self.config.epochs, loss, reached))
            if math.isnan(reached) or reached > best:
                self.best_epoch = epoch
                self.best_state = {k: v.clone() for k, v in self.module.state_dict().items()}
            if checkpoint is not None:
                checkpoint.save_state(*self._state())
            if progress is not None:
                progress(self.history[-1])
        self.module.load_state_dict(self.best_state)
        self.module.eval()
        return self.history

    def _epoch(self, epoch: int, bar: Bar | None) -> float:
        """Train for one epoch; returns the mean loss over all cases."""
        self.module.train()
        total, count = 0.0, 0
        batches: Iterable[Tensor] = shuffled_batches(self.windows, self.config.batch_size, self.rng)
        if bar is not None:
            batches = bar(batches, self.per_epoch, f"epoch {epoch}/{self.config.epochs}")
        for batch in batches:
            loss, n_cases = self.loss(batch.to(self.device))
            if not n_cases:
                continue
            self._step(loss)
            total, count = total + loss.item() * n_cases, count + n_cases
        if not count:
            raise DataError(self.no_cases)
        return total / count

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """Parameter groups of all optimisers; restoring an optimiser's state replaces its groups."""
        return [group for one in self.optimizers.values() for group in one.param_groups]

    def _step(self, loss: Tensor) -> None:
        rate = warm_up_cosine(self.taken, self.config.epochs * self.per_epoch)
        for group, peak in zip(self._groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        clip = clip_gradients if "tables" in self.optimizers else nn.utils.clip_grad_norm_
        clip(self.parameters, 1.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.taken += 1

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values that determine the remaining epochs and the result."""
        tensors = {f"weights.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best_state.items()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"{name}.{k}": v for k, v in optimizer_tensors(optimizer).items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors, {
            "taken": self.taken,
            "best_epoch": self.best_epoch,
            "history": [asdict(report) for report in self.history],
            "random": self.rng.bit_generator.state,
        }

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.module.load_state_dict(under("weights.", tensors))
        self.best_state = under("best.", tensors)
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, under(f"{name}.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.taken, self.best_epoch = facts["taken"], facts["best_epoch"]
        self.history = [EpochReport(**report) for report in facts["history"]]
        self.rng.bit_generator.state = facts["random"]
