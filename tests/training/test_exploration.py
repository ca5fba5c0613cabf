"""The cost of showing new items, against a plain count."""

import numpy as np
import pytest

from tpad.training.exploration import K, measure_exploration

N, NEW = 60, np.arange(60) >= 45


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, N)).astype(np.float32)
    scores[:, :5] = -np.inf  # no candidates
    return scores, rng.integers(5, N, 50)


def test_shares_and_gains_are_those_of_a_plain_count(cases):
    scores, targets = cases
    curve = measure_exploration(scores, targets, NEW, 0.3)
    assert np.float32(0.3) in np.float32(curve.offset) and len(curve.offset) > 8
    is_new = NEW[targets]
    for offset, share, known, new in zip(
        curve.offset, curve.share, curve.known, curve.new, strict=True
    ):
        order = np.argsort(-(scores + np.float32(offset) * NEW), axis=1, kind="stable")[:, :K]
        hit = (order == targets[:, None]).any(1)
        assert share == pytest.approx(NEW[order].mean(), abs=2 / order.size)
        assert known == pytest.approx(hit[~is_new].mean(), abs=0.03)
        assert new == pytest.approx(hit[is_new].mean(), abs=0.1)


def test_the_curve_runs_from_no_new_items_to_many(cases):
    curve = measure_exploration(*cases, NEW, 0.0)
    assert curve.share[0] < 0.02 and curve.share[-1] >= 0.6
    for share in (0.05, 0.3, 0.6):
        moved = cases[0] + np.float32(curve.offset_for(share)) * NEW
        shown = np.argsort(-moved, axis=1)[:, :K]
        assert NEW[shown].mean() == pytest.approx(share, abs=0.03)


def test_without_cases_or_new_candidates_there_is_no_curve(cases):
    scores, targets = cases
    assert measure_exploration(scores[:0], targets[:0], NEW, 0.0) is None
    assert measure_exploration(scores, targets, np.arange(N) < 5, 0.0) is None


def test_fewer_items_than_places(cases):
    scores, targets = cases
    few = np.arange(N) == 50
    curve = measure_exploration(scores, targets, few, 1.0)
    assert max(curve.share) <= 1 / K and np.isfinite(curve.offset).all()
    assert measure_exploration(scores[:, -8:], targets % 8, NEW[-8:], 0.0) is not None
