"""Calibration of a model's probabilities.

Scores become probabilities by a softmax of `score / temperature` over the candidates of a case. The
temperature follows the same rule for every model:

    scores that are log-probabilities (Σ exp of each row is 1)  ->  1
    all others (logits, similarities, counts)                   ->  fitted on the validation cases

The fitted temperature maximises the likelihood of the validation targets (temperature scaling, Guo et
al., ICML 2017). It does not change the order of the items, so ranks stay the same.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from eval.metrics.ranking import Ranking, candidate_scores
from eval.protocol import CELLS_AT_ONCE, Protocol, RankingModel, TestCases
from tpad import Dataset

BINS = 10
NORMALISED_WITHIN = 1e-3  # of log Σ exp; float32 sums over many items are not exact
RANGE = 1e4  # temperatures are searched between the spread of the scores over and times this


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence and accuracy per bin; empty bins are left out.

    Attributes:
        low, high: (n_bins,) lowest and highest confidence in each bin.
        count: (n_bins,) int64, cases.
        confidence: (n_bins,) mean confidence.
        accuracy: (n_bins,) share of correct predictions.
    """

    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error, `Σ_b n_b / n · |accuracy_b − confidence_b|`; NaN if empty.

        Naeini et al., AAAI 2015.
        """
        if not len(self.count):
            return float("nan")
        gaps = np.abs(self.accuracy - self.confidence)
        return float(self.count @ gaps / self.count.sum())


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration metrics on one set of cases.

    Attributes:
        n: number of cases that have a candidate.
        ece: expected calibration error of the top-ranked item.
        brier: multi-class Brier score, `mean Σ_i (p_i − [i is the target])²`, from 0 to 2 (Brier,
            Monthly Weather Review 1950).
        first_brier: Brier score of the top-ranked item, from 0 to 1.
        log_likelihood: mean log-probability (natural) of the target, over cases where it is above 0.
            Compare only models for which the same targets are possible.
        impossible: share of the cases whose target has probability 0.
        temperature: by which scores were divided.
        reliability: bins of the top-ranked item.
    """

    n: int
    ece: float
    brier: float
    first_brier: float
    log_likelihood: float
    impossible: float
    temperature: float
    reliability: Reliability

    def metrics(self) -> dict[str, float]:
        """The metrics by name, without the bins."""
        names = ("ece", "brier", "first_brier", "log_likelihood", "impossible", "temperature")
        return {name: getattr(self, name) for name in names}


