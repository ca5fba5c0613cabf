"""One pass over a model's scores: ranks, the lists shown, and probabilities.

No (cases, items) matrix is ever held: scores are asked for in chunks, and of each chunk only what
the figures need is kept. So 100,000 cases against 100,000 items take as much memory as 100.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from eval.metrics.ranks import Ranks, target_ranks
from eval.protocol import CELLS_AT_ONCE, RankingModel, TestCases
from tpad.data.cases import mask_history

NOTHING = -1


@dataclass(frozen=True, eq=False)
class Ranking:
    """What one pass over n cases leaves.

    Probabilities are the softmax of `scores / temperature` over the candidates of a case; an item
    that cannot be scored has probability 0. Where the scores are log-probabilities and the
    temperature is 1 they are the model's own, given that the next item is a candidate.

    Attributes:
        ranks: n ranks of the targets, with their ties.
        lists: (n, k) int32, rows of the items shown, the best first; -1 where there are fewer.
        list_scores: (n, k) float32; −inf where there is no item.
        target_scores: (n,) float32; −inf where the target is no candidate.
        log_normaliser: (n,) float64, log Σ exp(score / temperature); −inf without a candidate.
        collision: (n,) float64, Σ p², which the Brier score needs; 0 without a candidate.
        temperature: what scores were divided by.
    """

    ranks: Ranks
    lists: np.ndarray
    list_scores: np.ndarray
    target_scores: np.ndarray
    log_normaliser: np.ndarray
    collision: np.ndarray
    temperature: float = 1.0

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def log_probability(self) -> np.ndarray:
        """(n,) float64, of the target; −inf where it is no candidate."""
        return self._log_probability(self.target_scores, self.log_normaliser)

    @property
    def list_log_probability(self) -> np.ndarray:
        """(n, k) float64, of the items shown; −inf where there is no item."""
        return self._log_probability(self.list_scores, self.log_normaliser[:, None])

    def _log_probability(self, scores: np.ndarray, normaliser: np.ndarray) -> np.ndarray:
        scaled = scores.astype(np.float64) / self.temperature
        # Without a candidate the normaliser is −inf too, and −inf minus −inf is no number.
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
) -> Ranking:
    """Ranks, lists and probabilities of every case.

    Args:
        model: fitted.
        cases: n cases.
        n_items: number of items ranked.
        k: length of the lists.
        temperature: what scores are divided by before the softmax, above 0.
        chunk: cases scored at once; by default what keeps memory bounded. It changes no result.
        progress: called with the number of cases done and of all.

    Raises:
        ValueError: k or the temperature is out of range, or the model gave NaN, +inf or scores of
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
    )
    asked = candidate_scores(
        model, cases.prefixes, n_items, mask_seen=cases.mask_history, chunk=chunk
    )
    for start, scores in asked:  # (c, n_items)
        part = slice(start, start + len(scores))
        targets = cases.targets[part]
        result.ranks[part] = target_ranks(scores, targets)
        result.target_scores[part] = scores[np.arange(len(scores)), targets]
        result.lists[part], result.list_scores[part] = top_items(scores, k)
        # Last, as it writes over the scores.
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
    """Chunks of scores in which all that is no candidate has −inf.

    Args:
        model: fitted.
        prefixes: arrays of item rows, the most recent last.
        n_items: number of items ranked.
        mask_seen: whether the items of a prefix are no candidates.
        chunk: prefixes asked at once; by default what keeps memory bounded.

    Yields:
        The first prefix of the chunk, and (c, n_items) float32 scores that may be written over.

    Raises:
        ValueError: the model gave NaN, +inf or scores of another shape.
    """
    chunk = chunk or max(1, CELLS_AT_ONCE // max(n_items, 1))
    for start in range(0, len(prefixes), chunk):
        some = prefixes[start : start + chunk]
        scores = np.array(model.scores(some), dtype=np.float32)  # own copy: it gets masked
        name = type(model).__name__
        if scores.shape != (len(some), n_items):
            raise ValueError(
                f"{name} gave scores of shape {scores.shape}, not {(len(some), n_items)}."
            )
        highest = scores.max(initial=-np.inf)
        if np.isnan(highest) or highest == np.inf:
            raise ValueError(f"{name} gave {highest} as a score; it cannot be ranked.")
        if mask_seen:
            mask_history(scores, some)
        yield start, scores


def top_items(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best items of each row, the best first.

    Of items with the same score the one that comes first in the item table comes first. That needs
    no seed and gives no model an advantage by itself: figures of accuracy are
    expectations over ties.

    Args:
        scores: (n, n_items) float32; −inf marks an item that is never shown.
        k: length of the lists; a row with fewer candidates is filled up with -1.

    Returns:
        (n, k) int32 item rows, and their (n, k) float32 scores, −inf beside -1.
    """
    n, n_items = scores.shape
    lists = np.full((n, k), NOTHING, np.int32)
    list_scores = np.full((n, k), -np.inf, np.float32)
    taken = min(k, n_items)
    if not n or not taken:
        return lists, list_scores
    # argpartition alone would pick any of those that tie at the end of the list.
    last = np.partition(scores, n_items - taken, axis=1)[:, n_items - taken, None]  # (n, 1)
    row, item = np.divmod(np.flatnonzero(scores > last), n_items)  # fewer than k a row
    # Where few things tell items apart nearly all of them tie, so only the first are looked at.
    tied = np.flatnonzero(scores == last)  # in order of rows, then items
    first = np.searchsorted(tied, np.arange(n) * n_items)  # (n,) where the ties of a row begin
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
    """log Σ exp(score / temperature) and Σ p² of each row, (n,) each; writes over the scores."""
    highest = scores.max(1, initial=-np.inf)[:, None]  # (n, 1)
    some = np.isfinite(highest[:, 0])  # rows with a candidate
    scores -= np.where(np.isfinite(highest), highest, 0)
    with np.errstate(over="ignore"):  # far below the best: −inf, probability 0
        scores /= np.float32(temperature)
    np.exp(scores, out=scores)
    total = scores.sum(1, dtype=np.float64)  # (n,)
    squares = np.einsum("ij,ij->i", scores, scores, dtype=np.float64)  # (n,)
    with np.errstate(divide="ignore"):
        normaliser = np.log(total) + np.where(some, highest[:, 0] / temperature, 0.0)
    return normaliser, np.divide(squares, total**2, out=np.zeros(len(total)), where=some)
