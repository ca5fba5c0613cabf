"""Ensembles: a model by item id joined with nearest neighbours by content."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from eval.baselines.ease import EASEConfig
from eval.baselines.validation import ValidationCases
from eval.baselines.vsknn import VSKNNConfig
from eval.metrics.frontier import KindScores, frontier_of
from eval.metrics.ranks import case_values, target_ranks
from eval.protocol import CELLS_AT_ONCE, RankingModel
from tpad import Dataset
from tpad.data.cases import mask_history
from tpad.settings import Positive, Share, settings

WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Weights of the content that `choose_weight_and_offset` tries."""
MOST_CASES = 20_000
"""Of more validation cases, evenly spaced ones are used."""
LIST_LENGTH = 20


@settings
class JoinConfig:
    """How the two parts of an ensemble are joined."""

    content_decay: Positive = 3.0
    """Number of steps back over which the weight of an item in the content part decays by e."""
    weight: Share = 0.3
    """Weight of the content; that of the item ids is 1 − weight."""
    offset: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """Added to the scores of items without clicks, in standard deviations."""


@settings
class VSKNNEnsembleConfig(JoinConfig, VSKNNConfig):
    """Settings of V-SKNN joined with neighbours by content."""


@settings
class EASEEnsembleConfig(JoinConfig, EASEConfig):
    """Settings of EASE joined with neighbours by content."""


class Ensemble:
    """Scores by `(1 − weight) · z_id + weight · z_content + offset · [item without clicks]`.

    z are the scores of each part, standardised for each session over the items that the part can score.
    An item that a part cannot score has z = 0 there; if no part can, its score is −inf.

    Args:
        by_id: a model that scores items with clicks.
        by_content: a model that scores all items that have content.
        weight, offset: see the formula.
    """

    can_score_new_items = True

    def __init__(
        self, by_id: RankingModel, by_content: RankingModel, weight: float, offset: float
    ) -> None:
        self.by_id, self.by_content = by_id, by_content
        self.weight, self.offset = weight, offset

    def fit(self, dataset: Dataset) -> "Ensemble":
        self.by_id.fit(dataset)
        self.by_content.fit(dataset)
        self.unclicked = dataset.cold  # (n_items,)
        return self

    def parts(self, sessions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The standardised scores of both parts, (n, n_items) each; −inf if no part scores an item."""
        by_id, by_content = (one.scores(sessions) for one in (self.by_id, self.by_content))
        missing = np.isneginf(by_id) & np.isneginf(by_content)
        first = _standardised(by_id)
        first[missing] = -np.inf
        return first, _standardised(by_content)

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        result = combined(self.parts(sessions), self.weight)
        result[:, self.unclicked] += np.float32(self.offset)
        return result


def combined(parts: tuple[np.ndarray, np.ndarray], weight: float) -> np.ndarray:
    """The weighted sum of two parts, (n, n_items) float32."""
    first, second = parts
    return np.float32(1 - weight) * first + np.float32(weight) * second


def choose_weight_and_offset(
    model: Ensemble, validation: ValidationCases
) -> tuple[dict[str, float], float]:
    """The weight and the offset with the highest sum of P@20 and MRR@20 over all validation cases.

    All `WEIGHTS` are tried. For each, the offsets lie between the points of its frontier on the
    validation cases, with pseudo-cold items as unclicked ones, so that every share of them in the lists
    is tried. The model is not fitted again.

    Args:
        model: fitted without clicks on the pseudo-cold items.
        validation: cases with pseudo-cold items.

    Returns:
        `weight` and `offset`, and the sum; NaN without cases.
    """
    if len(validation) > MOST_CASES:
        validation = _some(validation)
    best: dict[str, float] = {"weight": model.weight, "offset": model.offset}
    highest = float("nan")
    for weight, scores in _validated(model, validation).items() if len(validation) else ():
        for offset in _between(frontier_of(scores)[0].offsets):
            ranks = scores.ranks(offset)
            value = sum(float(case_values(ranks, m, LIST_LENGTH).mean()) for m in ("P", "MRR"))
            if not value <= highest:  # the first value is compared with NaN
                best, highest = {"weight": weight, "offset": offset}, value
    return best, highest


def _validated(model: Ensemble, validation: ValidationCases) -> dict[float, KindScores]:
    """The best scores of both kinds for each weight, from one pass over the parts."""
    pseudo_cold = validation.held_out
    if pseudo_cold is None:
        pseudo_cold = np.zeros(len(validation.candidates), bool)
    cold = pseudo_cold[validation.targets]
    found = {weight: KindScores.empty(cold, pseudo_cold, LIST_LENGTH) for weight in WEIGHTS}
    step = max(1, CELLS_AT_ONCE // len(pseudo_cold))
    for start in range(0, len(validation), step):
        part = slice(start, start + step)
        prefixes, targets = validation.prefixes[part], validation.targets[part]
        parts = model.parts(prefixes)
        parts[0][:, ~validation.candidates] = -np.inf
        if validation.mask_seen:
            mask_history(parts[0], prefixes)
        for weight, scores in found.items():
            both = combined(parts, weight)
            scores.fill(part, both, targets, target_ranks(both, targets))
    return found


def _some(validation: ValidationCases) -> ValidationCases:
    """`MOST_CASES` of the cases, evenly spaced."""
    rows = np.linspace(0, len(validation) - 1, MOST_CASES).astype(np.int64)
    prefixes = [validation.prefixes[row] for row in rows]
    return replace(validation, prefixes=prefixes, targets=validation.targets[rows])


def _between(offsets: np.ndarray) -> list[float]:
    """An offset on each side of and between the finite ones, in ascending order."""
    finite = np.unique(offsets[np.isfinite(offsets)])
    if not len(finite):
        return [0.0]
    middle = (finite[1:] + finite[:-1]) / 2
    return [round(one, 4) for one in (finite[0] - 1, *middle.tolist(), finite[-1] + 1)]


def _standardised(scores: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1 over their finite scores; 0 for the others."""
    there = np.isfinite(scores)
    count = np.maximum(there.sum(1, keepdims=True), 1)
    values = np.where(there, scores, 0.0).astype(np.float64)
    values = np.where(there, values - values.sum(1, keepdims=True) / count, 0.0)
    spread = np.sqrt((values**2).sum(1, keepdims=True) / count)
    return (values / np.where(spread > 0, spread, 1.0)).astype(np.float32)