def reliability(
    confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS, equal_width: bool = False
) -> Reliability:
    """Reliability bins of any probabilities.

    By default the bins have about the same number of cases (Nguyen and O'Connor, EMNLP 2015): with
    hundreds of candidates, nearly all probabilities would be in the lowest bin of equal width. Equal
    confidences are in the same bin.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,) bool, or the probability of being correct in [0, 1].
        bins: maximum number of bins.
        equal_width: use bins of equal width instead, as Guo et al. do.

    Raises:
        ValueError: lengths differ, a value is out of range, or bins is below 1.
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if confidence.shape != correct.shape or confidence.ndim != 1:
        raise ValueError("Reliability needs one confidence and one outcome per case.")
    for values in (confidence, correct):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("Confidences and outcomes must lie between 0 and 1.")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    n = len(confidence)
    if equal_width:
        place = np.minimum((confidence * bins).astype(np.int64), bins - 1)  # (n,)
    else:
        ordered = np.sort(confidence)
        # Cases with the same confidence are in the bin of the first of them.
        place = np.searchsorted(ordered, confidence) * bins // max(n, 1)
    index, place, count = np.unique(place, return_inverse=True, return_counts=True)
    low, high = np.ones(len(index)), np.zeros(len(index))
    np.minimum.at(low, place, confidence)
    np.maximum.at(high, place, confidence)
    sums = [np.bincount(place, values, len(index)) for values in (confidence, correct)]
    return Reliability(low, high, count, sums[0] / count, sums[1] / count)


def calibration(
    ranking: Ranking, *, bins: int = BINS, mask: np.ndarray | None = None
) -> Calibration:
    """Calibration of a ranking whose temperature comes from `temperature_of`.

    If several items tie for the first rank, the top-ranked item is correct with the probability that it
    is the target.

    Args:
        ranking: of n cases.
        bins: maximum number of reliability bins.
        mask: (n,) bool, the cases of a slice; all by default.
    """
    some = ~np.isneginf(ranking.log_normaliser)  # cases that have a candidate
    if mask is not None:
        some &= mask
    log_p = ranking.log_probability[some]  # (n,)
    p = np.exp(log_p)
    confidence = np.minimum(np.exp(ranking.list_log_probability[some, 0]), 1.0)  # (n,)
    right = first_is_right(ranking)[some]  # (n,)
    possible = ~np.isneginf(log_p)
    bins_found = reliability(confidence, right, bins=bins)

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return Calibration(
        n=int(some.sum()),
        ece=bins_found.error,
        brier=mean(ranking.collision[some] - 2 * p + 1),
        # E (c − y)² with y ∈ {0, 1} of mean r: c² − 2 c r + r.
        first_brier=mean(confidence**2 - 2 * confidence * right + right),
        log_likelihood=mean(log_p[possible]),
        impossible=mean(~possible),
        temperature=ranking.temperature,
        reliability=bins_found,
    )


def first_is_right(ranking: Ranking) -> np.ndarray:
    """(n,) float64, the probability that the target is ranked first, given its ties."""
    ties = ranking.ranks.ties
    first = (ranking.ranks.above == 0) & (ties > 0)
    return np.where(first, 1 / np.maximum(ties, 1), 0.0)


def validation_cases(dataset: Dataset, protocol: Protocol | None = None) -> TestCases:
    """The cases of the validation sessions, made as those of the test sessions."""
    return TestCases.of(replace(dataset, test=dataset.validation), protocol)


def temperature_of(
    model: RankingModel, cases: TestCases, n_items: int, *, cells: int = 2 * CELLS_AT_ONCE
) -> float:
    """The temperature of a model, see the module's docstring.

    Args:
        model: fitted.
        cases: validation cases. If they have more than `cells` scores, evenly spaced cases are used.
        n_items: number of items ranked.
        cells: maximum number of scores in memory.

    Returns:
        1 for log-probabilities, and if no target can be scored.
    """
    n = min(len(cases), max(1, cells // max(n_items, 1)))
    if not n:
        return 1.0
    chosen = np.linspace(0, len(cases) - 1, n).astype(np.int64)
    cases = replace(
        cases,
        session=cases.session[chosen],
        prefixes=[cases.prefixes[i] for i in chosen],
        targets=cases.targets[chosen],
        cold=cases.cold[chosen],
    )
    if are_log_probabilities(np.asarray(model.scores(cases.prefixes[:8]))):
        return 1.0
    scores = np.empty((n, n_items), np.float32)
    parts = candidate_scores(model, cases.prefixes, n_items, mask_seen=cases.mask_history)
    for start, part in parts:
        scores[start : start + len(part)] = part
    return fit_temperature(scores, cases.targets)


def are_log_probabilities(scores: np.ndarray) -> bool:
    """Whether `Σ exp` of every row of scores (n, n_items) is 1; n is at least 1."""
    if (scores > NORMALISED_WITHIN).any():
        return False
    with np.errstate(divide="ignore"):
        totals = logsumexp(scores.astype(np.float64), axis=1)  # (n,)
    return bool((np.abs(totals) <= NORMALISED_WITHIN).all())


def fit_temperature(scores: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that maximises the likelihood of the targets.

    `Σ log Σ_j exp(s_j / T) − s_target / T` is convex in 1 / T, so a bounded search finds its minimum.
    T is between the spread of the scores (the mean over cases of their standard deviation) over
    `RANGE` and the spread times `RANGE`.

    Args:
        scores: (n, n_items) float32; −inf for items that are not candidates.
        targets: (n,) item rows; cases whose target has the score −inf are left out.

    Returns:
        1 if no case is left, or if the scores of each case are all equal.
    """
    own = scores[np.arange(len(targets)), targets]  # (n,)
    some = np.isfinite(own)
    below, own = scores[some], own[some]  # (c, n_items), (c,)
    spread = [float(row[np.isfinite(row)].std(dtype=np.float64)) for row in below]
    scale = float(np.mean(spread)) if spread else 0.0
    if scale == 0:
        return 1.0
    highest = below.max(1)  # (c,)
    below -= highest[:, None]
    gap = (own - highest).astype(np.float64)  # (c,)
    buffer = np.empty_like(below)

    def loss(log_inverse: float) -> float:
        inverse = np.exp(log_inverse) / scale
        np.multiply(below, np.float32(inverse), out=buffer)
        np.exp(buffer, out=buffer)
        return float(np.mean(np.log(buffer.sum(1, dtype=np.float64)) - inverse * gap))

    reach = float(np.log(RANGE))
    found = minimize_scalar(loss, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-4})
    return float(scale / np.exp(found.x))
