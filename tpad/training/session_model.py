"""Training and use of the session recommender over any set of item features.

Every prefix of a training session is a case, and one causal pass serves them all; the loss is the
full-softmax cross-entropy over all warm items **[ours]**. Cold items are never negatives: a model
that learnt "cold items are not clicked" would be useless for them.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.data.sessions import Sessions
from tpad.errors import DataError
from tpad.training.feature_scaler import FeatureScaler
from tpad.training.fitted_session_model import EpochReport, FittedSessionModel, chunks, pad
from tpad.training.session_network import PADDING, SessionModel, SessionModelConfig

__all__ = [
    "EpochReport",
    "FeatureScaler",
    "FittedSessionModel",
    "SessionModel",
    "SessionModelConfig",
    "fit_session_model",
]

WARM_UP_STEPS = 100
BUCKET = 8  # batches among which sessions are sorted by length, to save padding


def fit_session_model(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: SessionModelConfig,
    *,
    progress: Callable[[EpochReport], None] | None = None,
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
        fit = _Fit(features, train, validation, warm, config, table_fn, torch.device(device))
        fit.table_learning_rate = table_learning_rate or config.learning_rate
        history = fit.run(progress)
    with torch.no_grad():
        final = features if table_fn is None else table_fn().cpu().numpy()
    return FittedSessionModel(fit.network, fit.scaler, final, history)


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
        device: torch.device,
    ) -> None:
        warm = np.asarray(warm, dtype=bool)
        if len(features) != len(warm):
            raise DataError(
                f"There are features of {len(features)} items but {len(warm)} items; "
                "compute the features again."
            )
        self.config, self.device, self.table_fn = config, device, table_fn
        self.table_learning_rate = config.learning_rate
        self.windows = train.windows(config.max_length)
        if not self.windows:
            raise DataError("No training session has two clicks; there is nothing to learn from.")
        self.scaler = FeatureScaler.fit(features, warm, config.pca).to(device)
        self.network = SessionModel(self.scaler.n_outputs, torch.from_numpy(warm), config)
        self.network.to(device)
        self.raw = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
        self.warm_rows = torch.from_numpy(np.flatnonzero(warm)).to(device)  # (n_warm,)
        self.column = torch.full((len(warm),), PADDING, device=device)  # item row -> logit column
        self.column[self.warm_rows] = torch.arange(len(self.warm_rows), device=device)
        cases = validation.prefixes(config.max_length)
        keep = [
            i
            for i, (prefix, target) in enumerate(zip(cases.prefixes, cases.targets, strict=True))
            if warm[target] and not (config.mask_seen and target in prefix)
        ]
        self.prefixes = [cases.prefixes[i] for i in keep]
        self.targets = cases.targets[keep]  # (n_cases,)
        self.trained = nn.ModuleList([self.network] + ([table_fn] if table_fn is not None else []))
        self.rng = np.random.default_rng(config.seed)

    def run(self, progress: Callable[[EpochReport], None] | None) -> list[EpochReport]:
        config = self.config
        parameters = [p for p in self.trained.parameters() if p.requires_grad]
        of_table = set(self.table_fn.parameters()) if self.table_fn is not None else set()
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": [
                        p for p in parameters if (p in of_table) == live and (p.ndim > 1) == wide
                    ],
                    "lr": self.table_learning_rate if live else config.learning_rate,
                    "weight_decay": config.weight_decay if wide else 0.0,
                }
                for live in (False, True)
                for wide in (True, False)
            ],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )
        steps = config.epochs * math.ceil(len(self.windows) / config.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        history: list[EpochReport] = []
        best, best_epoch, best_state = -math.inf, 0, {}
        for epoch in range(1, config.epochs + 1):
            self.trained.train()
            total, count = 0.0, 0
            for batch in self._batches():
                loss, n_cases = self._loss(batch)
                if not n_cases:
                    continue
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                total, count = total + loss.item() * n_cases, count + n_cases
            if not count:
                raise DataError("No training case has a warm target; check the sessions.")
            reached = self._validate()
            history.append(EpochReport(epoch, config.epochs, total / count, reached))
            if progress is not None:
                progress(history[-1])
            # Without validation cases the last epoch is kept.
            if math.isnan(reached) or reached > best:
                best, best_epoch = reached, epoch
                best_state = {k: v.clone() for k, v in self.trained.state_dict().items()}
            elif epoch - best_epoch >= config.patience:
                break
        self.trained.load_state_dict(best_state)
        self.trained.eval()
        return history

    def _table(self) -> Tensor:
        return self.scaler(self.raw if self.table_fn is None else self.table_fn())

    def _batches(self) -> list[Tensor]:
        """The windows in random order, those of a batch of similar length."""
        order = self.rng.permutation(len(self.windows))
        size, batches = self.config.batch_size, []
        for start in range(0, len(order), size * BUCKET):
            bucket = sorted(
                order[start : start + size * BUCKET], key=lambda i: len(self.windows[i])
            )
            batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
        return [
            pad([self.windows[i] for i in batches[b]])[0].to(self.device)
            for b in self.rng.permutation(len(batches))
        ]

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
        if not self.prefixes:
            return math.nan
        self.trained.eval()
        features = self.raw if self.table_fn is None else self.table_fn()
        model = FittedSessionModel(self.network, self.scaler, features.cpu().numpy())
        found, start = 0.0, 0
        cold = (self.column < 0).cpu().numpy()
        for prefixes in chunks(self.prefixes):
            scores = model.scores(prefixes)  # (n, n_items)
            scores[:, cold] = -np.inf
            targets = self.targets[start : start + len(prefixes)]
            own = scores[np.arange(len(targets)), targets][:, None]  # (n, 1)
            if self.config.mask_seen:
                for i, prefix in enumerate(prefixes):
                    scores[i, prefix] = -np.inf
            rank = 1 + (scores > own).sum(1)  # (n,)
            found += float(np.where(rank <= 20, 1.0 / rank, 0.0).sum())
            start += len(prefixes)
        return found / len(self.prefixes)


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then cosine decay to zero; as a share of the peak."""
    warm_up = min(WARM_UP_STEPS, max(1, steps // 10))
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
