"""Intervals and tests over sessions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from eval.metrics.ranks import oracle_ratio
from eval.metrics.significance import (
    bootstrap_interval,
    holm,
    over_seeds,
    paired_permutation_test,
    ratio_interval,
)


def test_interval_contains_the_mean_and_narrows_with_more_sessions():
    rng = np.random.default_rng(0)
    values = rng.random(4000)
    few = bootstrap_interval(values[:100], np.arange(100))
    many = bootstrap_interval(values, np.arange(4000))
    assert many[0] < values.mean() < many[1]
    assert np.diff(many) < np.diff(few) / 4


def test_interval_matches_the_normal_one_for_independent_cases():
    rng = np.random.default_rng(1)
    values = rng.random(2000)
    half = 1.96 * values.std() / np.sqrt(2000)
    low, high = bootstrap_interval(values, np.arange(2000), samples=2000)
    assert low == pytest.approx(values.mean() - half, abs=half / 5)
    assert high == pytest.approx(values.mean() + half, abs=half / 5)


def test_cases_of_one_session_are_not_independent():
    rng = np.random.default_rng(2)
    per_session = rng.random(200)
    repeated = np.repeat(per_session, 10)
    once = bootstrap_interval(per_session, np.arange(200))
    tenfold = bootstrap_interval(repeated, np.repeat(np.arange(200), 10))
    np.testing.assert_allclose(once, tenfold)


def test_sessions_are_weighted_by_their_cases():
    values, sessions = np.array([1.0, 0, 0, 0]), np.array([9, 4, 4, 4])
    low, high = bootstrap_interval(values, sessions)
    assert (low, high) == (0.0, 1.0)  # only the one session, only the other


def test_columns_and_single_metrics_agree():
    rng = np.random.default_rng(3)
    values, sessions = rng.random((300, 3)), rng.integers(0, 80, 300)
    together = bootstrap_interval(values, sessions)
    for column in range(3):
        np.testing.assert_allclose(
            together[column], bootstrap_interval(values[:, column], sessions)
        )


def test_no_cases_no_interval():
    assert np.isnan(bootstrap_interval(np.zeros((0, 2)), np.zeros(0))).all()


def test_p_value_agrees_with_all_exchanges():
    rng = np.random.default_rng(4)
    first, second = rng.random(24), rng.random(24)
    sessions = np.repeat(np.arange(8), 3)
    sums = (first - second).reshape(8, 3).sum(1)
    every = [abs(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=8)]
    exact = np.mean(np.array(every) >= abs(sums.sum()) - 1e-12)
    assert paired_permutation_test(first, second, sessions) == pytest.approx(exact, abs=0.015)


def test_equal_models_differ_by_chance_only_and_better_ones_do_not():
    values = np.random.default_rng(5).random(500)
    sessions = np.arange(500)
    assert paired_permutation_test(values, values, sessions) == 1.0
    assert paired_permutation_test(values + 0.1, values, sessions, samples=999) == 1 / 1000
    assert paired_permutation_test(values, values + 0.1, sessions, samples=999) == 1 / 1000


def test_p_values_are_uniform_under_the_null_hypothesis():
    rng = np.random.default_rng(6)
    found = [
        paired_permutation_test(rng.random(60), rng.random(60), np.arange(60), samples=199, seed=i)
        for i in range(200)
    ]
    assert 0.02 < np.mean(np.array(found) <= 0.05 + 1e-9) < 0.10
    assert 0.4 < np.mean(found) < 0.6


def test_pairs_must_match():
    with pytest.raises(ValueError, match="same cases"):
        paired_permutation_test(np.ones(3), np.ones(2), np.arange(3))


def test_interval_agrees_with_scipy():
    rng = np.random.default_rng(7)
    sessions = np.repeat(np.arange(40), 3)  # sessions of one length: the mean of their means
    values = rng.random(120) ** 2
    per_session = values.reshape(40, 3).mean(1)
    theirs = stats.bootstrap(
        (per_session,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap_interval(values, sessions, samples=4000)
    np.testing.assert_allclose(ours, theirs, atol=0.1 * (theirs.high - theirs.low))


def test_p_value_agrees_with_scipy():
    rng = np.random.default_rng(8)
    for shift in (0.0, 0.15, 0.4):
        first, second = rng.random(10) + shift, rng.random(10)
        theirs = stats.permutation_test(  # 2^10 exchanges: exact
            (first, second),
            lambda x, y: np.mean(x - y),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=False,
        ).pvalue
        ours = paired_permutation_test(first, second, np.arange(10))
        assert ours == pytest.approx(theirs, abs=0.02)


def test_ratio_interval_contains_the_ratio_and_is_narrow_for_correlated_models():
    rng = np.random.default_rng(9)
    oracle = rng.random((500, 2)) + 0.1
    values = 0.5 * oracle
    values[:, 1] = rng.random(500)
    together, apart = ratio_interval(values, oracle, np.arange(500))
    np.testing.assert_allclose(together, 0.5)
    assert apart[0] < oracle_ratio(values, oracle)[1] < apart[1]
    np.testing.assert_allclose(ratio_interval(values[:, 1], oracle[:, 1], np.arange(500)), apart)
    assert np.isnan(ratio_interval(np.ones(3), np.zeros(3), np.arange(3))).all()
    assert np.isnan(ratio_interval(np.zeros(0), np.zeros(0), np.zeros(0))).all()


def test_over_seeds():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.5]])
    mean, deviation = over_seeds(values)
    assert mean == pytest.approx(np.mean([0.5, 1.0, 0.25]))
    assert deviation == pytest.approx(np.std([0.5, 1.0, 0.25], ddof=1))
    assert np.isnan(over_seeds(values[:1])[1])
    assert over_seeds(np.ones((2, 5, 4)))[0].shape == (4,)


def test_holm_on_a_small_example():
    # Ascending .01 .02 .03 .04, times 4 3 2 1: .04 .06 .06 .04, and never below the one before.
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.3]), [0.6, np.nan, 0.6])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_holm_never_lowers_p_values_and_keeps_their_order(p_values, random):
    p, corrected = np.array(p_values), holm(p_values)
    assert (corrected >= p).all() and (corrected <= 1).all()
    assert (corrected <= np.minimum(p * len(p), 1) + 1e-12).all()  # never above Bonferroni's
    order = np.argsort(p)
    assert (np.diff(corrected[order]) >= 0).all()
    shuffled = random.sample(range(len(p)), len(p))
    np.testing.assert_array_equal(holm(p[shuffled]), corrected[shuffled])
