"""The frontier of warm and cold targets, held against a loop over offsets that ranks all items again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from small_models import LastItem
from small_shops import dataset_of

from eval.metrics.frontier import POINTS, Frontier, KindScores, frontier_of, mean_curve
from eval.metrics.ranking import rank_all, top_items
from eval.metrics.ranks import case_values, target_ranks
from eval.protocol import Protocol, TestCases

N_ITEMS, K = 14, 3
STEP = 1e-3  # less than the distance of any two scores that are not equal

# Few distinct values, so that ties within and between kinds and −inf are common.
tables = arrays(
    np.float32, (9, N_ITEMS), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0])
)
unclicked_items = arrays(bool, N_ITEMS)
rows = arrays(np.int64, 9, elements=st.integers(0, N_ITEMS - 1))


def collected(scores: np.ndarray, targets: np.ndarray, unclicked: np.ndarray) -> KindScores:
    """All cases at once, lists of `K` items."""
    found = KindScores.empty(unclicked[targets], unclicked, K)
    found.fill(slice(None), scores, targets, target_ranks(scores, targets))
    return found


def ranked_again(scores, targets, unclicked, offset):
    """P of all cases and the share of unclicked items just above an offset, from a full ranking."""
    moved = scores.astype(np.float64) + np.where(unclicked, offset + STEP, 0.0)
    values = case_values(target_ranks(moved, targets), "P", K)
    lists, _ = top_items(moved, K)
    shown = lists >= 0
    some = shown.any(1)
    shares = (unclicked[lists] & shown)[some].sum(1) / shown[some].sum(1)
    return values, shares.mean() if some.any() else 0.0


@settings(max_examples=150, deadline=None)
@given(tables, rows, unclicked_items)
def test_the_curve_is_that_of_a_loop_over_offsets(scores, targets, unclicked):
    found, _ = frontier_of(collected(scores, targets, unclicked))
    cold = unclicked[targets]
    for place, offset in enumerate(found.offsets):
        values, share = ranked_again(scores, targets, unclicked, np.clip(offset, -100.0, 100.0))
        for kind, curve in ((~cold, found.warm), (cold, found.cold)):
            expected = values[kind].mean() if kind.any() else 0.0
            assert curve[place] == pytest.approx(expected)
        assert found.share[place] == pytest.approx(share)


@settings(max_examples=150, deadline=None)
@given(tables, rows, unclicked_items, st.sampled_from([-100.0, -1.0, -0.25, 0.0, 0.5, 1.0, 100.0]))
def test_ranks_at_an_offset_are_those_of_all_items(scores, targets, unclicked, offset):
    found = collected(scores, targets, unclicked).ranks(offset)
    moved = scores.astype(np.float64) + np.where(unclicked, offset + STEP, 0.0)
    expected = target_ranks(moved, targets)
    for metric in ("P", "MRR", "NDCG"):
        np.testing.assert_allclose(
            case_values(found, metric, K), case_values(expected, metric, K), atol=1e-12
        )


@settings(max_examples=100, deadline=None)
@given(tables, rows, unclicked_items)
def test_ranks_among_unclicked_items_leave_out_all_others(scores, targets, unclicked):
    found = collected(scores, targets, unclicked)
    cold = unclicked[targets]
    alone = np.where(unclicked, scores, -np.inf)
    expected = target_ranks(alone, targets)[cold]
    np.testing.assert_array_equal(found.own[cold].above, expected.above)
    np.testing.assert_array_equal(found.own[cold].ties, expected.ties)


def random_cases(n: int = 400, n_items: int = 90, seed: int = 0):
    """Scores without ties; the last third of the items is unclicked."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n, n_items)).astype(np.float32)
    unclicked = np.arange(n_items) >= n_items * 2 // 3
    return scores, rng.integers(0, n_items, n), unclicked


def test_the_curve_goes_from_no_unclicked_item_to_nothing_else():
    found, _ = frontier_of(collected(*random_cases()))
    assert len(found) == POINTS
    assert found.share[0] == 0 and found.share[-1] == pytest.approx(1)
    assert found.cold[0] == 0 and found.warm[-1] == pytest.approx(0, abs=1e-12)
    assert (np.diff(found.offsets) >= 0).all() and (np.diff(found.share) >= 0).all()
    assert (np.diff(found.warm) <= 0).all() and (np.diff(found.cold) >= 0).all()


def test_points_are_evenly_spaced_along_the_curve():
    found, _ = frontier_of(collected(*random_cases()))
    way = (found.warm[0] - found.warm) / found.warm[0] / 2 + found.cold / found.cold[-1] / 2
    np.testing.assert_allclose(way, np.linspace(0, 1, POINTS), atol=0.04)


def test_the_area_is_that_of_the_whole_curve():
    scores, targets, unclicked = random_cases(60)
    collected_scores = collected(scores, targets, unclicked)
    offsets = np.unique(
        np.concatenate([collected_scores.turning_points(cold)[0] for cold in (False, True)])
    )
    cold = unclicked[targets]
    points = []
    for offset in [-100.0, *offsets]:
        moved = scores.astype(np.float64) + np.where(unclicked, offset + 1e-9, 0.0)
        values = case_values(target_ranks(moved, targets), "P", K)
        points.append((values[~cold].mean(), values[cold].mean()))
    warm, gained = np.array(points).T
    expected = -np.trapezoid(gained, warm) + warm[-1] * gained[-1]
    assert frontier_of(collected_scores)[1] == pytest.approx(expected)


