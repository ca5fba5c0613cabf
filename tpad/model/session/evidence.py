"""Why an item has its score: what each part adds, and which clicks of other shoppers speak for it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tpad.model.session.score import damped
from tpad.model.session.session_matrix import decayed_weights
from tpad.model.session.sparse_rows import entries_of, values_at

if TYPE_CHECKING:  # torch takes seconds to import
    from tpad.model.session.fused import FusedModel

MOST = 5
"""Pieces of evidence for each element of the session."""


@dataclass(frozen=True)
class Evidence:
    """A pair of clicked items that the memory has counted.

    Attributes:
        source: row of the earlier item: the element of the session, or a stand-in for it.
        target: row of the later item: the scored item, or a stand-in for it.
        share: of the item's memory score.
        sessions: training sessions in which the later item was clicked after the earlier one; None if
            the sessions are not known.
    """

    source: int
    target: int
    share: float
    sessions: int | None = None


@dataclass(frozen=True, eq=False)
class ScoreParts:
    """The parts of an item's score; they add up to the total.

    Attributes:
        total: the score, relative to the network's mean score over all items.
        network: what the network adds, relative to its mean over all items.
        memory: what the memory adds, at least 0.
        neighbours: what the session neighbours add, at least 0.
        cosine: what the similarity of content adds.
        offset: the offset of items without training clicks; 0 for others.
        memory_of: (n,), what each element of the session adds to the memory's part.
        cosine_of: (n,), what each element of the session adds to the cosine's part.
        evidence: for each element of the session, pairs that the memory has counted, largest share first.
    """

    total: float
    network: float
    memory: float
    neighbours: float
    cosine: float
    offset: float
    memory_of: np.ndarray
    cosine_of: np.ndarray
    evidence: tuple[tuple[Evidence, ...], ...]

    def with_sessions(self, clicks: np.ndarray, owners: np.ndarray) -> "ScoreParts":
        """A copy in which each piece of evidence says in how many sessions it was seen.

        Args:
            clicks, owners: of the training sessions, see `Sessions`.
        """
        evidence = tuple(
            tuple(
                replace(one, sessions=sessions_with(clicks, owners, one.source, one.target))
                for one in group
            )
            for group in self.evidence
        )
        return replace(self, evidence=evidence)


def score_parts(
    model: "FusedModel",
    rows: np.ndarray,
    item: int,
    new: np.ndarray | None = None,
    exploration: float | None = None,
) -> ScoreParts:
    """The parts of the score of one item for one session.

    Args:
        model: the recommender.
        rows, new, exploration: of the session, as in `FusedModel.query`.
        item: row of the item.
    """
    query, weights = model.query(rows, new, exploration), model.weights
    elements = model.elements(rows, new)
    place = np.array([item])
    vector = model.network.vectors_of(place)[0] - model.mean_vector
    network = weights.network * float(vector.astype(np.float64) @ query.network)
    recent = decayed_weights(len(rows), weights.recency)
    cosines = elements.units.astype(np.float64) @ model.units_of(place)[0]
    cosine_of = weights.cosine * recent / recent.sum() * cosines
    owner, source, target, value = _pairs(model, rows, item, new)
    total = value.sum()
    memory = weights.memory * float(np.log1p(weights.sharpness * total))
    share = value / total if total > 0 else value
    neighbours = sum(
        float(damped(values_at(*one.all, place), one.weight, one.sharpness)[0])
        for one in query.clicks[1:]
    )
    offset = 0.0 if model.clicked[item] else query.offset
    cosine = float(cosine_of.sum())
    return ScoreParts(
        network + memory + neighbours + cosine + offset,
        network,
        memory,
        neighbours,
        cosine,
        offset,
        memory * np.bincount(owner, share, len(rows)),
        cosine_of,
        tuple(_strongest(source, target, share, owner == place) for place in range(len(rows))),
    )


def sessions_with(clicks: np.ndarray, owners: np.ndarray, earlier: int, later: int) -> int:
    """Number of sessions in which an item was clicked after another one.

    Args:
        clicks, owners: of the sessions, see `Sessions`.
        earlier, later: rows of the items.
    """
    first, last = np.flatnonzero(clicks == earlier), np.flatnonzero(clicks == later)
    session, place = np.unique(owners[first], return_index=True)
    followed = values_at(session, first[place] + 1, owners[last])  # 0 where it was not clicked
    return len(np.unique(owners[last][(followed > 0) & (last >= followed)]))


def _pairs(
    model: "FusedModel", rows: np.ndarray, item: int, new: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of clicked items that give the item its memory score.

    Returns:
        Element of the session, earlier item, later item, and share of the score: (n_pairs,) each.
    """
    elements, matrix = model.elements(rows, new), model.memory.matrix
    nearest = model.stand_ins[[item]]
    order = np.argsort(nearest.indices)
    targets, weights = nearest.indices[order], nearest.data[order]
    entries, entry = entries_of(matrix, elements.items)
    recent = decayed_weights(len(rows), model.memory.config.recency)[elements.owner]
    value = (elements.weights * recent)[entry] * matrix.data[entries]
    value = value * values_at(targets, weights, matrix.indices[entries])
    kept = value > 0
    entry, entries = entry[kept], entries[kept]
    return elements.owner[entry], elements.items[entry], matrix.indices[entries], value[kept]


def _strongest(
    source: np.ndarray, target: np.ndarray, share: np.ndarray, mask: np.ndarray
) -> tuple[Evidence, ...]:
    places = np.flatnonzero(mask)[np.argsort(-share[mask], kind="stable")][:MOST]
    return tuple(Evidence(int(source[p]), int(target[p]), float(share[p])) for p in places)
