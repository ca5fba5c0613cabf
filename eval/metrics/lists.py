"""Figures of the lists that a model shows: how much of the shop, how popular, how varied.

A list is a row of (n, k) int32 item rows, the best first, -1 where fewer items are shown. Functions
ending in `_values` give one figure a case, so that they can be averaged over slices and resampled
over sessions; NaN marks a case without a figure, such as an empty list.
"""

import numpy as np

CELLS_AT_ONCE = 4_000_000  # features held in memory at once: 32 MB


def exposure(lists: np.ndarray, n_items: int) -> np.ndarray:
    """How often each item is shown: (n, k) lists -> (n_items,) int64."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def catalogue_coverage(shown: np.ndarray) -> float:
    """Share of the catalogue that is shown at least once (Ge et al., RecSys 2010).

    It grows with the number of lists; compare it on the same cases and k only.

    Args:
        shown: (n_items,) as `exposure` gives it.
    """
    return float((shown > 0).mean()) if len(shown) else float("nan")


def gini(shown: np.ndarray) -> float:
    """Gini index of exposure: 0 if all items are shown equally often, (n − 1) / n if only one is.

    `G = Σ_i (2i − n − 1) x_i / (n Σ x)` with x in ascending order and i from 1, over all items, also
    those never shown (Fleder and Hosanagar, Management Science 2009).

    Args:
        shown: (n_items,) as `exposure` gives it.

    Returns:
        NaN if nothing is shown.
    """
    x = np.sort(shown).astype(np.float64)
    n, total = len(x), x.sum()
    if not total:
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total))


def popularity_percentile(popularity: np.ndarray) -> np.ndarray:
    """Place of each item among all by training clicks: (n_items,) -> (n_items,) in (0, 1).

    `(r − ½) / n` with r the rank from the least clicked, ties sharing their mean rank: the mean over
    the catalogue is ½ whatever the counts are.
    """
    from scipy.stats import rankdata  # takes half a second, which a reader of results need not wait

    return (rankdata(popularity) - 0.5) / max(len(popularity), 1)


def self_information(popularity: np.ndarray, smoothing: float = 1.0) -> np.ndarray:
    """Novelty of each item in bits: (n_items,) -> (n_items,) float64.

    `−log2((c + s) / (Σ c + s n))` with c the item's training clicks and s the smoothing: every item
    counts as clicked s times more than it was (Laplace), as an unclicked item would otherwise be
    infinitely novel. Self-information as in Zhou et al. (PNAS 2010) and Castells et al. (2011).

    Raises:
        ValueError: the smoothing is not above 0.
    """
    if not smoothing > 0:
        raise ValueError(f"The smoothing must be above 0, not {smoothing}.")
    counts = np.asarray(popularity, np.float64) + smoothing
    return -np.log2(counts / counts.sum())


def item_values(lists: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of a figure of items over each list: (n, k) and (n_items,) -> (n,) float64.

    With `popularity` it is the average recommendation popularity (Yin et al., VLDB 2012), with
    `popularity_percentile` the same on a scale that no best-seller rules, with `self_information`
    the novelty of the list. NaN for an empty list.
    """
    there = lists >= 0  # (n, k)
    sums = np.where(there, np.asarray(values, np.float64)[np.where(there, lists, 0)], 0).sum(1)
    count = there.sum(1)  # (n,)
    return np.divide(sums, count, out=np.full(len(lists), np.nan), where=count > 0)


def diversity_values(lists: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Intra-list diversity: mean cosine distance of all pairs of a list (Ziegler et al., WWW 2005).

    The features decide what counts as different, so name them with the figure, and use the same for
    all models: `eval.models.features.text_features`, or a set that no compared model was trained with.

    Args:
        lists: (n, k).
        features: (n_items, d); an item whose row is all zeros or not finite has none, and the pairs
            of a list are those of its other items.

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
        vectors[~there] = 0  # 0 · NaN is no number
        weights = np.where(there, weight[items], 0)  # (c, k)
        total = (weights[:, None] @ vectors)[:, 0]  # (c, d)
        count = there.sum(1)  # (c,)
        # Σ over ordered pairs of u·v = |Σ u|² − Σ |u|², so no pair is ever formed.
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
    """All figures of the lists, by name; means over the lists that have one.

    Args:
        lists: (n, K).
        popularity: (n_items,) clicks in training sessions.
        features: (n_items, d) what diversity is measured by; without them there is no diversity.
        k: cut the lists to their first k; by default they stay whole.
        smoothing: of novelty, see `self_information`.

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
    """Mean of what is not NaN; NaN if nothing is."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
