"""Trains the session recommender on any set of item features.

Every prefix of a training session is a training case; one causal pass computes all prefixes of a
session. The loss is the softmax cross-entropy over all warm items **[ours]**; if there are many, it is
estimated from a sample of them (`tpad.training.sampled_softmax`). Then a step uses only the rows of the items
in its batch and sample, so its cost does not grow with the number of items. Cold items are never negatives:
otherwise the model would learn that cold items are never clicked.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.data.cases import known_cases, mask_history
from tpad.data.sessions import Cases, Sessions
from tpad.errors import DataError
from tpad.model.scaler import FeatureScaler
from tpad.model.session.batching import PADDING
from tpad.model.session.fitted import FittedSessionModel, chunks
from tpad.model.session.network import SessionModel, SessionModelConfig
from tpad.training.ranking import reciprocal_ranks
from tpad.training.sampled_softmax import (
    Sampling,
    SessionSampler,
    correction,
    positions,
    some_cases,
)
from tpad.training.trainer import Bar, Checkpoint, Progress, Trainer


def fit_session_model(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: SessionModelConfig,
    *,
    progress: Progress | None = None,
    bar: Bar | None = None,
    checkpoint: Checkpoint | None = None,
    table_fn: nn.Module | None = None,
    table_learning_rate: float | None = None,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> FittedSessionModel:
    """Train the recommender and keep the epoch with the best validation MRR@20.

    Args:
        features: (n_items, n_features) float32. The scaler is fitted on the warm rows.
        train: training sessions; cases whose target is not warm are skipped.
        validation: validation sessions; cases whose target is not warm are skipped.
        warm: (n_items,) bool, items that may be targets and negatives.
        config: settings.
        progress: called after each epoch.
        bar: shows progress within an epoch.
        checkpoint: stores the state after each epoch. If it holds a state, training resumes from it
            and gives the same result as an uninterrupted run with the same arguments.
        table_fn: for downstream feedback, a module that returns the features
            (n_items, n_features) with gradients. Its parameters are trained too, and hold the best
            epoch's values afterwards. `features` is then used only to fit the scaler.
        table_learning_rate: peak learning rate of `table_fn`; by default that of the config.
        sampling: number of items beyond which items are sampled, and how many.
        device: device to train on.

    Raises:
        DataError: there are no training cases, or features are not finite.
    """
    # Do not change the caller's random state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        task = _Task(
            features,
            validation,
            warm,
            config,
            table_fn,
            table_learning_rate or config.learning_rate,
            sampling or Sampling(),
            torch.device(device),
        )
        trainer = task.trainer(train.windows(config.max_length))
        trainer.run(progress, bar, checkpoint)
    with torch.no_grad():
        final = features if table_fn is None else table_fn().cpu().numpy()
    return FittedSessionModel(task.network, task.scaler, final, trainer.history)


class _Task:
    """The modules to train, their loss, and their validation."""

    def __init__(
        self,
        features: np.ndarray,
        validation: Sessions,
        warm: np.ndarray,
        config: SessionModelConfig,
        table_fn: nn.Module | None,
        table_learning_rate: float,
        sampling: Sampling,
        device: torch.device,
    ) -> None:
        warm = np.asarray(warm, dtype=bool)
        if len(features) != len(warm):
            raise DataError(
                f"There are features of {len(features)} items, but {len(warm)} items; "
                "compute the features again."
            )
        self.config, self.device, self.table_fn = config, device, table_fn
        self.table_learning_rate = table_learning_rate
        self.scaler = FeatureScaler.fit(features, warm, config.pca).to(device)
        self.network = SessionModel(self.scaler.n_outputs, torch.from_numpy(warm), config)
        self.network.to(device)
        self.raw = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
        self.scaled = self.scaler(self.raw)  # constant, unless there is a `table_fn`
        self.warm_rows = torch.from_numpy(np.flatnonzero(warm)).to(device)  # (n_warm,)
        self.column = torch.full((len(warm),), PADDING, device=device)  # item row -> logit column
        self.column[self.warm_rows] = torch.arange(len(self.warm_rows), device=device)
        self.cases = known_cases(
            validation, warm, max_length=config.max_length, mask_seen=config.mask_seen
        )
        self.rng = np.random.default_rng(config.seed)
        self.sampling = sampling
        self.sampler: SessionSampler | None = None
        self.samples = len(self.warm_rows) > sampling.full_softmax_items
        if self.samples:
            self.cases = _some(self.cases, some_cases(len(self.cases), sampling.validation_cases))
        self.trained = nn.ModuleList([self.network] + ([table_fn] if table_fn is not None else []))

    def trainer(self, windows: list[np.ndarray]) -> Trainer:
        """A trainer of the network, and of `table_fn`, on windows of sessions.

        Raises:
            DataError: there are no windows.
        """
        if not windows:
            raise DataError("No training session has two clicks; there is nothing to learn from.")
        parameters = [p for p in self.trained.parameters() if p.requires_grad]
        of_table = set(self.table_fn.parameters()) if self.table_fn is not None else set()
        ids = [p for name, p in self.network.named_parameters() if name.endswith("_ids")]
        rate = self.config.learning_rate
        tables: list[dict[str, Any]] = []
        if self.samples:
            self.sampler = SessionSampler(
                windows,
                self.warm_rows.cpu().numpy(),
                len(self.column),
                self.sampling.negatives,
            )
            ids, by_item = [], self.network.by_item
            tables = [{"params": by_item, "lr": rate}] if by_item else []
        apart = of_table | set(ids) | {p for group in tables for p in group["params"]}
        network = [p for p in parameters if p not in apart]
        table = [p for p in parameters if p in of_table]
        return Trainer(
            self.trained,
            [
                {"params": network, "lr": rate},
                {"params": table, "lr": self.table_learning_rate},
                # Weight decay would shrink the embeddings of rare items between their few clicks.
                {"params": ids, "lr": rate, "weight_decay": 0.0},
            ],
            windows,
            self.config,
            self._loss,
            self._validate,
            no_cases="No training case has a warm target; check the sessions.",
            tables=tables,
            rng=self.rng,
            device=self.device,
        )

    def _table(self) -> Tensor:
        return self.scaled if self.table_fn is None else self.scaler(self.table_fn())

    def _loss(self, sessions: Tensor) -> tuple[Tensor, int]:
        """Mean cross-entropy over the cases of a batch (B, L + 1), and the number of cases."""
        inputs, targets = sessions[:, :-1], sessions[:, 1:]  # (B, L)
        length = inputs.shape[1]
        answer = self._columns(targets)  # (B, L)
        past = torch.ones(length, length, dtype=torch.bool, device=self.device).tril()
        if self.config.mask_seen:
            repeats = ((targets[:, :, None] == inputs[:, None, :]) & past).any(2)  # (B, L)
            answer = answer.masked_fill(repeats, PADDING)
        row, step = torch.nonzero(answer >= 0, as_tuple=True)  # (n,), (n,)
        if not len(row):
            return torch.zeros((), device=self.device), 0
        if self.sampler is not None:
            return self._sampled_loss(sessions, row, step, answer[row, step]), len(row)
        table = self._table()  # (n_items, d)
        states = self.network(table, inputs)[row, step]  # (n, h)
        vectors = self.network.item_vectors(table)[self.warm_rows]  # (n_warm, h + 1)
        logits = self.network.scores(states, vectors)  # (n, n_warm)
        if self.config.mask_seen:
            seen = self._columns(inputs)[row]  # (n, L)
            case, place = torch.nonzero((seen >= 0) & past[step], as_tuple=True)
            logits = logits.index_put((case, seen[case, place]), logits.new_tensor(-1e9))
        return F.cross_entropy(logits, answer[row, step]), len(row)

    def _sampled_loss(self, sessions: Tensor, row: Tensor, step: Tensor, answer: Tensor) -> Tensor:
        """An estimate of the mean cross-entropy; only the rows of the items needed are computed.

        Args:
            sessions: (B, L + 1).
            row, step: (n,) each, place of each case in the inputs.
            answer: (n,) column of each case's target.
        """
        assert self.sampler is not None  # the caller checks it
        table, network = self._table(), self.network
        inputs, targets = sessions[:, :-1], self._columns(sessions[:, 1:])  # (B, L)
        used = torch.unique(inputs[inputs >= 0])
        elements = network.some_inputs(F.embedding(used, table), used)
        elements = F.embedding(positions(used, inputs).clamp(min=0), elements)  # (B, L, h)
        states = network.encode(elements)[row, step]  # (n, h)
        columns, log_q = (
            part.to(self.device)
            for part in self.sampler.draw(
                (sessions >= 0).sum(1).cpu().numpy(),
                targets[targets >= 0].cpu().numpy(),
                self.rng,
            )
        )  # (C,) each
        rows = self.warm_rows[columns]
        scores = network.scores(states, network.some_vectors(F.embedding(rows, table), rows))
        seen = None
        if self.config.mask_seen:
            later = torch.arange(inputs.shape[1], device=self.device) > step[:, None]  # (n, L)
            seen = self._columns(inputs)[row].masked_fill(later, PADDING)
            seen = positions(columns, seen)
        subtracted = correction(log_q, positions(columns, targets)[row], seen)  # (n, C)
        return F.cross_entropy(scores.sub_(subtracted), positions(columns, answer))

    def _columns(self, items: Tensor) -> Tensor:
        """Columns of items; `PADDING` for cold ones and for padding."""
        return torch.where(items >= 0, self.column[items.clamp(min=0)], PADDING)

    @torch.no_grad()
    def _validate(self) -> float:
        """MRR@20 over the validation cases, among warm items."""
        self.trained.eval()
        # Called even if there are no cases: in evaluation mode `table_fn` recomputes its features, so
        # that each epoch starts as it does after a restart.
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


def _some(cases: Cases, numbers: np.ndarray) -> Cases:
    prefixes = [cases.prefixes[number] for number in numbers]
    return Cases(cases.session[numbers], prefixes, cases.targets[numbers])
