"""The comparison of two runs."""

import numpy as np
import pytest

from eval.metrics.significance import bootstrap_interval, paired_permutation_test
from eval.runs.comparison import compare_runs, corrected, differing_sessions, win_tie_loss

SESSIONS = np.array([7, 7, 3, 3, 3, 9])
FIRST = np.array([1.0, 0.0, 0.5, 0.5, 0.5, 0.2])
SECOND = np.array([0.0, 0.0, 0.5, 0.6, 0.4, 0.9])


def test_wins_ties_and_losses_of_sessions_and_of_cases():
    # Session 7 gains 1, session 3 gains .1 and loses .1, session 9 loses .7.
    assert win_tie_loss(FIRST, SECOND, SESSIONS) == (1, 1, 1)
    assert win_tie_loss(FIRST, SECOND, SESSIONS, count="cases") == (2, 2, 2)
    assert win_tie_loss(SECOND, FIRST, SESSIONS, count="cases") == (2, 2, 2)
    with pytest.raises(ValueError, match="sessions or cases"):
        win_tie_loss(FIRST, SECOND, SESSIONS, count="users")


def test_a_comparison_consists_of_its_parts():
    found = compare_runs(FIRST, SECOND, SESSIONS, seed=5)
    assert (found.cases, found.sessions) == (6, 3)
    assert found.difference == pytest.approx((FIRST - SECOND).mean())
    low, high = bootstrap_interval(FIRST - SECOND, SESSIONS, seed=5)
    assert (found.low, found.high) == (low, high)
    assert found.p_value == paired_permutation_test(FIRST, SECOND, SESSIONS, seed=5)
    assert (found.wins, found.ties, found.losses) == (1, 1, 1)
    assert found == compare_runs(FIRST, SECOND, SESSIONS, seed=5)


def test_sessions_that_differ_most_come_first_and_equal_ones_are_left_out():
    most = compare_runs(FIRST, SECOND, SESSIONS).most
    assert [found.session for found in most] == [7, 9]
    assert (most[0].cases, most[0].first, most[0].second) == (2, 0.5, 0.0)
    assert most[1].difference == pytest.approx(-0.7)
    assert len(differing_sessions(FIRST, SECOND, SESSIONS, shown=1)) == 1


def test_sessions_with_equal_differences_are_in_the_order_of_their_rows():
    first, second = np.array([0.3, 0.1, 0.7, 0.1]), np.array([0.1, 0.3, 0.5, 0.1])
    found = differing_sessions(first, second, np.array([5, 2, 8, 1]))
    assert [one.session for one in found] == [2, 5, 8]


def test_order_of_cases_does_not_matter():
    order = np.random.default_rng(0).permutation(len(FIRST))
    whole = compare_runs(FIRST, SECOND, SESSIONS)
    shuffled = compare_runs(FIRST[order], SECOND[order], SESSIONS[order])
    assert shuffled.p_value == whole.p_value
    assert (shuffled.low, shuffled.high) == pytest.approx((whole.low, whole.high))
    assert [one.session for one in shuffled.most] == [one.session for one in whole.most]


def test_exchanged_runs_give_the_mirror_image():
    one, other = compare_runs(FIRST, SECOND, SESSIONS), compare_runs(SECOND, FIRST, SESSIONS)
    assert other.difference == -one.difference
    assert (other.wins, other.losses) == (one.losses, one.wins)
    assert other.p_value == one.p_value


def test_seeds_are_averaged_and_their_numbers_may_differ():
    several = np.stack([FIRST, FIRST + 0.2, FIRST - 0.2])
    found = compare_runs(several, SECOND, SESSIONS)
    once = compare_runs(FIRST, SECOND, SESSIONS)
    assert found.difference == pytest.approx(once.difference)
    assert (found.wins, found.ties, found.losses) == (once.wins, once.ties, once.losses)


def test_a_run_against_itself():
    found = compare_runs(FIRST, FIRST, SESSIONS)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert (found.wins, found.ties, found.losses, found.most) == (0, 3, 0, ())


def test_no_cases():
    found = compare_runs(np.zeros(0), np.zeros(0), np.zeros(0, int))
    assert found.cases == 0 and np.isnan(found.difference) and np.isnan(found.p_value)


def test_different_cases_are_an_error():
    with pytest.raises(ValueError, match="same cases"):
        compare_runs(FIRST, SECOND[:5], SESSIONS)


def test_many_comparisons_are_corrected_together():
    rng = np.random.default_rng(1)
    second = rng.random(60)
    found = corrected(
        [
            compare_runs(second + shift, rng.permutation(second), np.arange(60), exchanges=999)
            for shift in (0.0, 0.3, 0.6)
        ]
    )
    assert [one.p_corrected >= one.p_value for one in found] == [True] * 3
    assert found[2].p_corrected == pytest.approx(3 / 1000)
