"""Means over cases and means over sessions."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from eval.metrics.averaging import MEANS, averaged, concentration
from eval.metrics.ranks import Ranks
from eval.metrics.significance import bootstrap_interval, paired_permutation_test
from eval.reports.report import ReportData, by_other_mean, markdown
from eval.reports.tables import results_frame
from eval.runs.comparison import compare_runs
from eval.runs.results import Result
from eval.runs.slice_comparison import best_baseline, compare_with_best_baseline
from tpad import ConfigError

values_and_sessions = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, (2, n, 3), elements=st.floats(0, 1)),
        arrays(np.int64, n, elements=st.integers(0, 4)),
    )
)
# Session 4 has four cases, sessions 6 and 9 one each.
SESSIONS = np.array([4, 4, 4, 4, 6, 9])
ALL = np.ones(6, bool)


def result(name, role, *ranks):
    return Result(name, role, tuple(range(len(ranks))), Ranks.from_expected(np.array(ranks)))


RESULTS = [
    result("long", "baseline", [1, 1, 1, 1, 40, 40]),  # good on the long session only
    result("short", "baseline", [40, 40, 40, 40, 1, 1]),  # good on the short ones only
    result("tpad", "tpad", [2, 1, 1, 40, 1, 1], [1, 1, 1, 40, 40, 1]),
]


@given(values_and_sessions)
def test_means_over_cases_and_over_sessions(case):
    values, sessions = case
    found, of = averaged(values, sessions, "session", axis=1)
    each = [values[:, sessions == one].mean(1) for one in sorted(set(sessions))]
    np.testing.assert_allclose(found.mean(1), np.mean(each, axis=0))
    assert of.tolist() == sorted(set(sessions))
    same, whole = averaged(values, sessions, "case", axis=1)
    np.testing.assert_array_equal(same, values)
    np.testing.assert_array_equal(whole, sessions)


def test_an_unknown_mean_is_an_error():
    with pytest.raises(ConfigError, match="case or session"):
        averaged(np.ones(1), np.zeros(1), "user")


def test_share_of_cases_of_the_longest_sessions():
    assert concentration(SESSIONS) == (1, 3, pytest.approx(4 / 6))
    assert concentration(np.arange(20)) == (2, 20, 0.1)


def test_a_table_of_means_over_sessions():
    frame = results_frame(RESULTS, SESSIONS, {"all": ALL, "most": ALL & (SESSIONS < 9)}, "session")
    assert set(frame.averaged_over) == {"sessions"}
    own = frame[(frame.metric == "P") & (frame.k == 20) & (frame.slice == "all")]
    own = own.set_index("model")
    assert own["mean"].to_dict() == pytest.approx(
        {"long": 1 / 3, "short": 2 / 3, "tpad": (0.75 + 0.5 + 1) / 3}
    )
    assert own.loc["tpad", "deviation"] == pytest.approx(np.std([2.75 / 3, 1.75 / 3], ddof=1))
    assert (own.cases == 6).all() and (own.sessions == 3).all()
    low, high = bootstrap_interval(np.array([0.75, 0.5, 1]), np.arange(3))
    assert (own.loc["tpad", "low"], own.loc["tpad", "high"]) == pytest.approx((low, high))
    # A session counts by its cases of the slice.
    part = frame[(frame.metric == "P") & (frame.k == 20) & (frame.slice == "most")]
    assert part.set_index("model")["mean"]["short"] == 0.5 and (part.sessions == 2).all()
    by_case = results_frame(RESULTS, SESSIONS, {"all": ALL})
    assert set(by_case.averaged_over) == {"cases"} and set(by_case.sessions) == {3}


def test_two_models_are_compared_by_means_over_sessions():
    long, short = (one.metric("P", 20, ALL) for one in RESULTS[:2])
    by_case = compare_runs(long, short, SESSIONS)
    found = compare_runs(long, short, SESSIONS, mean="session")
    assert (by_case.first, by_case.second) == pytest.approx((4 / 6, 2 / 6))
    assert (found.first, found.second) == pytest.approx((1 / 3, 2 / 3))
    assert (found.cases, found.sessions) == (6, 3)
    each = np.array([1.0, -1, -1])
    assert (found.low, found.high) == tuple(bootstrap_interval(each, np.arange(3)))
    assert found.p_value == paired_permutation_test(each, np.zeros(3), np.arange(3))
    assert (found.wins, found.ties, found.losses) == (1, 0, 2)
    # By cases the long session adds most to the difference, by sessions each adds the same.
    by_case = compare_runs(long, short, SESSIONS).most
    ours = np.array([1.0, 1, 1, 0, 0, 0])
    assert [one.session for one in compare_runs(ours, long[0], SESSIONS).most] == [4]
    assert [one.session for one in by_case] == [4, 6, 9]
    assert [one.cases for one in found.most] == [4, 1, 1]
    half = np.array([1.0, 1, 0, 0, 1, 0])  # session 4 differs by half, 6 by one
    by_sessions = compare_runs(half, np.zeros(6), SESSIONS, mean="session").most
    assert [one.session for one in by_sessions] == [6, 4]
    assert [one.session for one in compare_runs(half, np.zeros(6), SESSIONS).most] == [4, 6]


def test_the_best_baseline_is_the_best_by_the_mean_that_is_tested():
    for mean, name in (("case", "long"), ("session", "short")):
        best = best_baseline(RESULTS, ALL, "P", 20, mean=mean, sessions=SESSIONS)
        assert best is not None and best.name == name
        (found, _) = compare_with_best_baseline(RESULTS, SESSIONS, {"all": ALL}, mean=mean)
        assert found.other == name


def test_a_report_includes_the_other_mean():
    class Cases:
        session, protocol, left_out = SESSIONS, "every prefix", 0

        def __len__(self):
            return 6

    table, tests = by_other_mean(RESULTS, Cases(), {"all": ALL})
    assert table.title == "Averaged over sessions"
    assert "67 % of the cases come from 1 of the 3 sessions" in table.note
    assert table.table.loc["tpad", "all P@20"].startswith("0.750 (")
    assert tests.table["best baseline"].tolist() == ["short 0.667", "short 0.667"]
    assert "all 2 tests of this table" in tests.note
    for mean in MEANS:
        text = markdown(ReportData(RESULTS, Cases(), {"all": ALL}, "x", mean=mean))
        other = next(words for one, words in MEANS.items() if one != mean)
        assert f"## Averaged over {other}" in text
        assert ("# Results on x, means over sessions" in text) == (mean == "session")


def test_both_means_are_equal_if_every_session_has_one_case():
    class Cases:
        session = np.arange(6)

        def __len__(self):
            return 6

    assert by_other_mean(RESULTS, Cases(), {"all": ALL}) == []
