"""The sections of a report: headlines, finer slices, lists and calibration."""

import numpy as np
import pytest
from small_shops import dataset_of

from eval.metrics.ranking import rank_all
from eval.metrics.ranks import Ranks
from eval.protocol import TestCases
from eval.reports import sections
from eval.reports.charts import page
from eval.reports.report import ReportData, markdown
from eval.reports.tables import results_frame, shares
from eval.runs.evaluation import evaluate
from eval.runs.results import Result
from eval.runs.slice_comparison import compare_with_ablations, compare_with_best_baseline

SESSIONS = np.arange(6) // 2
MASKS = {
    "all": np.ones(6, bool),
    "cold": np.arange(6) >= 4,
    "length 1": np.arange(6) % 2 == 0,
    "length 2": np.arange(6) % 2 == 1,
}
TOLD = {
    "all": {"coverage": 0.5, "ece": 0.125, "log_likelihood": -2.0, "temperature": 3.0},
    "cold": {"ece": 0.25, "impossible": 1.0},
}


def result(name, role, *ranks, further=None):
    return Result(
        name,
        role,
        tuple(range(len(ranks))),
        Ranks.from_expected(np.array(ranks)),
        further=further or {},
    )


@pytest.fixture(scope="module")
def results():
    return [
        result("markov", "baseline", [1, 40, 1, 40, np.inf, np.inf], further=TOLD),
        result("peer", "baseline", [40, 40, 40, 40, 2, 40]),
        result("tpad", "tpad", [1, 1, 1, 40, 1, 1], [1, 1, 1, 40, 1, 40]),
        result("oracle", "oracle", [1, 1, 1, 1, 1, 1]),
    ]


@pytest.fixture(scope="module")
def frame(results):
    return results_frame(results, SESSIONS, MASKS)


def test_ablations_are_compared_with_the_whole_method(results):
    many = np.repeat(SESSIONS, 20) + 3 * np.tile(np.arange(20), 6)  # 60 sessions
    masks = {part: np.repeat(mask, 20) for part, mask in MASKS.items()}
    full = result("tpad", "tpad", np.repeat([1, 1, 1, 40, 1, 1], 20))
    others = [
        result("tpad-no-words", "tpad", np.repeat([40, 1, 40, 40, 40, 1], 20)),
        result("tpad-jsd", "tpad", np.repeat([1, 1, 1, 40, 1, 1], 20)),
        result("tpadding", "baseline", np.repeat([40, 40, 40, 40, 40, 40], 20)),
    ]
    found = compare_with_ablations(
        [*others, full], many, {"all": masks["all"], "cold": masks["cold"]}
    )
    (section,) = sections.ablations(found)
    assert section.table.loc["tpad-no-words"].to_dict() == {
        "all P@20": "-0.500 †",
        "all MRR@20": "-0.500 †",
        "cold P@20": "-0.500 †",
        "cold MRR@20": "-0.500 †",
    }
    assert set(section.table.loc["tpad-jsd"]) == {"+0.000"} and len(section.table) == 2
    assert "all 8 tests" in section.note
    # The full method that was trained beside the ablations comes before that of a bundle.
    beside = result("tpad-full", "tpad", np.repeat([40, 1, 40, 40, 40, 1], 20))
    found = compare_with_ablations([*others, full, beside], many, {"all": masks["all"]})
    assert sections.ablations(found)[0].table.loc["tpad-no-words"].tolist() == ["+0.000", "+0.000"]
    assert sections.ablations(compare_with_ablations(results, SESSIONS, MASKS)) == []
    assert compare_with_ablations(others, many, masks) == []


def test_the_share_of_the_oracle_has_an_interval(frame):
    ours = frame[(frame.model == "tpad") & (frame.slice == "all") & (frame.metric == "P")]
    ours = ours.set_index("k").loc[20]
    # Of the sessions' three pairs of cases, our shares are 1, .5 and .75.
    assert ours.of_oracle == pytest.approx(0.75)
    assert (ours.of_oracle_low, ours.of_oracle_high) == pytest.approx((0.5, 1.0))
    table = shares(frame, "all", [("P", 20)])["P@20"]
    assert table.to_dict() == {
        "markov": "33 % (0–50)",
        "peer": "17 % (0–50)",
        "tpad": "75 % (50–100)",
        "oracle": "100 %",
    }
    assert shares(frame, "cold", [("P", 20)])["P@20"]["markov"] == "0 %"


def test_without_an_oracle_there_are_no_shares(results):
    frame = results_frame(results[:3], SESSIONS, MASKS)
    assert frame[["of_oracle", "of_oracle_low", "of_oracle_high"]].isna().all(axis=None)
    assert [section.title for section in sections.at_a_glance(frame)] == ["At a glance"]


def test_the_headlines_of_the_main_slices_come_first(frame):
    values, of_oracle = sections.at_a_glance(frame)
    assert list(values.table) == ["all P@20", "all MRR@20", "cold P@20", "cold MRR@20"]
    assert list(of_oracle.table) == list(values.table)
    assert values.table.loc["tpad", "cold P@20"] == "0.750 ± 0.354*"
    assert list(values.table.index) == ["markov", "peer", "tpad", "oracle"]


