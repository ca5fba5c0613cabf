"""Chooses the weights of the fused recommender on pools of validation cases.

1. From several starts, one weight at a time is improved over a grid by the smooth gain, until none improves
   it; the best result is kept.
2. The same is done without the network. The network is used only if it raises the gain by more than one
   standard error over the sessions: otherwise, the few weights of the other parts generalise better **[ours]**.
3. The offset of new items maximises P@20 + MRR@20 over all targets. A larger offset is preferred if it costs
   at most one standard error and the share of new items in the lists is at most their share of the clicks
   **[ours]**.

Gains and P@20 + MRR@20 are weighted means over the cases, see `Pools.weight`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tpad.model.session.fused import FusionWeights
from tpad.training.fusion.exploration import entering_offsets
from tpad.training.fusion.pools import RECENCIES, WHITENINGS, Pools, exact_gains, smooth_gains

ROUNDS = 3
GRID: dict[str, tuple[float, ...]] = {
    "memory": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    "sharpness": (30.0, 100.0, 300.0, 1000.0, 3000.0),
    "neighbours": (0.0, 0.5, 1.0, 2.0),
    "neighbour_sharpness": (0.1, 1.0, 10.0),
    "cosine": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    "recency": RECENCIES,
    "whitening": WHITENINGS,
    "offset": (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0),
    "network": (0.5, 1.0),
}
OFFSETS = np.arange(-2.0, 6.01, 0.125)
STARTS = (
    FusionWeights(),
    FusionWeights(network=0.5, memory=3.0, sharpness=30.0, cosine=4.0, recency=4.0),
    FusionWeights(network=1.0, memory=0.0, cosine=0.0),
)
# Without the network, the memory sets the scale of the scores, and of the offsets.
GRID_WITHOUT = {name: grid for name, grid in GRID.items() if name != "network"} | {
    "memory": (0.0, 1.0)
}
STARTS_WITHOUT = (
    FusionWeights(network=0.0),
    FusionWeights(network=0.0, sharpness=30.0, cosine=2.0, recency=4.0),
)


@dataclass(frozen=True)
class Chosen:
    """Weights, the whitening of the content space, and the mean of their smooth gains."""

    weights: FusionWeights
    whitening: float
    value: float


def tune_weights(pools: Pools) -> Chosen:
    """The best weights; the defaults if there are no cases."""
    if not len(pools):
        return Chosen(FusionWeights(), 0.0, 0.0)
    whole, without = (
        max((_climb(start, pools, grid) for start in starts), key=lambda found: found.value)
        for starts, grid in ((STARTS, GRID), (STARTS_WITHOUT, GRID_WITHOUT))
    )
    best = whole if _is_better(whole, without, pools) else without
    return replace(best, weights=replace(best.weights, offset=_offset(best, pools)))


def _is_better(one: Chosen, other: Chosen, pools: Pools) -> bool:
    """Whether the gain of one is higher by more than a standard error, sessions being independent."""
    gains = [smooth_gains(pools.scores(each.weights, each.whitening)) for each in (one, other)]
    difference = pools.weight * (gains[0] - gains[1])  # (n,)
    return bool(difference.sum() > _standard_error(difference, pools))


def _standard_error(values: np.ndarray, pools: Pools) -> float:
    """Standard error of the sum of values of the cases, (n,); sessions are independent, cases are not."""
    sums = np.bincount(pools.session_number, values - values.mean())
    return float(np.linalg.norm(sums))


def _climb(start: FusionWeights, pools: Pools, grids: Mapping[str, tuple[float, ...]]) -> Chosen:
    """Improve one weight at a time, over its grid, until none improves the value."""

    def of(weights: FusionWeights, whitening: float) -> Chosen:
        gains = smooth_gains(pools.scores(weights, whitening))
        return Chosen(weights, whitening, float((pools.weight * gains).mean()))

    best = of(start, WHITENINGS[0])
    for _ in range(ROUNDS):
        before = best
        for name, grid in grids.items():
            for one in grid:
                if name == "whitening":
                    found = of(best.weights, one)
                else:
                    found = of(replace(best.weights, **{name: one}), best.whitening)
                if found.value > best.value:
                    best = found
        if best == before:
            break
    return best


def _offset(chosen: Chosen, pools: Pools) -> float:
    """The offset of new items; see above."""
    if not pools.unclicked.any():
        return 0.0
    scores = pools.scores(replace(chosen.weights, offset=0.0), chosen.whitening)
    gains = [
        pools.weight * exact_gains(scores + np.float32(offset) * pools.unclicked)
        for offset in OFFSETS
    ]
    best = max(range(len(gains)), key=lambda number: gains[number].sum())  # the first of equal ones
    entering = entering_offsets(scores, pools.unclicked)  # (n, K)
    clicked = np.average(pools.unclicked[:, 0], weights=pools.weight)
    for number in reversed(range(best + 1, len(OFFSETS))):
        lost = gains[best] - gains[number]  # (n,)
        shown = np.average((entering < OFFSETS[number]).mean(1), weights=pools.weight)
        if lost.sum() <= _standard_error(lost, pools) and shown <= clicked:
            return float(OFFSETS[number])
    return float(OFFSETS[best])
