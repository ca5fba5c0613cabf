"""The frontier: what cold targets gain and warm targets lose as unclicked items are moved up the lists.

P@k of cold targets alone says little, as an offset on the scores of all unclicked items puts any number
of them into the lists, at the cost of warm targets. The frontier is P@k of warm targets against P@k of
cold targets over all offsets, from "no unclicked item in any list" to "only unclicked items".

A target competes with the items of its own kind at any offset, and with the j-th best item of the other
kind from one offset on. With m the number of places that its own kind leaves it,

    warm target s, m-th best unclicked item u:  in the list while  offset < s − u
    cold target s, m-th best clicked item w:    in the list once   offset ≥ w − s

so the curve is exact and follows from the k best scores of each kind; no list is sorted again. If t
items of its own kind have the score of the target, each of up to t such offsets moves its value by 1/t,
as P@k is an expectation over ties. Between kinds a tie is resolved at each offset in favour of the
unclicked item, that is, the curve shows the result just above the offset.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.ranks import Ranks

POINTS = 101
"""Points that are kept of a curve with more than one, evenly spaced along it."""
ROWS_AT_ONCE = 50_000


@dataclass(frozen=True, eq=False)
class Frontier:
    """Points of the frontier, in ascending order of the offset.

    A model that cannot score unclicked items has one point. All others have `POINTS`: point i is the
    first one at which the fraction i / (`POINTS` − 1) of the way is covered, where the way is the sum of
    what warm targets lose and of what cold targets gain, each as a share of its total. All values are
    means over cases. The model's own result, at the offset 0, follows from its ranks.

    Attributes:
        offsets: (m,) float64, added to the scores of unclicked items; from −inf to +inf.
        warm, cold: (m,) float64, P@k of warm and of cold targets.
        share: (m,) float64, share of unclicked items in the lists, mean over cases.
    """

    offsets: np.ndarray
    warm: np.ndarray
    cold: np.ndarray
    share: np.ndarray

    @classmethod
    def point(cls, warm: float, cold: float, share: float) -> "Frontier":
        """The frontier of a model that cannot score unclicked items, whatever the offset."""
        values = (np.array([value], np.float64) for value in (-np.inf, warm, cold, share))
        return cls(*values)

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True, eq=False)
class KindScores:
    """The best scores of clicked and of unclicked items in n cases, from one pass over the scores.

    Attributes:
        kinds: rows of the clicked and of the unclicked items.
        cold: (n,) bool, whether the target is unclicked.
        targets: (n,) float32, scores of the targets; −inf if a target is not a candidate.
        own: n ranks of the targets among the items of their own kind.
        clicked, unclicked: (n, k) float32, the best scores of each kind in descending order, −inf where
            there are fewer candidates.
    """

    kinds: tuple[np.ndarray, np.ndarray]
    cold: np.ndarray
    targets: np.ndarray
    own: Ranks
    clicked: np.ndarray
    unclicked: np.ndarray

    @classmethod
    def empty(cls, cold: np.ndarray, is_unclicked: np.ndarray, k: int) -> "KindScores":
        """To be filled in.

        Args:
            cold: (n,) bool, whether the target is unclicked.
            is_unclicked: (n_items,) bool.
            k: length of the lists.
        """
        n = len(cold)
        kinds = np.flatnonzero(~is_unclicked), np.flatnonzero(is_unclicked)
        best = (np.empty((n, k), np.float32) for _ in range(2))
        return cls(kinds, cold, np.empty(n, np.float32), Ranks.empty(n), *best)

    @property
    def k(self) -> int:
        """Length of the lists."""
        return self.clicked.shape[1]

    def fill(
        self, part: slice, scores: np.ndarray, targets: np.ndarray, ranks: Ranks
    ) -> np.ndarray:
        """Fills in some cases.

        Args:
            part: the cases.
            scores: (c, n_items) float32; −inf for items that are not candidates.
            targets: (c,) item rows.
            ranks: of the targets among all items.

        Returns:
            (c,) score of the k-th best item of each case, or of the worst one if there are fewer.
        """
        clicked, unclicked = (scores.take(rows, axis=1) for rows in self.kinds)
        own = scores[np.arange(len(scores)), targets][:, None]  # (c, 1)
        above, ties = (unclicked > own).sum(1), (unclicked == own).sum(1)
        cold, found = self.cold[part], ranks.ties > 0
        self.targets[part] = own[:, 0]
        self.own.above[part] = np.where(found, np.where(cold, above, ranks.above - above), 0)
        self.own.ties[part] = np.where(found, np.where(cold, ties, ranks.ties - ties), 0)
        self.clicked[part] = _best(clicked, self.k)
        self.unclicked[part] = _best(unclicked, self.k)
        both = np.concatenate([self.clicked[part], self.unclicked[part]], axis=1)  # (c, 2 k)
        return -np.sort(-both, axis=1)[:, min(self.k, scores.shape[1]) - 1]

    def ranks(self, offset: float) -> Ranks:
        """Ranks of the targets after adding an offset to the scores of unclicked items.

        They are exact up to rank k; a target that is ranked lower has any larger rank.
        """
        own = self.targets.astype(np.float64)[:, None]  # (n, 1)
        pushed = (self.unclicked.astype(np.float64) + offset >= own).sum(1)
        passed = (self.clicked > own + offset).sum(1)
        others = np.where(self.cold, passed, pushed)
        found = self.own.ties > 0
        return Ranks(
            np.where(found, self.own.above + others, 0).astype(np.int32), self.own.ties.copy()
        )

    def turning_points(self, cold: bool) -> tuple[np.ndarray, np.ndarray]:
        """The offsets at which P@k of targets of one kind changes, and by how much.

        Args:
            cold: whether cold targets are meant, which enter the lists; warm targets leave them.

        Returns:
            (m,) float64 each. An offset of +inf (warm) or −inf (cold) means that the part of the value
            counts at any offset.
        """
        fits = (self.own.ties > 0) & (self.own.above < self.k) & (self.cold == cold)
        rows = np.flatnonzero(fits)
        own = self.targets[rows].astype(np.float64)[:, None]  # (r, 1)
        other = (self.clicked if cold else self.unclicked)[rows].astype(np.float64)  # (r, k)
        room = (self.k - self.own.above[rows])[:, None]  # (r, 1)
        ties = self.own.ties[rows][:, None]  # (r, 1)
        place = np.arange(self.k)
        counts = (place < room) & (place >= room - ties)  # (r, k)
        offsets = other - own if cold else own - other
        weights = np.broadcast_to(1.0 / ties, counts.shape)
        return offsets[counts], weights[counts]

    def shares(self, offsets: np.ndarray) -> np.ndarray:
        """Share of unclicked items in the lists at ascending offsets, mean over cases: (m,) -> (m,)."""
        entered, lists = np.zeros(len(offsets) + 1), 0
        for start in range(0, len(self.cold), ROWS_AT_ONCE):
            clicked = self.clicked[start : start + ROWS_AT_ONCE].astype(np.float64)  # (c, k)
            unclicked = self.unclicked[start : start + ROWS_AT_ONCE].astype(np.float64)
            candidates = np.isfinite(clicked).sum(1) + np.isfinite(unclicked).sum(1)
            length = np.minimum(candidates, self.k)  # (c,)
            # The j-th best unclicked item is shown once it reaches the clicked one in its place.
            there = np.isfinite(unclicked)
            needed = clicked[:, ::-1][there] - unclicked[there]
            weight = np.repeat(1.0 / np.maximum(length, 1), there.sum(1))
            at = np.searchsorted(offsets, needed)
            entered += np.bincount(at, weight, len(entered))
            lists += int((length > 0).sum())
        return np.cumsum(entered[:-1]) / max(lists, 1)


def frontier_of(scores: KindScores) -> tuple[Frontier, float]:
    """The frontier of a model that scores unclicked items, and the area below it.

    The area is the share of the unit square below the whole curve, with w and c for warm and cold:
    `Σ (w_i − w_{i+1}) (c_i + c_{i+1}) / 2`, and the rectangle left of its last point. It is 1 for a
    model that finds every target of both kinds, and 0 if no cold target can be found.

    Args:
        scores: of cases with warm and cold targets.
    """
    leave, losses = scores.turning_points(cold=False)
    enter, gains = scores.turning_points(cold=True)
    changes = np.concatenate([leave[np.isfinite(leave)], enter[np.isfinite(enter)]])
    offsets = np.concatenate([[-np.inf], np.unique(changes)])  # (m,)
    n_cold = int(scores.cold.sum())
    n_warm = len(scores.cold) - n_cold
    # What is lost at +inf is never lost, and what is gained at −inf is there from the start.
    lost = _sums(offsets, leave, losses)
    warm = np.maximum(losses.sum() - lost, 0.0) / max(n_warm, 1)
    cold = _sums(offsets, enter, gains) / max(n_cold, 1)
    area = float(-np.diff(warm) @ (cold[1:] + cold[:-1]) / 2 + warm[-1] * cold[-1])
    kept = _evenly(warm, cold)
    chosen = offsets[kept]
    if len(chosen) > 1:
        chosen[-1] = np.inf  # no target moves any more, but further lists fill up
    return Frontier(chosen, warm[kept], cold[kept], scores.shares(chosen)), area


def mean_curve(frontiers: Sequence[Frontier]) -> np.ndarray:
    """The mean of frontiers over seeds, point by point: (m, 3) warm, cold and share.

    Points of the same number have covered the same fraction of the way.

    Args:
        frontiers: at least one; one with a single point counts as a curve that stays there.
    """
    size = max(map(len, frontiers))
    curves = []
    for one in frontiers:
        way = np.linspace(0, 1, len(one))
        values = (one.warm, one.cold, one.share)
        curves.append([np.interp(np.linspace(0, 1, size), way, value) for value in values])
    return np.mean(curves, axis=0).T


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best scores of each row in descending order, (c, m) -> (c, k); overwrites the scores."""
    m = scores.shape[1]
    if m > k:
        scores.partition(m - k, axis=1)
        scores = scores[:, m - k :]
    best = np.full((len(scores), k), -np.inf, np.float32)
    best[:, : scores.shape[1]] = -np.sort(-scores, axis=1)
    return best


def _sums(offsets: np.ndarray, at: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of the weights at each offset or below: (m,) ascending offsets -> (m,)."""
    place = np.searchsorted(offsets, at)  # those at +inf lie behind the last offset
    return np.cumsum(np.bincount(place, weights, len(offsets) + 1)[:-1])


def _evenly(warm: np.ndarray, cold: np.ndarray) -> np.ndarray:
    """Indices of the points to keep, see `Frontier`; of a single point, that one."""
    if len(warm) == 1:
        return np.zeros(1, np.int64)
    ways = [warm[0] - warm, cold - cold[0]]
    way = np.mean([one / one[-1] for one in ways if one[-1] > 0], axis=0)  # (m,) from 0 to 1
    kept = np.searchsorted(way, np.linspace(0, 1, POINTS) - 1e-12)
    kept[-1] = len(warm) - 1
    return kept
