"""The cost of showing new items, against a plain count."""

import numpy as np
import pytest

from tpad.training.fusion.exploration import K, measure_exploration

N = 60


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, N)).astype(np.float32)
    scores[5:, -3:] = -np.inf  # unused places
    new = np.zeros((50, N), bool)
    new[:, 45:] = True
    new[:10, 0] = True  # the target comes first
    return scores, new


def test_shares_and_gains_are_those_of_a_plain_count(cases):
    scores, new_items = cases
    curve = measure_exploration(scores, new_items, 0.3)
    assert np.float32(0.3) in np.float32(curve.offset) and len(curve.offset) > 8
    assert curve.clicked == pytest.approx(new_items[:, 0].mean())
    is_new = new_items[:, 0]
    for offset, share, known, new in zip(
        curve.offset, curve.share, curve.known, curve.new, strict=True
    ):
        order = np.argsort(-(scores + np.float32(offset) * new_items), axis=1, kind="stable")[:, :K]
        hit = (order == 0).any(1)
        assert share == pytest.approx(
            np.take_along_axis(new_items, order, 1).mean(), abs=2 / order.size
        )
        assert known == pytest.approx(hit[~is_new].mean(), abs=0.03)
        assert new == pytest.approx(hit[is_new].mean(), abs=0.1)


def test_the_curve_runs_from_no_new_items_to_many(cases):
    scores, new_items = cases
    curve = measure_exploration(scores, new_items, 0.0)
    assert curve.share[0] < 0.02 and curve.share[-1] >= 0.6
    for share in (0.05, 0.3, 0.6):
        moved = scores + np.float32(curve.offset_for(share)) * new_items
        shown = np.argsort(-moved, axis=1)[:, :K]
        shown_share = np.take_along_axis(new_items, shown, 1).mean()
        assert shown_share == pytest.approx(share, abs=0.03)


def test_without_cases_or_new_candidates_there_is_no_curve(cases):
    scores, new_items = cases
    assert measure_exploration(scores[:0], new_items[:0], 0.0) is None
    assert measure_exploration(scores, np.zeros_like(new_items), 0.0) is None


def test_fewer_items_than_places(cases):
    scores, new_items = cases
    few = np.zeros_like(new_items)
    few[:, 50] = True
    curve = measure_exploration(scores, few, 1.0)
    assert max(curve.share) <= 1 / K and np.isfinite(curve.offset).all()
    assert measure_exploration(scores[:, -8:], new_items[:, -8:], 0.0) is not None
