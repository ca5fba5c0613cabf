"""Metrics of recommendation lists beyond accuracy: coverage, popularity, novelty and diversity.

A list is a row of (n, k) int32 item rows, the best first; -1 if there are fewer items. Functions that end
in `_values` return one value per case, which can be averaged over slices and resampled over sessions; the
value is NaN where it is undefined, as for an empty list.
"""

import numpy as np

CELLS_AT_ONCE = 4_000_000  # features held in memory at once: 32 MB


def exposure(lists: np.ndarray, n_items: int) -> np.ndarray:
    """How often each item is in a list: (n, k) lists -> (n_items,) int64."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def catalogue_coverage(shown: np.ndarray) -> float:
    """Share of the items that are in at least one list (Ge et al., RecSys 2010).

    It grows with the number of lists, so compare it only for the same cases and k.

    Args:
        shown: (n_items,), see `exposure`.
    """
    return float((shown > 0).mean()) if len(shown) else float("nan")


def gini(shown: np.ndarray) -> float:
    """Gini index of exposure: 0 if all items are shown equally often, (n − 1) / n if one item is.

    `G = Σ_i (2i − n − 1) x_i / (n Σ x)` with x in ascending order and i from 1, over all items, never
    shown ones included (Fleder and Hosanagar, Management Science 2009).

    Args:
        shown: (n_items,), see `exposure`.

    Returns:
        NaN if nothing is shown.
    """
    x = np.sort(shown).astype(np.float64)
    n, total = len(x), x.sum()
    if not total:
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total))


def popularity_percentile(popularity: np.ndarray) -> np.ndarray:
    """Percentile of each item by training clicks: (n_items,) -> (n_items,) in (0, 1).

    `(r − ½) / n` with the rank r in ascending order of clicks; ties share their mean rank. The mean over
    all items is always ½.
    """
    from scipy.stats import rankdata  # slow to import, and not needed to read results

    return (rankdata(popularity) - 0.5) / max(len(popularity), 1)


def self_information(popularity: np.ndarray, smoothing: float = 1.0) -> np.ndarray:
    """Novelty of each item in bits: (n_items,) -> (n_items,) float64.

    `−log2((c + s) / (Σ c + s n))` with the training clicks c of the item and the (Laplace) smoothing s,
    without which an item without clicks would be infinitely novel. Self-information as in Zhou et al. (PNAS 2010) and Castells et al. (2011).

    Raises:
        ValueError: the smoothing is not positive.
    """
    if not smoothing > 0:
        raise ValueError(f"The smoothing must be above 0, not {smoothing}.")
    counts = np.asarray(popularity, np.float64) + smoothing
    return -np.log2(counts / counts.sum())


def item_values(lists: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean over each list of a value of its items: (n, k) and (n_items,) -> (n,) float64.

    With popularity it is the average recommendation popularity (Yin et al., VLDB 2012), with
    `popularity_percentile` the same on a scale that best-sellers do not dominate, with
    `self_information` the novelty of the list. NaN for an empty list.
    """
    there = lists >= 0  # (n, k)
    sums = np.where(there, np.asarray(values, np.float64)[np.where(there, lists, 0)], 0).sum(1)
    count = there.sum(1)  # (n,)
    return np.divide(sums, count, out=np.full(len(lists), np.nan), where=count > 0)


def diversity_values(lists: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Intra-list diversity: mean cosine distance of all pairs of a list (Ziegler et al., WWW 2005).

    The features define what is different, so report them with the metric and use the same for all
    models: `eval.models.features.text_features`, or a set that no compared model was trained on.

    Args:
        lists: (n, k).
        features: (n_items, d); an item whose row is all zeros or not finite is left out of the pairs.

    Returns:
        (n,) float64 in [0, 2]; NaN for a list with fewer than two items that have features.
    """
    features = np.asarray(features)
    n, k = lists.shape
    result = np.full(n, np.nan)
    length = np.sqrt(np.einsum("id,id->i", features, features, dtype=np.float64))  # (n_items,)
    known = (length > 0) & np.isfinite(length)  # (n_items,)
    weight = np.divide(1, length, out=np.zeros(len(length)), where=known)  # (n_items,)
    step = max(1, CELLS_AT_ONCE // max(k * features.shape[1], 1))
    for start in range(0, n, step):
        part = lists[start : start + step]  # (c, k)
        items = np.maximum(part, 0)
        there = (part >= 0) & known[items]  # (c, k)
        vectors = features[items].astype(np.float64)  # (c, k, d)
        vectors[~there] = 0  # 0 · NaN is NaN
        weights = np.where(there, weight[items], 0)  # (c, k)
        total = (weights[:, None] @ vectors)[:, 0]  # (c, d)
        count = there.sum(1)  # (c,)
        # Σ over ordered pairs of u·v = |Σ u|² − Σ |u|², so pairs need not be formed.
        cosines = np.einsum("cd,cd->c", total, total) - count
        pairs = count * (count - 1)
        some = pairs > 0
        result[start : start + step][some] = 1 - cosines[some] / pairs[some]
    return np.clip(result, 0, 2)


def list_metrics(
    lists: np.ndarray,
    popularity: np.ndarray,
    features: np.ndarray | None = None,
    *,
    k: int | None = None,
    smoothing: float = 1.0,
) -> dict[str, float]:
    """All metrics of the lists by name; means over the lists for which they are defined.

    Args:
        lists: (n, K).
        popularity: (n_items,) clicks in training sessions.
        features: (n_items, d) for diversity, which is left out without them.
        k: use the first k items of each list; all by default.
        smoothing: for novelty, see `self_information`.

    Returns:
        coverage, gini, popularity (training clicks), popularity_percentile, novelty (bits), and
        diversity (cosine distance) if there are features.
    """
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    lists = lists[:, :k]
    shown = exposure(lists, len(popularity))
    found = {
        "coverage": catalogue_coverage(shown),
        "gini": gini(shown),
        "popularity": _mean(item_values(lists, popularity)),
        "popularity_percentile": _mean(item_values(lists, popularity_percentile(popularity))),
        "novelty": _mean(item_values(lists, self_information(popularity, smoothing))),
    }
    if features is not None:
        found["diversity"] = _mean(diversity_values(lists, features))
    return found


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if all are."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