def test_each_kind_of_finer_slices_has_one_table_per_metric(frame):
    hits, reciprocal = sections.by_finer_slices(frame)
    assert hits.title == "By length of the session" and reciprocal.title == ""
    assert hits.note.startswith("P@20") and reciprocal.note.startswith("MRR@20")
    assert hits.table.loc["tpad"].to_dict() == {"1 (3)": "1.000*", "2 (3)": "0.500*"}
    assert hits.table.loc["oracle"].to_dict() == {"1 (3)": "1.000", "2 (3)": "1.000"}


def test_p_values_are_corrected_over_main_and_finer_slices(results):
    found = compare_with_best_baseline(results, SESSIONS, MASKS)
    main, finer = (
        sections.best_baselines("tpad", found, finer=finer)[0].table for finer in (False, True)
    )
    assert list(main.index) == ["all", "all", "cold", "cold"]
    assert list(finer.index) == ["length 1", "length 1", "length 2", "length 2"]
    assert main.loc["cold", "best baseline"].tolist() == ["peer 0.500", "peer 0.250"]
    smallest = min(one.comparison.p_value for one in found)
    assert min([*main.Holm, *finer.Holm]) == f"{min(1.0, 8 * smallest):.4f}"
    found = compare_with_best_baseline(results, SESSIONS, MASKS, "markov")  # not against itself
    assert {one.other for one in found} == {"peer"}
    assert (
        sections.best_baselines(
            "nobody", compare_with_best_baseline(results, SESSIONS, MASKS, "nobody")
        )
        == []
    )


def test_calibration_is_shown_by_slice_if_it_is_stored(results):
    (table,) = sections.calibration(results)
    assert list(table.table) == ["ECE", "ECE cold", "log-lik.", "temperature"]
    assert table.table.loc["markov"].tolist() == ["0.125", "0.250", "-2.00", "3.00"]
    assert table.table.loc["peer"].tolist() == ["–"] * 4  # an outside model's are not known
    (lists,) = sections.lists(results)
    assert list(lists.table) == ["coverage"]
    # None if they are not stored.
    assert sections.calibration(results[1:]) == sections.lists(results[1:]) == []


def test_an_imported_model_has_a_source_and_no_times(results):
    peer = Result(
        "peer", "baseline", (0,), results[1].ranks, imported={"file": "a.csv", "longest_list": 50}
    )
    (table,) = sections.runs([results[0], peer])
    assert table.table.loc["peer", "fit (s)"] == table.table.loc["peer", "scoring (s)"] == "–"
    assert table.table.loc["peer", "note"] == "imported lists of up to 50 items from a.csv"
    assert table.table.loc["markov", "fit (s)"] == "0.0"


class Fixed:
    """Scores that do not depend on the session; item 4 cannot be scored."""

    can_score_new_items = False

    def fit(self, dataset):
        return self

    def scores(self, prefixes):
        return np.tile(np.log([0.4, 0.3, 0.2, 0.1, 0.0]), (len(prefixes), 1)).astype(np.float32)


def test_calibration_is_measured_on_warm_and_on_cold_targets():
    shop = dataset_of([[0, 1, 2, 3]], [[0, 1]], [[0, 1, 2], [1, 0], [2, 4]], 5)  # 4 is cold
    cases = TestCases.of(shop)
    with np.errstate(divide="ignore"):
        found = evaluate(Fixed(), shop, cases, TestCases.of(shop))
        ranking = rank_all(Fixed(), cases, 5)
    told = {(one.slice, one.name): one.value for one in found.metrics if one.k == 0}
    p = np.exp(ranking.log_probability)
    for part, mask in (("all", cases.cold >= 0), ("warm", ~cases.cold), ("cold", cases.cold)):
        expected = (ranking.collision - 2 * p + 1)[mask].mean()
        assert told[part, "brier"] == pytest.approx(expected)
    assert told["warm", "log_likelihood"] == pytest.approx(np.log(p[~cases.cold]).mean())
    assert ("cold", "log_likelihood") not in told  # it is impossible, so there is none to tell
    assert (told["cold", "impossible"], told["warm", "impossible"]) == (1.0, 0.0)
    assert [name for part, name in told if name == "temperature"] == ["temperature"]


def test_both_pages_show_all_parts_in_order(results, frame):
    cases = type("Cases", (), {"session": SESSIONS, "protocol": "every prefix", "left_out": 0})
    cases.__len__ = lambda self: 6
    text = markdown(ReportData(results, cases(), MASKS, "a shop"))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Results on a shop",
        "## At a glance",
        "## tpad compared with the best baseline",
        "## Averaged over sessions",
        "## All targets",
        "## Cold targets",
        "## By length of the session",
        "## tpad compared with the best baseline, finer slices",
        "## Recommendation lists",
        "## Calibration",
        "## Runs",
    ]
    assert "| tpad | **0.750** ± 0.118 |" in text and "| oracle | 1.000 |" in text
    assert "6 cases from 3 test sessions (targets: 2 cold); every prefix" in text
    first, last = sections.at_a_glance(frame), sections.calibration(results)
    text = page(frame, title="a shop", first=first, last=last)
    places = [text.index(f"<h2>{name}") for name in ("At a glance", "All targets", "Calibration")]
    assert places == sorted(places) and "<b>0.750 ± 0.118</b>" in text
    assert "75 % (50–100)" in text and "Length 1 targets" not in text
