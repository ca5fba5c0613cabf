"""The comparison with the best baseline, and the report."""

import numpy as np
import pytest

from eval.metrics.ranks import Ranks
from eval.protocol import SLICES, TestCases
from eval.reports.report import ReportData, markdown
from eval.runs.results import Result
from eval.runs.slice_comparison import compare_with_best_baseline


def result(name, role, ranks):
    return Result(name, role, tuple(range(len(ranks))), Ranks.from_expected(np.array(ranks)))


def masks_of(cases):
    return {name: cases.slice(name) for name in SLICES}


@pytest.fixture
def results(shop):
    n = len(TestCases.of(shop))
    return [
        result("markov", "baseline", [np.full(n, np.inf)]),
        result("tfidf", "baseline", [np.full(n, 4), np.full(n, 2)]),
        result("tpad", "tpad", [np.full(n, 1), np.full(n, 2)]),
        result("oracle", "oracle", [np.full(n, 1)]),
    ]


def test_the_best_baseline_is_tested_against(shop, results):
    cases = TestCases.of(shop)
    found = compare_with_best_baseline(results, cases.session, masks_of(cases))
    assert {(c.slice, c.metric) for c in found} == {
        (s, m) for s in ("all", "warm", "cold") for m in ("P", "MRR")
    }
    test = next(c for c in found if (c.slice, c.metric) == ("all", "MRR"))
    assert test.other == "tfidf"
    assert (test.comparison.first, test.comparison.second) == (0.75, 0.375)
    assert test.comparison.p_value < 0.01
    assert test.comparison.p_corrected == pytest.approx(
        6 * min(c.comparison.p_value for c in found)
    )
    assert compare_with_best_baseline(results[:2], cases.session, masks_of(cases)) == []


def test_the_table_gives_deviation_interval_and_ratio(shop, results):
    cases = TestCases.of(shop)
    page = markdown(ReportData(results, cases, masks_of(cases), "the shop"))
    lines = page.splitlines()
    in_full = lines[lines.index("## All targets") :]
    table = next(line for line in in_full if line.startswith("| tpad"))
    cells = [cell.strip() for cell in table.strip("|").split("|")]
    heads = next(line for line in in_full if line.startswith("| model"))
    column = [head.strip() for head in heads.strip("|").split("|")].index
    assert cells[column("MRR@20")] == "**0.750** ± 0.354"
    assert cells[column("MRR@20 interval")] == "0.750–0.750"
    assert cells[column("MRR@20 of oracle")] == "75 % (75–75)"
    assert [line for line in lines if line.startswith("## ")] == [
        "## At a glance",
        "## tpad compared with the best baseline",
        "## Averaged over sessions",
        "## Unclicked items",
        "## All targets",
        "## Warm targets",
        "## Cold targets",
        "## Runs",
    ]
