"""One pass over the scores of a model: ranks, lists, and probabilities.

Scores are computed in chunks, and only what the metrics need is kept of each chunk, so the (cases,
items) matrix is never in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from eval.metrics.frontier import KindScores
from eval.metrics.ranks import Ranks, target_ranks
from eval.protocol import CELLS_AT_ONCE, RankingModel, TestCases
from tpad.data.cases import mask_history

NO_ITEM = -1


@dataclass(frozen=True, eq=False)
class Ranking:
    """The result of one pass over n cases.

    Probabilities are the softmax of `scores / temperature` over the candidates of a case; an item
    that cannot be scored has probability 0. If the scores are log-probabilities and the temperature is
    1, these are the model's own probabilities, given that the next item is a candidate.

    Attributes:
        ranks: n ranks of the targets, with their ties.
        lists: (n, k) int32, item rows, the best first; -1 if there are fewer items.
        list_scores: (n, k) float32; −inf if there is no item.
        target_scores: (n,) float32; −inf if the target is not a candidate.
        log_normaliser: (n,) float64, log Σ exp(score / temperature); −inf if there is no candidate.
        collision: (n,) float64, Σ p², used by the Brier score; 0 if there is no candidate.
        temperature: by which scores were divided.
        by_kind: the best scores of clicked and of unclicked items, if they were asked for.
    """

    ranks: Ranks
    lists: np.ndarray
    list_scores: np.ndarray
    target_scores: np.ndarray
    log_normaliser: np.ndarray
    collision: np.ndarray
    temperature: float = 1.0
    by_kind: KindScores | None = None

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def log_probability(self) -> np.ndarray:
        """(n,) float64, of the target; −inf if it is not a candidate."""
        return self._log_probability(self.target_scores, self.log_normaliser)

    @property
    def list_log_probability(self) -> np.ndarray:
        """(n, k) float64, of the items in the lists; −inf if there is no item."""
        return self._log_probability(self.list_scores, self.log_normaliser[:, None])

    def _log_probability(self, scores: np.ndarray, normaliser: np.ndarray) -> np.ndarray:
        scaled = scores.astype(np.float64) / self.temperature
        # Without a candidate the normaliser is −inf too, and −inf − (−inf) is NaN.
        return scaled - np.where(np.isneginf(normaliser), 0.0, normaliser)


def rank_all(
    model: RankingModel,
    cases: TestCases,
    n_items: int,
    *,
    k: int = 20,
    temperature: float = 1.0,
    chunk: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    unclicked: np.ndarray | None = None,
) -> Ranking:
    """Ranks, lists and probabilities of all cases.

    Args:
        model: fitted.
        cases: n cases.
        n_items: number of items ranked.
        k: length of the lists.
        temperature: by which scores are divided before the softmax, above 0.
        chunk: cases scored at once; limited by memory by default. It does not change the result.
        progress: called with the number of cases done and in total.
        unclicked: (n_items,) bool, items without training clicks; if given, the best scores of clicked
            and of unclicked items are kept in `by_kind`.

    Raises:
        ValueError: k or the temperature is out of range, or the model returned NaN, +inf or scores of
            another shape.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if not 0 < temperature < np.inf:
        raise ValueError(f"The temperature must be above 0, not {temperature}.")
    n = len(cases)
    result = Ranking(
        Ranks.empty(n),
        np.empty((n, k), np.int32),
        np.empty((n, k), np.float32),
        np.empty(n, np.float32),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        float(temperature),
        None if unclicked is None else KindScores.empty(cases.cold, unclicked, k),
    )
    chunks = candidate_scores(
        model, cases.prefixes, n_items, mask_seen=cases.mask_history, chunk=chunk
    )
    for start, scores in chunks:  # (c, n_items)
        part = slice(start, start + len(scores))
        targets = cases.targets[part]
        result.ranks[part] = target_ranks(scores, targets)
        result.target_scores[part] = scores[np.arange(len(scores)), targets]
        worst = None
        if result.by_kind is not None:
            worst = result.by_kind.fill(part, scores, targets, result.ranks[part])
        result.lists[part], result.list_scores[part] = top_items(scores, k, worst)
        # Last, as it overwrites the scores.
        result.log_normaliser[part], result.collision[part] = _normalise(scores, temperature)
        if progress is not None:
            progress(start + len(scores), n)
    return result


