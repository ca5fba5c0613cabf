"""What all neural baselines by item id share: settings, training and scoring.

Only the networks differ. Windows of sessions, the loss over all training items, AdamW with linear warm-up and
cosine decay, early stopping by validation MRR@20 and the number of epochs are the same for all. Every prefix
of a training session is a case. As evaluation masks the items of a session, they are excluded from the
candidates of the loss too (`mask_seen`), as for TPAD.

An item without training clicks has no embedding: it is skipped in sessions, and its score is −inf. Sessions
without known items are ranked by popularity.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from eval.baselines.losses import MASKED, bpr_max, cross_entropy
from eval.baselines.validation import ValidationCases
from tpad import DataError, Dataset
from tpad.data.negatives import sample_items
from tpad.model.session.batching import PADDING, pad_sessions
from tpad.model.session.fitted import EpochReport
from tpad.settings import Count, CountOrZero, Positive, Share, Weight, settings
from tpad.training.trainer import Trainer

CHUNK = 128  # sessions scored at once


@settings
class NeuralConfig:
    """Settings of a neural baseline and its training."""

    width: Count = 96
    """Size h of the item embeddings and states."""
    dropout: Share = 0.2
    """Dropout on embeddings and states."""
    max_length: Count = 20
    """Number of most recent items of a session that are used."""
    loss: Literal["cross-entropy", "bpr-max"] = "cross-entropy"
    """"cross-entropy" or "bpr-max"."""
    score_regularisation: Weight = 1.0
    """Weight of the score regularisation in BPR-max; not used by cross-entropy."""
    negatives: Count | None = None
    """Number of training items drawn in each step as negatives; None: all training items."""
    mask_seen: bool = True
    """Whether items already in the session are excluded from candidates and targets, as in evaluation."""
    validation: Literal["every prefix", "last item"] = "every prefix"
    """Cases of the validation sessions: "every prefix" or "last item"."""
    epochs: Count = 20
    """Maximum number of epochs."""
    batch_size: Count = 64
    """Sessions per step."""
    learning_rate: Positive = 5e-3
    """Peak learning rate of AdamW (linear warm-up, then cosine decay)."""
    weight_decay: Weight = 0.01
    """Weight decay of AdamW on matrices, but not on norms and biases."""
    patience: Count = 30
    """Number of epochs without a better validation MRR@20 after which training stops. A small number would stop
    it before the learning rate has decayed."""
    seed: CountOrZero = 0
    """Seed of initialisation, order, negatives and dropout."""


class SequenceNetwork(nn.Module):
    """A network over sessions of known items, with shared embeddings of sessions and candidates.

    A subclass implements `forward(sessions) -> (B, L, h)`, the state after each element, or overrides
    `states`.

    Args:
        n_known: number of training items.
        config: settings.
        bias: whether each item has a learned bias.
    """

    def __init__(self, n_known: int, config: NeuralConfig, *, bias: bool = False) -> None:
        super().__init__()
        self.items = nn.Embedding(n_known, config.width)
        bound = 1 / math.sqrt(config.width)
        nn.init.uniform_(self.items.weight, -bound, bound)
        self.bias = nn.Parameter(torch.zeros(n_known)) if bias else None

    def embed(self, sessions: Tensor) -> Tensor:
        """(B, L) columns, padded with `PADDING` -> (B, L, h)."""
        # Not by indexing: its gradient depends on the order of threads, so the same seed would not
        # give the same model.
        return self.items(sessions.clamp(min=0))

    def states(self, sessions: Tensor, row: Tensor, step: Tensor) -> Tensor:
        """States after some elements.

        Args:
            sessions: (B, L) int64 columns, padded at the end with `PADDING`.
            row, step: (n,) each, the state after element `step` of session `row`.

        Returns:
            (n, h).
        """
        return self(sessions)[row, step]

    def logits(self, states: Tensor, columns: Tensor | None = None) -> Tensor:
        """Scores of all known items or of the given columns: (n, h) -> (n, C)."""
        every = torch.arange(self.items.num_embeddings) if columns is None else columns
        table = self.items.weight if columns is None else self.items.weight[columns]
        scores = states @ table.T  # (n, C)
        return scores if self.bias is None else scores + self.bias[every]

    def own_logits(self, states: Tensor, targets: Tensor) -> Tensor:
        """Scores of the targets: states (n, h) and targets (n,) -> (n,)."""
        own = (states * self.items(targets)).sum(1)
        return own if self.bias is None else own + self.bias[targets]


class PrefixNetwork(SequenceNetwork):
    """A network that needs a separate pass for each prefix: `forward(prefixes) -> (n, h)`."""

    def states(self, sessions: Tensor, row: Tensor, step: Tensor) -> Tensor:
        position = torch.arange(sessions.shape[1])
        prefixes = sessions[row].masked_fill(position > step[:, None], PADDING)  # (n, L)
        return self(prefixes[:, : int(step.max()) + 1])


class NeuralModel:
    """A neural baseline as a `RankingModel`. A subclass defines its network and settings.

    Args:
        config: settings; those of the class by default.
        progress: called after each epoch.
    """

    can_score_new_items = False
    Config: type[NeuralConfig] = NeuralConfig
    network: SequenceNetwork

    def __init__(
        self,
        config: NeuralConfig | None = None,
        progress: Callable[[EpochReport], None] | None = None,
    ) -> None:
        self.config = config or self.Config()
        self.progress = progress
        self.history: list[EpochReport] = []

    def build(self, n_known: int) -> SequenceNetwork:
        """The untrained network for `n_known` items."""
        raise NotImplementedError

    def fit(self, dataset: Dataset) -> "NeuralModel":
        """Trains on the training sessions and keeps the epoch with the best validation MRR@20.

        Raises:
            DataError: no training session has two clicks.
        """
        self._known = np.flatnonzero(~dataset.cold)  # (n_known,) item rows
        self._column = np.full(len(dataset), PADDING, dtype=np.int64)  # item row -> column
        self._column[self._known] = np.arange(len(self._known))
        with np.errstate(divide="ignore"):  # log 0 = −inf: a cold item cannot be scored
            share = dataset.popularity / max(dataset.popularity.sum(), 1)
            self._popularity = np.log(share).astype(np.float32)  # (n_items,)
        windows = [self._column[window] for window in dataset.train.windows(self.config.max_length)]
        if not windows:
            raise DataError("No training session has two clicks; there is nothing to learn from.")
        cases = ValidationCases.of(
            dataset, mask_seen=self.config.mask_seen, cases=self.config.validation
        )
        # The global random state is not changed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            self.network = self.build(len(self._known))
            task = _Task(self.network, self.config)
            trainer = Trainer(
                self.network,
                [{"params": self.network.parameters(), "lr": self.config.learning_rate}],
                windows,
                self.config,
                task.loss,
                lambda: cases.mrr(self),
                no_cases="All training sessions only repeat their items; with mask_seen there is "
                "nothing to learn from.",
                rng=task.rng,
            )
            self.history = trainer.run(self.progress)
        return self

    def scores(self, sessions: Sequence[np.ndarray]) -> np.ndarray:
        """Scores of all items as the next click: (n, n_items) float32; −inf for unknown items."""
        network = self.network.eval()
        known = [self._known_columns(session) for session in sessions]
        lengths = np.array([len(columns) for columns in known], dtype=np.int64)
        result = np.empty((len(sessions), len(self._column)), dtype=np.float32)
        result[lengths == 0] = self._popularity
        # Sessions of similar length together, to save padding.
        order = np.argsort(lengths, kind="stable")[int((lengths == 0).sum()) :]
        with torch.inference_mode():
            table = torch.zeros(len(self._column), self.config.width)  # (n_items, h)
            table[self._known] = network.items.weight
            bias = torch.full((len(table),), -math.inf)  # unknown items cannot be scored
            bias[self._known] = 0.0 if network.bias is None else network.bias
            for start in range(0, len(order), CHUNK):
                rows = order[start : start + CHUNK]
                padded, last = pad_sessions([known[row] for row in rows])  # (m, L), (m,)
                states = network.states(padded, torch.arange(len(rows)), last)  # (m, h)
                result[rows] = torch.addmm(bias, states, table.T).numpy()
        return result

    def _known_columns(self, session: np.ndarray) -> np.ndarray:
        """The columns of the most recent known items of a session."""
        columns = self._column[np.asarray(session, dtype=np.int64)]
        return columns[columns >= 0][-self.config.max_length :]


class _Task:
    """The loss of a network on session windows."""

    def __init__(self, network: SequenceNetwork, config: NeuralConfig) -> None:
        self.network, self.config = network, config
        self.n_known = network.items.num_embeddings
        self.rng = np.random.default_rng(config.seed)

    def loss(self, windows: Tensor) -> tuple[Tensor, int]:
        """Mean loss over the cases of a batch (B, L + 1), and their number."""
        inputs, targets = windows[:, :-1], windows[:, 1:]  # (B, L)
        length = inputs.shape[1]
        past = torch.ones(length, length, dtype=torch.bool).tril()
        wanted = targets >= 0  # (B, L)
        if self.config.mask_seen:
            wanted &= ~((targets[:, :, None] == inputs[:, None, :]) & past).any(2)
        row, step = torch.nonzero(wanted, as_tuple=True)  # (n,), (n,)
        if not len(row):
            return torch.zeros(()), 0
        states = self.network.states(inputs, row, step)  # (n, h)
        chosen = targets[row, step]  # (n,)
        drawn = self._draw()  # (C,) or None for all
        logits = self.network.logits(states, drawn)  # (n, C)
        own = self.network.own_logits(states, chosen)  # (n,)
        place = torch.arange(self.n_known)
        if drawn is not None:
            place = torch.full((self.n_known,), PADDING)
            place[drawn] = torch.arange(len(drawn))  # column -> index in `drawn`
        # The target is not a negative, and neither is an item that evaluation would mask.
        case, column = torch.arange(len(row)), chosen
        if self.config.mask_seen:
            seen = inputs[row].masked_fill(~past[step], PADDING)  # (n, L)
            at, where = torch.nonzero(seen >= 0, as_tuple=True)
            case, column = torch.cat([case, at]), torch.cat([column, seen[at, where]])
        column = place[column]
        case, column = case[column >= 0], column[column >= 0]
        logits.index_put_((case, column), logits.new_tensor(MASKED))
        if self.config.loss == "bpr-max":
            return bpr_max(own, logits, self.config.score_regularisation), len(row)
        return cross_entropy(own, logits), len(row)

    def _draw(self) -> Tensor | None:
        """(C,) sorted columns drawn as negatives of this step; None if all items are negatives.

        All items are drawn with the same probability, and each case adds its own target. Given the
        resulting set, the probability that an item is the target is the softmax over the set, so no
        correction is needed.
        """
        if self.config.negatives is None:
            return None
        sample = sample_items(self.n_known, self.config.negatives, self.rng)
        return None if sample is None else torch.from_numpy(sample.columns)
