"""Training and use of the session recommender over any set of item features.

Every prefix of a training session is a case, and one causal pass serves them all; the loss is the
full-softmax cross-entropy over all warm items **[ours]**. Cold items are never negatives: a model
that learnt "cold items are not clicked" would be useless for them.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.data.sessions import Sessions
from tpad.errors import DataError
from tpad.io.saved_state import optimizer_tensors, restore_optimizer, under
from tpad.model.scaler import FeatureScaler
from tpad.model.session.batching import PADDING, shuffled_batches
from tpad.model.session.fitted import EpochReport, FittedSessionModel, chunks
from tpad.model.session.network import SessionModel, SessionModelConfig
from tpad.training.cases import known_cases, mask_history
from tpad.training.optimisation import adamw, warm_up_cosine
from tpad.training.ranking import reciprocal_ranks

__all__ = [
    "Checkpoint",
    "EpochReport",
    "FeatureScaler",
    "FittedSessionModel",
    "SessionModel",
    "SessionModelConfig",
    "fit_session_model",
]


class Checkpoint(Protocol):
    """Where a training keeps its state after each epoch; a `Stage` is one."""

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved last, or None."""

    def save_state(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Keeps tensors and plain values together, in place of what was kept before."""


def fit_session_model(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: SessionModelConfig,
    *,
    progress: Callable[[EpochReport], None] | None = None,
    bar: Callable[[Iterable, int, str], Iterable] | None = None,
    checkpoint: Checkpoint | None = None,
    table_fn: nn.Module | None = None,
    table_learning_rate: float | None = None,
    device: str = "cpu",
) -> FittedSessionModel:
    """Trains the recommender; the best epoch by validation MRR@20 is kept.

    Args:
        features: (n_items, n_features) float32. The scaler is fitted on the warm rows.
        train: sessions; cases whose target is not warm are left out.
        validation: sessions; likewise.
        warm: (n_items,) bool, items that may be targets and negatives.
        config: settings.
        progress: called after each epoch.
        bar: shows the way through an epoch: given its batches, their number and a text, it yields
            the batches.
        checkpoint: keeps the state after each epoch. A training that finds a state there goes on
            from it, to the result that an uninterrupted one has; all other arguments must be equal.
        table_fn: for downstream feedback: a module that gives, without arguments, the features
            (n_items, n_features) with gradients; its parameters are trained along (and hold the
            best epoch's values afterwards). `features` then only fits the scaler.
        table_learning_rate: peak learning rate of `table_fn`; that of the config by default.
        device: where to train.

    Raises:
        DataError: there is nothing to learn from, or features are not finite.
    """
    # The caller's own random state stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        fit = _Fit(
            features,
            train,
            validation,
            warm,
            config,
            table_fn,
            table_learning_rate or config.learning_rate,
            torch.device(device),
        )
        fit.run(progress, bar, checkpoint)
    with torch.no_grad():
        final = features if table_fn is None else table_fn().cpu().numpy()
    return FittedSessionModel(fit.network, fit.scaler, final, fit.history)


class _Fit:
    """One training run."""

    def __init__(
        self,
        features: np.ndarray,
        train: Sessions,
        validation: Sessions,
        warm: np.ndarray,
        config: SessionModelConfig,
        table_fn: nn.Module | None,
        table_learning_rate: float,
        device: torch.device,
    ) -> None:
        warm = np.asarray(warm, dtype=bool)
        if len(features) != len(warm):
            raise DataError(
                f"There are features of {len(features)} items but {len(warm)} items; "
                "compute the features again."
            )
        self.config, self.device, self.table_fn = config, device, table_fn
        self.windows = train.windows(config.max_length)
        if not self.windows:
            raise DataError("No training session has two clicks; there is nothing to learn from.")
        self.scaler = FeatureScaler.fit(features, warm, config.pca).to(device)
        self.network = SessionModel(self.scaler.n_outputs, torch.from_numpy(warm), config)
        self.network.to(device)
        self.raw = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
        self.scaled = self.scaler(self.raw)  # the same in every step, unless there is a `table_fn`
        self.warm_rows = torch.from_numpy(np.flatnonzero(warm)).to(device)  # (n_warm,)
        self.column = torch.full((len(warm),), PADDING, device=device)  # item row -> logit column
        self.column[self.warm_rows] = torch.arange(len(self.warm_rows), device=device)
        self.cases = known_cases(
            validation, warm, max_length=config.max_length, mask_seen=config.mask_seen
        )
        self.trained = nn.ModuleList([self.network] + ([table_fn] if table_fn is not None else []))
        self.parameters = [p for p in self.trained.parameters() if p.requires_grad]
        of_table = set(table_fn.parameters()) if table_fn is not None else set()
        own = [p for p in self.parameters if p not in of_table]
        live = [p for p in self.parameters if p in of_table]
        self.optimizer = adamw(
            [
                {"params": own, "lr": config.learning_rate},
                {"params": live, "lr": table_learning_rate},
            ],
            config.weight_decay,
        )
        self.per_epoch = math.ceil(len(self.windows) / config.batch_size)  # steps
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.rng = np.random.default_rng(config.seed)
        self.taken = 0  # steps
        self.history: list[EpochReport] = []
        self.best_epoch, self.best_state = 0, dict[str, Tensor]()

    def run(
        self,
        progress: Callable[[EpochReport], None] | None,
        bar: Callable[[Iterable, int, str], Iterable] | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        kept = checkpoint.load_state() if checkpoint is not None else None
        if kept is not None:
            self._restore(*kept)
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            if epoch - self.best_epoch > self.config.patience:
                break
            loss = self._epoch(epoch, bar)
            reached = self._validate()
            best = self.history[self.best_epoch - 1].validation if self.best_epoch else -math.inf
            self.history.append(EpochReport(epoch, self.config.epochs, loss, reached))
            # Without validation cases the last epoch is kept.
            if math.isnan(reached) or reached > best:
                self.best_epoch = epoch
                self.best_state = {k: v.clone() for k, v in self.trained.state_dict().items()}
            if checkpoint is not None:
                checkpoint.save_state(*self._state())
            if progress is not None:
                progress(self.history[-1])
        self.trained.load_state_dict(self.best_state)
        self.trained.eval()

    def _epoch(self, epoch: int, bar: Callable[[Iterable, int, str], Iterable] | None) -> float:
        """One pass over the sessions; returns the mean loss of a case."""
        self.trained.train()
        total, count = 0.0, 0
        batches: Iterable[Tensor] = shuffled_batches(self.windows, self.config.batch_size, self.rng)
        if bar is not None:
            batches = bar(batches, self.per_epoch, f"epoch {epoch}/{self.config.epochs}")
        for batch in batches:
            loss, n_cases = self._loss(batch.to(self.device))
            if not n_cases:
                continue
            self._step(loss)
            total, count = total + loss.item() * n_cases, count + n_cases
        if not count:
            raise DataError("No training case has a warm target; check the sessions.")
        return total / count

    def _step(self, loss: Tensor) -> None:
        rate = warm_up_cosine(self.taken, self.config.epochs * self.per_epoch)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.taken += 1

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next epochs and the result depend on, for a `Checkpoint`."""
        tensors = {f"weights.{k}": v for k, v in self.trained.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best_state.items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}
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
        self.trained.load_state_dict(under("weights.", tensors))
        self.best_state = under("best.", tensors)
        restore_optimizer(self.optimizer, under("optimizer.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.taken, self.best_epoch = facts["taken"], facts["best_epoch"]
        self.history = [EpochReport(**report) for report in facts["history"]]
        self.rng.bit_generator.state = facts["random"]

    def _table(self) -> Tensor:
        return self.scaled if self.table_fn is None else self.scaler(self.table_fn())

    def _loss(self, sessions: Tensor) -> tuple[Tensor, int]:
        """Mean cross-entropy over the cases of a batch (B, L + 1), and their number."""
        inputs, targets = sessions[:, :-1], sessions[:, 1:]  # (B, L)
        length = inputs.shape[1]
        answer = torch.where(targets >= 0, self.column[targets.clamp(min=0)], PADDING)  # (B, L)
        past = torch.ones(length, length, dtype=torch.bool, device=self.device).tril()
        if self.config.mask_seen:
            repeats = ((targets[:, :, None] == inputs[:, None, :]) & past).any(2)  # (B, L)
            answer = answer.masked_fill(repeats, PADDING)
        row, step = torch.nonzero(answer >= 0, as_tuple=True)  # (n,), (n,)
        if not len(row):
            return torch.zeros((), device=self.device), 0
        table = self._table()  # (n_items, d)
        states = self.network(table, inputs)[row, step]  # (n, h)
        vectors = self.network.item_vectors(table)[self.warm_rows]  # (n_warm, h + 1)
        logits = self.network.scores(states, vectors)  # (n, n_warm)
        if self.config.mask_seen:
            seen = torch.where(inputs >= 0, self.column[inputs.clamp(min=0)], PADDING)[row]
            case, place = torch.nonzero((seen >= 0) & past[step], as_tuple=True)
            logits = logits.index_put((case, seen[case, place]), logits.new_tensor(-1e9))
        return F.cross_entropy(logits, answer[row, step]), len(row)

    @torch.no_grad()
    def _validate(self) -> float:
        """MRR@20 over the validation cases, among warm items."""
        self.trained.eval()
        # Called even without cases: a table that reads its items anew when it is evaluated begins
        # each epoch as after a restart.
        features = self.raw if self.table_fn is None else self.table_fn()
        if not len(self.cases):
            return math.nan
        model = FittedSessionModel(self.network, self.scaler, features.cpu().numpy())
        found, start = 0.0, 0
        cold = (self.column < 0).cpu().numpy()
        for prefixes in chunks(self.cases.prefixes):
            scores = model.scores(prefixes)  # (n, n_items)
            scores[:, cold] = -np.inf
            if self.config.mask_seen:
                mask_history(scores, prefixes)
            targets = torch.from_numpy(self.cases.targets[start : start + len(prefixes)]).long()
            found += float(reciprocal_ranks(torch.from_numpy(scores), targets).sum())
            start += len(prefixes)
        return found / len(self.cases)