def candidate_scores(
    model: RankingModel,
    prefixes: list[np.ndarray],
    n_items: int,
    *,
    mask_seen: bool,
    chunk: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Chunks of scores, with −inf for items that are not candidates.

    Args:
        model: fitted.
        prefixes: arrays of item rows, the most recent last.
        n_items: number of items ranked.
        mask_seen: whether the items of a prefix are excluded from the candidates.
        chunk: prefixes scored at once; limited by memory by default.

    Yields:
        The index of the first prefix of the chunk, and its scores (c, n_items) float32, which may be
        overwritten.

    Raises:
        ValueError: the model returned NaN, +inf or scores of another shape.
    """
    chunk = chunk or max(1, CELLS_AT_ONCE // max(n_items, 1))
    for start in range(0, len(prefixes), chunk):
        some = prefixes[start : start + chunk]
        scores = np.array(model.scores(some), dtype=np.float32)  # a copy, as it gets masked
        name = type(model).__name__
        if scores.shape != (len(some), n_items):
            raise ValueError(
                f"{name} returned scores of shape {scores.shape}, not {(len(some), n_items)}."
            )
        highest = scores.max(initial=-np.inf)
        if np.isnan(highest) or highest == np.inf:
            raise ValueError(f"{name} returned {highest} as a score; items cannot be ranked.")
        if mask_seen:
            mask_history(scores, some)
        yield start, scores


def top_items(
    scores: np.ndarray, k: int, worst: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best items of each row, the best first.

    Items with equal scores are in the order of the item table. This needs no seed, and accuracy does
    not depend on it, as its metrics are expectations over ties.

    Args:
        scores: (n, n_items) float32; −inf for an item that is never shown.
        k: length of the lists; if there are fewer candidates, the rest is -1.
        worst: (n,) the k-th best score of each row if it is known, the lowest one of fewer items; it
            spares the search for it.

    Returns:
        (n, k) int32 item rows, and their (n, k) float32 scores, −inf for -1.
    """
    n, n_items = scores.shape
    lists = np.full((n, k), NO_ITEM, np.int32)
    list_scores = np.full((n, k), -np.inf, np.float32)
    taken = min(k, n_items)
    if not n or not taken:
        return lists, list_scores
    if worst is None:
        # argpartition would pick any of the items that tie at the end of the list.
        worst = np.partition(scores, n_items - taken, axis=1)[:, n_items - taken]
    last = worst[:, None]  # (n, 1)
    row, item = np.divmod(np.flatnonzero(scores > last), n_items)  # fewer than k a row
    # Nearly all items may tie, so only the first of them are used.
    tied = np.flatnonzero(scores == last)  # in order of rows, then items
    first = np.searchsorted(tied, np.arange(n) * n_items)  # (n,) start of the ties of each row
    room = np.where(np.isneginf(last[:, 0]), 0, taken - np.bincount(row, minlength=n))  # (n,)
    at = (first[:, None] + np.arange(taken))[np.arange(taken) < room[:, None]]
    tied_row, tied_item = np.divmod(tied[at], n_items)
    row, item = np.concatenate([row, tied_row]), np.concatenate([item, tied_item])
    value = scores[row, item]
    order = np.lexsort((item, -value, row))
    row, item, value = row[order], item[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(n))[row]
    lists[row, place], list_scores[row, place] = item, value
    return lists, list_scores


def _normalise(scores: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """log Σ exp(score / temperature) and Σ p² of each row, (n,) each; overwrites the scores."""
    highest = scores.max(1, initial=-np.inf)[:, None]  # (n, 1)
    some = np.isfinite(highest[:, 0])  # rows with a candidate
    scores -= np.where(np.isfinite(highest), highest, 0)
    with np.errstate(over="ignore"):  # scores far below the best: probability 0
        scores /= np.float32(temperature)
    np.exp(scores, out=scores)
    total = scores.sum(1, dtype=np.float64)  # (n,)
    squares = np.einsum("ij,ij->i", scores, scores, dtype=np.float64)  # (n,)
    with np.errstate(divide="ignore"):
        normaliser = np.log(total) + np.where(some, highest[:, 0] / temperature, 0.0)
    return normaliser, np.divide(squares, total**2, out=np.zeros(len(total)), where=some)
