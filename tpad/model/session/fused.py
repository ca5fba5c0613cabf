"""The fused recommender: joins its parts, for many sessions or for one, and takes new items.

The formula is in `tpad.model.session.score`.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from tpad.errors import ConfigError
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.exploration import Exploration, check_share
from tpad.model.session.fitted import CHUNK, MERGE, EpochReport, FittedSessionModel
from tpad.model.session.item_tables import ItemTable, joined, take
from tpad.model.session.memory import Memory
from tpad.model.session.neighbours import SessionNeighbours
from tpad.model.session.score import ClickScores, FusionWeights, Parts, SessionQuery, damped
from tpad.model.session.session_matrix import decayed_rows, decayed_weights
from tpad.model.session.sparse_rows import entries_of, values_at, weighted_sum
from tpad.model.session.stand_ins import of_new_items, stand_ins


@dataclass(frozen=True, eq=False)
class Elements:
    """The items of one session as the memory and the cosine read them.

    Attributes:
        units: (n, d'), their unit vectors.
        owner: (m,), for each stand-in of an element, the place of the element in the session.
        items: (m,), row of the stand-in; a clicked item stands for itself.
        weights: (m,), weight of the stand-in.
    """

    units: np.ndarray
    owner: np.ndarray
    items: np.ndarray
    weights: np.ndarray


class FusedModel:
    """Scores all items as the next item of a session.

    Args:
        network: a trained session network with the features of all items. Its unclicked items get the mean
            ID embeddings of their stand-ins, unless `weights_of_stand_ins` are given.
        memory: counts of the same training sessions.
        weights: of the parts.
        exploration: the offset for each share of new items; None if it was not measured.
        neighbours: the same training sessions, searched for similar ones; None if they have no weight.
        space: in which items are compared by content; by default it is fitted to the clicked items.
        weights_of_stand_ins: see `tpad.model.session.stand_ins`; computed by default.
    """

    def __init__(
        self,
        network: FittedSessionModel,
        memory: Memory,
        weights: FusionWeights,
        exploration: Exploration | None = None,
        *,
        neighbours: SessionNeighbours | None = None,
        space: ContentSpace | None = None,
        weights_of_stand_ins: sparse.csr_array | None = None,
    ) -> None:
        self.memory, self.weights = memory, weights
        self.exploration, self.neighbours = exploration, neighbours
        clicked: np.ndarray = network.network.warm.cpu().numpy()
        self.space = space or ContentSpace.fit(network.features, clicked)
        units = self.space.units(network.features)
        if weights_of_stand_ins is None:
            weights_of_stand_ins = stand_ins(units[:, self.space.of_behaviour], clicked)
            network = network.with_stand_ins(weights_of_stand_ins)
        self.network = network
        # Added items have a table of their own, so that adding an item does not copy a large table.
        self._tables: tuple[ItemTable, ...] = (ItemTable(units, clicked, weights_of_stand_ins),)

    @property
    def n_items(self) -> int:
        return sum(len(table.clicked) for table in self._tables)

    @property
    def history(self) -> tuple[EpochReport, ...]:
        """Reports of the network's training epochs."""
        return self.network.history

    @property
    def clicked(self) -> np.ndarray:
        """(n_items,) bool, items of the training sessions."""
        return joined([table.clicked for table in self._tables])

    @property
    def units(self) -> np.ndarray:
        """(n_items, d') float32, vectors of length 1 in the content space."""
        return joined([table.units for table in self._tables])

    def units_of(self, rows: np.ndarray) -> np.ndarray:
        """Rows of `units`: (n,) -> (n, d') float32."""
        return take([table.units for table in self._tables], rows)

    @cached_property
    def mean_vector(self) -> np.ndarray:
        """(h + 1,) float64, mean of the network's vectors of all items with features."""
        return np.asarray(np.nanmean(self.network.item_vectors, axis=0, dtype=np.float64))

    @property
    def stand_ins(self) -> sparse.csr_array:
        """(n_items, n_known), see `tpad.model.session.stand_ins`."""
        tables = [table.stand_ins for table in self._tables]
        return tables[0] if len(tables) == 1 else sparse.csr_array(sparse.vstack(tables, "csr"))

    # --- many sessions ----------------------------------------------------------------------------

    def scores(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Scores of all items as the next item: (n, n_items) float32, without masking."""
        result = np.empty((len(prefixes), self.n_items), np.float32)
        for start in range(0, len(prefixes), CHUNK):
            part = prefixes[start : start + CHUNK]
            result[start : start + len(part)] = self.parts(part).fused(self.weights, ~self.clicked)
        return result

    def parts(self, prefixes: Sequence[np.ndarray], recency: float | None = None) -> Parts:
        """The parts of the scores, to be joined with any weights.

        Args:
            prefixes: n arrays of item rows, the most recent item last.
            recency: of the cosine; by default that of `weights`.
        """
        network = self.network.scores(prefixes)  # (n, n_items)
        memory = self.memory.scores(prefixes, self.stand_ins).toarray()  # (n, n_items)
        neighbours = None
        if self.neighbours is not None:
            neighbours = self.neighbours.scores(prefixes, self.stand_ins).toarray()
        cosine = self.cosine(prefixes, recency or self.weights.recency)
        return Parts(network, memory, cosine, neighbours)

    def cosine(self, prefixes: Sequence[np.ndarray], recency: float) -> np.ndarray:
        """Similarity of all items to the weighted mean of each session: (n, n_items) float32."""
        mean = decayed_rows(prefixes, self.n_items, recency)  # (n, n_items)
        return (mean @ self.units) @ self.units.T

    # --- one session ------------------------------------------------------------------------------

    def query(
        self, rows: np.ndarray, new: np.ndarray | None = None, exploration: float | None = None
    ) -> SessionQuery:
        """Read one session.

        Args:
            rows: (n,) rows of its items, at least one, the most recent last.
            new: (n_new, n_features) features of elements that are not candidates, such as an uploaded
                picture; in `rows`, their rows start at `n_items`.
            exploration: share of new items in the lists; by default the tuned offset is used.

        Raises:
            ConfigError: the share is not between 0 and 1, or its offset is not known.
        """
        guests = self._guests(new)
        elements = self._elements(rows, guests)
        mean = decayed_weights(len(rows), self.weights.recency)
        nearest = None if guests is None else guests.stand_ins
        return SessionQuery(
            self.network.session_vectors([rows], new, nearest)[0],
            ((mean / mean.sum()) @ elements.units).astype(np.float32),
            self._clicks(elements),
            self.offset_for(exploration),
        )

    def _clicks(self, elements: Elements) -> tuple[ClickScores, ...]:
        """Scores of the memories of clicks for one session."""
        n, items, weights = len(elements.units), elements.items, elements.weights
        recent = decayed_weights(n, self.memory.config.recency)[elements.owner]
        known = self.memory.row(items, weights * recent)
        factors = self.weights.memory, self.weights.sharpness
        found = [ClickScores(*factors, known, self._spread(*known))]
        if self.neighbours is not None and self.weights.neighbours:
            known = self.neighbours.row(items, n - 1 - elements.owner, weights)
            factors = self.weights.neighbours, self.weights.neighbour_sharpness
            found.append(ClickScores(*factors, known, self._spread(*known)))
        return tuple(found)

    def session_vectors(
        self, prefixes: Sequence[np.ndarray], new: np.ndarray | None = None
    ) -> np.ndarray:
        """Vectors of sessions for the network: (n, h + 1) float32; `new` as in `query`."""
        guests = self._guests(new)
        nearest = None if guests is None else guests.stand_ins
        return self.network.session_vectors(prefixes, new, nearest)

    def elements(self, rows: np.ndarray, new: np.ndarray | None = None) -> Elements:
        """The items of one session; arguments as in `query`."""
        return self._elements(rows, self._guests(new))

    def _elements(self, rows: np.ndarray, guests: ItemTable | None) -> Elements:
        n_items = self.n_items
        units = np.empty((len(rows), self.space.width), np.float32)
        own, others = np.flatnonzero(rows < n_items), np.flatnonzero(rows >= n_items)
        units[own] = self.units_of(rows[own])
        found = []  # of each table: elements, their stand-ins, and rows among these
        for table, start in self._starts():
            place = rows[own] - start
            inside = (place >= 0) & (place < len(table.clicked))
            found.append((own[inside], table.stand_ins, place[inside]))
        if len(others):
            assert guests is not None  # rows from `n_items` on are those of `new`
            units[others] = guests.units[rows[others] - n_items]
            found.append((others, guests.stand_ins, rows[others] - n_items))
        places = [entries_of(matrix, place) for _, matrix, place in found]
        return Elements(
            units,
            np.concatenate([of[p[1]] for (of, _, _), p in zip(found, places, strict=True)]),
            np.concatenate([m.indices[p[0]] for (_, m, _), p in zip(found, places, strict=True)]),
            np.concatenate([m.data[p[0]] for (_, m, _), p in zip(found, places, strict=True)]),
        )

    def offset_for(self, exploration: float | None) -> float:
        """The offset for a share of new items; that of `weights` for None.

        Raises:
            ConfigError: the share is not between 0 and 1, or its offset is not known.
        """
        if exploration is None:
            return self.weights.offset
        check_share(exploration)
        if exploration == 0:
            return -math.inf
        if self.exploration is None:
            raise ConfigError(
                "This recommender was tuned without validation sessions, so the share of new items "
                "cannot be chosen; leave exploration out, or set it to 0."
            )
        return self.exploration.offset_for(exploration)

    def match(self, query: SessionQuery) -> np.ndarray:
        """Scores (n_items,) float32 of all items; −inf for excluded items and those without features."""
        weights = self.weights
        scores = np.zeros(self.n_items, np.float32)
        if weights.network:
            scores += np.float32(weights.network) * self.network.match(query.network)
        if weights.cosine:
            content = np.float32(weights.cosine) * query.content
            scores += joined([table.units @ content for table in self._tables])
        for one in query.clicks:
            items, values = one.all
            scores[items] += damped(values, one.weight, one.sharpness).astype(np.float32)
        scores[~self.clicked] += np.float32(query.offset)
        scores[np.isnan(scores)] = -np.inf
        return scores

    def scores_at(
        self, query: SessionQuery, rows: np.ndarray, *, rough: bool = False
    ) -> np.ndarray:
        """Scores of some items: (m,) float64.

        Args:
            query: of the session.
            rows: (m,) rows of the items.
            rough: whether the inner products are computed in float32, which is faster. The rounding
                errors then depend on the other rows.
        """
        scores = np.zeros(len(rows))
        for one in query.clicks:
            scores += damped(values_at(*one.all, rows), one.weight, one.sharpness)
        scores[~self._clicked_at(rows)] += query.offset
        vectors, units = self.network.vectors_of(rows), self.units_of(rows)
        if rough:
            weights = self.weights
            scores += weights.network * (vectors @ query.network)
            return scores + weights.cosine * (units @ query.content)
        return scores + self._dense(query, vectors, units)

    def scores_of_new(self, query: SessionQuery, features: np.ndarray) -> np.ndarray:
        """Scores that new items would have: (n, n_features) -> (n,) float64."""
        new = self._table_of(features)
        place, owner = entries_of(new.stand_ins, np.arange(len(features)))
        scores = np.zeros(len(features))
        for one in query.clicks:
            values = values_at(*one.known, new.stand_ins.indices[place]) * new.stand_ins.data[place]
            summed = np.bincount(owner, values, len(features)).astype(np.float64)  # int if empty
            scores += damped(summed, one.weight, one.sharpness)
        vectors = self.network.encode_new(features, new.stand_ins)
        return scores + query.offset + self._dense(query, vectors, new.units)

    def without_neighbours(self) -> "FusedModel":
        """A copy without session neighbours, and so without training sessions."""
        model = copy.copy(self)
        model.neighbours, model.weights = None, replace(self.weights, neighbours=0.0)
        return model

    def with_new_items(self, features: np.ndarray) -> "FusedModel":
        """A copy with new items appended to those that it ranks; nothing is refitted.

        Args:
            features: (n, n_features); rows of NaN are items without features, which get no score.
        """
        model = copy.copy(self)
        vars(model).pop("mean_vector", None)  # of fewer items
        new = self._table_of(features)
        model.network = self.network.with_new_items(features, new.stand_ins)
        first, more = self._tables[0], [*self._tables[1:], new]
        added = more[0] if len(more) == 1 else more[0].followed_by(more[1])
        merged = len(added.clicked) > len(first.clicked) // MERGE
        model._tables = (first.followed_by(added),) if merged else (first, added)
        return model

    def _spread(self, items: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of clicked items, and of all items that these stand for."""
        rows, scores = [items], [values]
        for table, start in self._starts():
            if not table.clicked.all():
                new, score = weighted_sum(table.spread, items, values)
                rows.append(new + start)
                scores.append(score)
        row = np.concatenate(rows)
        order = np.argsort(row, kind="stable")
        return row[order], np.concatenate(scores)[order]

    def _dense(self, query: SessionQuery, vectors: np.ndarray, units: np.ndarray) -> np.ndarray:
        """What network and cosine add to the scores of (n, h + 1) vectors and (n, d') units: (n,) float64.

        Summed row by row, so that a score does not depend on the other rows.
        """
        network = (vectors * query.network.astype(np.float64)).sum(1)
        cosine = (units * query.content.astype(np.float64)).sum(1)
        return self.weights.network * network + self.weights.cosine * cosine

    def _guests(self, new: np.ndarray | None) -> ItemTable | None:
        """Table of the elements of a session that are not candidates; None if there are none."""
        return None if new is None or not len(new) else self._table_of(new)

    def _table_of(self, features: np.ndarray) -> ItemTable:
        """Table of new items: (n, n_features) features."""
        units, first, n_known = self.space.units(features), self._tables[0], self.memory.n_items
        axes = self.space.of_behaviour
        known, clicked = first.units[:n_known, axes], first.clicked[:n_known]
        nearest = of_new_items(units[:, axes], known, clicked)
        return ItemTable(units, np.zeros(len(units), bool), nearest)

    def _starts(self) -> list[tuple[ItemTable, int]]:
        """The tables, with the row of their first item."""
        starts = [0, *np.cumsum([len(table.clicked) for table in self._tables])]
        return list(zip(self._tables, starts, strict=False))

    def _clicked_at(self, rows: np.ndarray) -> np.ndarray:
        return take([table.clicked for table in self._tables], rows)
