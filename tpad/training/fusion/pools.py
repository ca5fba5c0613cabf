"""Parts of the scores of the likely items of each validation case, to try many weights quickly.

A pool holds the target and, for each part and for clicked and unclicked items, the candidates with the
highest values. An item outside has at least `WIDTH` items of its kind before it in every part, so it
rarely reaches the first 20 places with any weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from tpad.data.cases import mask_history
from tpad.model.parts import Parts
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.fitted import FittedSessionModel
from tpad.model.session.fused import FusionWeights, damped
from tpad.model.session.memory import Memory
from tpad.model.session.neighbours import SessionNeighbours
from tpad.model.session.session_matrix import decayed_rows
from tpad.model.session.stand_ins import stand_ins
from tpad.training.fusion.validation import GAINS, K, Validation
from tpad.training.ranking import expected_gains

WIDTH = 60
"""Items of each part and kind in a pool."""
WHITENINGS = (0.0, 0.25, 0.5)
RECENCIES = (1.0, 2.0, 4.0)
CHUNK_SCORES = 6_000_000  # scores of one part at once

Key = tuple[str, float] | tuple[str, float, float]


@dataclass(frozen=True, eq=False)
class Pools:
    """The pools of n cases; the first column is the target.

    Attributes:
        items: (n, width) rows; −1 at unused places.
        parts: (n, width) float32 for each part: ("network", whitening), ("memory", whitening),
            ("neighbours", whitening), ("cosine", whitening, recency).
        unclicked: (n, width) bool.
        session: (n,) the session of each case.
    """

    items: np.ndarray
    parts: dict[Key, np.ndarray]
    unclicked: np.ndarray
    session: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def session_number(self) -> np.ndarray:
        """The sessions of the cases, numbered from 0: (n,)."""
        return np.unique(self.session, return_inverse=True)[1]

    @cached_property
    def weight(self) -> np.ndarray:
        """Weight of each case, one over the square root of the cases of its session: (n,), their mean is 1.

        The cases of a session are alike, so a few long sessions would otherwise decide **[ours]**.
        """
        weight = np.bincount(self.session_number)[self.session_number] ** -0.5
        return weight / weight.mean() if len(weight) else weight

    def scores(self, weights: FusionWeights, whitening: float) -> np.ndarray:
        """Fused scores: (n, width) float32, −inf at unused places."""
        parts = self.parts
        scores = damped(parts["memory", whitening], weights.memory, weights.sharpness)
        if weights.neighbours:
            values = parts["neighbours", whitening]
            scores += damped(values, weights.neighbours, weights.neighbour_sharpness)
        if weights.network:
            scores += np.float32(weights.network) * parts["network", whitening]
        if weights.cosine:
            scores += np.float32(weights.cosine) * parts["cosine", whitening, weights.recency]
        scores += np.float32(weights.offset) * self.unclicked
        scores[self.items < 0] = -np.inf
        return scores


def smooth_gains(scores: np.ndarray) -> np.ndarray:
    """Smooth version of P@20 + MRR@20: (n, width), the target first -> (n,) float64.

    With the rank r of the target, the mean of those with equal scores,

        gain = 1 / (1 + (r / 20)²) + 1 / r

    Targets just outside the list count too, so that the weights depend less on the few sessions of a
    small validation split **[ours]**.
    """
    own = scores[:, :1]
    rank = (scores > own).sum(1) + ((scores == own).sum(1) + 1) / 2
    return 1 / (1 + (rank / K) ** 2) + 1 / rank


def exact_gains(scores: np.ndarray) -> np.ndarray:
    """What each target adds to P@20 + MRR@20: (n, width), the target first -> (n,) float64."""
    targets = torch.zeros(len(scores), dtype=torch.long)
    return (
        expected_gains(torch.from_numpy(scores), targets, torch.from_numpy(GAINS)).double().numpy()
    )


def pools_of(
    features: np.ndarray,
    network: FittedSessionModel,
    memory: Memory,
    neighbours: SessionNeighbours,
    check: Validation,
    of_features: Parts | None = None,
) -> Pools:
    """Score all candidates of the validation cases, and keep the likely ones.

    Args:
        features: (n_items, d).
        network, memory, neighbours: the parts, fitted to `check.train`.
        check: validation cases.
        of_features: parts of the features; by default they are one part.
    """
    sources = _sources(features, network, memory, neighbours, check.clicked, of_features)
    chunk = max(1, CHUNK_SCORES // len(features))
    found = [
        _pool(prefixes, targets, sources, check) for prefixes, targets in _chunks(check, chunk)
    ]
    width = max((items.shape[1] for items, _ in found), default=1)

    def joined(arrays: list[np.ndarray], fill: int) -> np.ndarray:
        padded = [
            np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=fill) for one in arrays
        ]
        return np.concatenate(padded) if padded else np.zeros((0, width), np.float32)

    items = joined([items for items, _ in found], -1).astype(np.int64)
    parts = {key: joined([parts[key] for _, parts in found], 0) for key in sources}
    unclicked = ~check.clicked[items] & (items >= 0)
    return Pools(items, parts, unclicked, check.cases.session)


Source = Callable[[list[np.ndarray]], np.ndarray]


def _sources(
    features: np.ndarray,
    network: FittedSessionModel,
    memory: Memory,
    neighbours: SessionNeighbours,
    clicked: np.ndarray,
    of_features: Parts | None,
) -> dict[Key, Source]:
    """A function for each part: n prefixes -> (n, n_items) float32."""
    sources: dict[Key, Source] = {}
    for whitening in WHITENINGS:
        space = ContentSpace.fit(features, clicked, whitening, of_features)
        units = space.units(features)
        near = stand_ins(units[:, space.of_behaviour], clicked)
        sources["network", whitening] = network.with_stand_ins(near).scores

        def of_memory(prefixes: list[np.ndarray], near=near) -> np.ndarray:
            return memory.scores(prefixes, near).toarray()

        def of_neighbours(prefixes: list[np.ndarray], near=near) -> np.ndarray:
            return neighbours.scores(prefixes, near).toarray()

        sources["memory", whitening] = of_memory
        sources["neighbours", whitening] = of_neighbours
        for recency in RECENCIES:

            def cosine(prefixes: list[np.ndarray], units=units, recency=recency) -> np.ndarray:
                return (decayed_rows(prefixes, len(units), recency) @ units) @ units.T

            sources["cosine", whitening, recency] = cosine
    return sources


def _chunks(check: Validation, size: int) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    cases = check.cases
    for start in range(0, len(cases), size):
        part = slice(start, start + size)
        yield cases.prefixes[part], cases.targets[part]


def _pool(
    prefixes: list[np.ndarray],
    targets: np.ndarray,
    sources: dict[Key, Source],
    check: Validation,
) -> tuple[np.ndarray, dict[Key, np.ndarray]]:
    """Items (n, width) and their parts, for some cases."""
    n_items = len(check.clicked)
    allowed = np.zeros((len(prefixes), n_items), np.float32)
    allowed[:, ~check.candidates] = -np.inf
    if check.mask_seen:
        mask_history(allowed, prefixes)
    # A network without ID embeddings is one source under several keys.
    scores = {source: source(prefixes) for source in dict.fromkeys(sources.values())}
    inside = np.zeros(allowed.shape, bool)
    kinds = [np.flatnonzero(check.clicked), np.flatnonzero(~check.clicked)]
    for values in scores.values():
        for kind in kinds:
            own = values[:, kind] + allowed[:, kind]
            width = min(WIDTH, len(kind))
            if width:
                best = np.argpartition(-own, width - 1, axis=1)[:, :width]
                np.put_along_axis(inside, kind[best], True, 1)
    inside &= allowed == 0
    rows = np.arange(len(prefixes))
    inside[rows, targets] = False  # the target comes first
    case, item = np.nonzero(inside)
    counts = inside.sum(1)
    items = np.full((len(prefixes), 1 + int(counts.max(initial=0))), -1)
    items[:, 0] = targets
    items[case, 1 + np.arange(len(case)) - np.repeat(np.cumsum(counts) - counts, counts)] = item
    at = np.maximum(items, 0)
    found = {source: np.take_along_axis(values, at, 1) for source, values in scores.items()}
    return items, {key: found[source] for key, source in sources.items()}
