"""Intervals and tests over sessions."""

import itertools

import numpy as np
import pytest

from eval.significance import bootstrap_interval, paired_permutation_test


def test_interval_holds_the_mean_and_narrows_with_more_sessions():
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


def test_cases_of_one_session_are_no_independent_evidence():
    rng = np.random.default_rng(2)
    per_session = rng.random(200)
    repeated = np.repeat(per_session, 10)
    once = bootstrap_interval(per_session, np.arange(200))
    tenfold = bootstrap_interval(repeated, np.repeat(np.arange(200), 10))
    np.testing.assert_allclose(once, tenfold)


def test_sessions_weigh_by_their_cases():
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


def test_p_values_are_uniform_where_nothing_differs():
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
