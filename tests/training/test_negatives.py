"""Sampled negatives: the inclusion probability that the loss corrects by is the true one."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch

from eval.baselines.losses import cross_entropy
from tpad.data.negatives import BatchTargets, sample_items
from tpad.training.information.bounds import info_nce
from tpad.training.stages.session_reading import by_length

MOST, BATCH = 4_096, 32


def absent_of(chance: BatchTargets, batch: list) -> partial:
    lengths = np.array([len(window) for window in batch])
    return partial(chance.absent, lengths)


def windows_over(n: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Windows of two to nine clicks; the share of an item falls with its number, as in a shop. Long
    windows prefer other items than short ones."""
    share = 1.0 / np.arange(1, n + 1)
    share /= share.sum()
    windows = []
    for length in rng.integers(2, 10, count):
        items = rng.choice(n, length, p=share)
        windows.append((items + 3 * length) % n)
    return windows


def batches_of_an_epoch(windows: list, rng: np.random.Generator) -> list:
    """As the transfer stage makes them."""
    return by_length([windows[i] for i in rng.permutation(len(windows))], BATCH, rng)


@pytest.mark.parametrize("n", [5_000, 10_000, 50_000])
def test_log_q_is_the_log_of_the_simulated_inclusion_probability(n):
    rng = np.random.default_rng(n)
    windows = windows_over(n, 2_000, rng)
    chance = BatchTargets(windows, n)
    # Items by how often they are a target: head, middle and those that are none.
    clicks = np.bincount(np.concatenate([window[1:] for window in windows]), minlength=n)
    groups = [
        np.flatnonzero(clicks >= 100),
        np.flatnonzero((clicks > 0) & (clicks < 100)),
        np.flatnonzero(clicks == 0),
    ]
    met, expected, weighted, spread, rounds = *np.zeros((4, n)), 0
    for _ in range(2):
        for batch in batches_of_an_epoch(windows, rng):
            targets, absent = np.concatenate([w[1:] for w in batch]), absent_of(chance, batch)
            sample = sample_items(n, MOST, rng, targets=targets, absent=absent)
            met[sample.columns] += 1
            weighted[sample.columns] += np.exp(-sample.log_q)
            included = 1 - (1 - MOST / n) * absent(np.arange(n))
            expected += included
            spread += 1 / included - 1  # variance of the weights
            rounds += 1
    for group in groups:
        assert len(group)
        deviation = np.sqrt((expected[group] * (1 - expected[group] / rounds)).sum())
        assert abs(met[group].sum() - expected[group].sum()) < 4 * deviation
        # Weighted by 1 / π a sample stands for all items, group by group.
        total = rounds * len(group)
        assert abs(weighted[group].sum() - total) < 4 * np.sqrt(spread[group].sum())


def test_popular_items_are_corrected_by_what_is_right_not_by_their_share():
    n, rng = 5_000, np.random.default_rng(0)
    windows = [np.array([4_999, i % n]) for i in range(20_000)] + [np.array([1, 0])] * 10_000
    sample = sample_items(
        n,
        MOST,
        rng,
        targets=np.array([0]),
        absent=absent_of(BatchTargets(windows, n), windows[:32]),
    )
    assert sample.log_q[0] == pytest.approx(0, abs=1e-3)  # a target of a third of the windows
    assert np.median(sample.log_q) == pytest.approx(np.log(MOST / n), abs=0.01)


def test_the_probability_is_exact_where_all_outcomes_can_be_counted():
    n, most = 5, 2
    windows = [np.array(w) for w in ([0, 1], [2, 1], [1, 3], [4, 0, 0], [0, 2, 1], [1, 1, 4])]
    chance = BatchTargets(windows, n)
    short, long = windows[:3], windows[3:]
    outcomes = []
    for two in combinations(short, 2):
        for one in long:
            targets = np.concatenate([w[1:] for w in (*two, one)])
            for drawn in combinations(range(n), most):
                outcomes.append(np.isin(np.arange(n), [*drawn, *targets]))
    absent = absent_of(chance, [short[0], short[1], long[0]])
    found = np.full(n, np.nan)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        sample = sample_items(n, most, rng, targets=np.array([1, 3, 0]), absent=absent)
        found[sample.columns] = np.exp(sample.log_q)
    np.testing.assert_allclose(found, np.mean(outcomes, axis=0), rtol=1e-10)


def test_an_item_that_no_batch_can_miss_is_included_for_certain():
    windows = [np.array([0, 1]), np.array([2, 1]), np.array([1, 3])]
    absent = absent_of(BatchTargets(windows, 5), windows[:2])
    np.testing.assert_allclose(absent(np.arange(5)), [1, 0, 1, 1 / 3, 1])


def test_without_more_items_than_are_wanted_all_compete_and_nothing_is_drawn():
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert sample_items(10, 10, rng) is None
    assert sample_items(10, 64, rng, targets=np.array([1]), absent=np.ones_like) is None
    assert rng.bit_generator.state == state


def test_a_sample_is_sorted_distinct_and_holds_the_targets():
    rng = np.random.default_rng(0)
    sample = sample_items(
        100, 20, rng, targets=np.array([7, 7, 99]), absent=lambda columns: 0.9 + 0 * columns
    )
    assert np.array_equal(sample.columns, np.unique(sample.columns))
    assert np.isin([7, 99], sample.columns).all() and 20 <= len(sample.columns) <= 22
    plain = sample_items(100, 20, rng)
    assert len(plain.columns) == 20 and np.allclose(plain.log_q, np.log(0.2))
    with pytest.raises(ValueError, match="together"):
        sample_items(100, 20, rng, targets=np.array([1]))


def test_the_corrected_loss_is_nearly_that_over_all_items():
    """Log of the normaliser, with popular items scored high as a trained model scores them."""
    n, rng = 10_000, np.random.default_rng(1)
    windows = windows_over(n, 4_000, rng)
    chance = BatchTargets(windows, n)
    clicks = np.bincount(np.concatenate([w[1:] for w in windows]), minlength=n)
    scores = np.log(clicks + 0.1)
    whole = np.log(np.exp(scores).sum())
    found, by_popularity = [], []
    for batch in batches_of_an_epoch(windows, rng)[:60]:
        targets = np.concatenate([w[1:] for w in batch])
        sample = sample_items(n, 1_024, rng, targets=targets, absent=absent_of(chance, batch))
        row = torch.from_numpy(scores[sample.columns])[None]
        place = torch.tensor([0])
        own = float(row[0, 0] - sample.log_q[0])
        found.append(float(info_nce(row, place, torch.from_numpy(sample.log_q))) + own)
        share = np.log(np.maximum(clicks, 1))[sample.columns]
        by_popularity.append(
            float(info_nce(row, place, torch.from_numpy(share))) + float(row[0, 0] - share[0])
        )
    assert np.mean(found) == pytest.approx(whole, abs=0.02)
    assert abs(np.mean(by_popularity) - whole) > 1  # what was subtracted before


def test_uniform_negatives_beside_the_own_target_need_no_correction():
    """At the true scores no gradient is left: the expectation over all draws and targets."""
    n, most = 6, 2
    truth = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
    scores = truth.log().requires_grad_()
    loss = torch.zeros(())
    draws = list(combinations(range(n), most))
    for drawn in draws:
        for target in range(n):
            others = [j for j in drawn if j != target]
            one = cross_entropy(scores[target][None], scores[others][None])
            loss = loss + truth[target] * one / len(draws)
    loss.backward()
    np.testing.assert_allclose(scores.grad, np.zeros(n), atol=1e-6)