def test_the_area_of_a_perfect_model_is_one_and_that_of_a_random_one_is_small():
    scores, targets, unclicked = random_cases()
    scores[np.arange(len(scores)), targets] = 100.0
    assert frontier_of(collected(scores, targets, unclicked))[1] == pytest.approx(1.0)
    scores, targets, unclicked = random_cases()
    assert 0 < frontier_of(collected(scores, targets, unclicked))[1] < 0.1


def test_few_unclicked_items_leave_room_for_clicked_ones():
    scores, targets, _ = random_cases(n_items=30)
    unclicked = np.arange(30) == 7
    found, area = frontier_of(collected(scores, targets, unclicked))
    assert found.warm[-1] > 0 and found.share[-1] == pytest.approx(1 / K)
    # Left of the last point the curve continues at its height.
    assert area >= found.warm[-1] * found.cold[-1]


def test_a_model_that_scores_no_unclicked_item_stays_where_it_is():
    scores, targets, unclicked = random_cases()
    scores[:, unclicked] = -np.inf
    found, area = frontier_of(collected(scores, targets, unclicked))
    values = case_values(target_ranks(scores, targets), "P", K)
    assert found.offsets.tolist() == [-np.inf] and found.share.tolist() == [0.0]
    assert found.warm[0] == pytest.approx(values[~unclicked[targets]].mean())
    assert found.cold.tolist() == [0.0] and area == 0
    point = Frontier.point(0.25, 0.0, 0.0)
    assert len(point) == 1 and point.warm.tolist() == [0.25]


def test_the_mean_over_seeds_is_taken_point_by_point():
    first, second = (frontier_of(collected(*random_cases(seed=seed)))[0] for seed in (1, 2))
    found = mean_curve([first, second])
    np.testing.assert_allclose(found[:, 0], (first.warm + second.warm) / 2)
    np.testing.assert_allclose(found[:, 2], (first.share + second.share) / 2)
    mixed = mean_curve([first, Frontier.point(0.5, 0.0, 0.0)])
    np.testing.assert_allclose(mixed[:, 0], (first.warm + 0.5) / 2)


@pytest.mark.parametrize("mask_history", [True, False])
def test_the_pass_over_the_scores_collects_what_a_separate_one_would(mask_history):
    rng = np.random.default_rng(4)
    test = [rng.permutation(N_ITEMS)[: rng.integers(2, 6)] for _ in range(12)]
    shop = dataset_of([list(range(9))], [], test, N_ITEMS)
    cases = TestCases.of(shop, Protocol(mask_history=mask_history))
    table = rng.integers(0, 6, (N_ITEMS, N_ITEMS)).astype(np.float32)
    assert cases.cold.any() and not cases.cold.all()
    found = [
        rank_all(LastItem(table), cases, N_ITEMS, k=K, chunk=chunk, unclicked=shop.cold).by_kind
        for chunk in (None, 5)
    ]
    scores = table[[prefix[-1] for prefix in cases.prefixes]]
    for row, prefix in enumerate(cases.prefixes):
        if mask_history:
            scores[row, prefix] = -np.inf
    expected, _ = frontier_of(collected(scores, cases.targets, shop.cold))
    for one in found:
        curve, _ = frontier_of(one)
        np.testing.assert_array_equal(curve.offsets, expected.offsets)
        np.testing.assert_allclose(curve.warm, expected.warm)
        np.testing.assert_allclose(curve.cold, expected.cold)
        np.testing.assert_allclose(curve.share, expected.share)
    assert rank_all(LastItem(table), cases, N_ITEMS, k=K).by_kind is None


@pytest.mark.parametrize("k", [1, 3, 13, 14, 20])
@settings(max_examples=60, deadline=None)
@given(tables, unclicked_items)
def test_lists_are_the_same_whether_or_not_kinds_are_told_apart(k, table, unclicked):
    shop = dataset_of([list(range(9))], [], [[i, (i + 1) % 9] for i in range(9)], N_ITEMS)
    cases = TestCases.of(shop)
    plain = rank_all(LastItem(table), cases, N_ITEMS, k=k)
    told_apart = rank_all(LastItem(table), cases, N_ITEMS, k=k, unclicked=unclicked)
    np.testing.assert_array_equal(told_apart.lists, plain.lists)
    np.testing.assert_array_equal(told_apart.list_scores, plain.list_scores)


def test_shares_do_not_depend_on_how_many_rows_are_read_at_once(monkeypatch):
    scores = collected(*random_cases())
    whole = scores.shares(np.array([-1.0, 0.0, 1.0]))
    monkeypatch.setattr("eval.metrics.frontier.ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(scores.shares(np.array([-1.0, 0.0, 1.0])), whole)


def test_without_targets_of_a_kind_its_side_is_zero():
    scores, targets, unclicked = random_cases()
    found = collected(scores, targets, unclicked)
    warm_only = replace(found, cold=np.zeros_like(found.cold))
    assert frontier_of(warm_only)[0].cold.max() == 0
