"""Cold-start cases: which are selected, and what the verdicts on them add up to."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from app.cold_start import views
from app.cold_start.cases import RULES, rank_table, select_cases
from app.cold_start.verdicts import latest, summary
from app.cold_start.views import ModelRank
from app.cold_start.visitor import Visitor
from app.shell.names import model_title
from eval.database.records import Verdict
from eval.metrics.ranks import Ranks
from eval.runs.results import Result
from tpad.errors import DataError

INF = np.inf
VERSION = ("0.1.0", "abc")
NOBODY, ANN, BOB = Visitor(), Visitor("a" * 12), Visitor("b" * 12)


def verdict_on(case: int, verdict: str, who: str = "", run: str = "r") -> Verdict:
    return Verdict(run, case, verdict, "", who, datetime(2026, 1, 1, tzinfo=UTC))


class TestSelection:
    ranks = pd.DataFrame({"ours": [1.0, 30, 200, INF, 4], "theirs": [25.0, 2, 400, 21, 8]})
    every = np.ones(5, bool)

    def selected(self, rule, mask=None, rated=()):
        mask = self.every if mask is None else mask
        return select_cases(self.ranks, mask, rule, "ours", "theirs", rated).tolist()

    def test_each_rule_selects_its_cases(self):
        assert self.selected("all") == [0, 1, 2, 3, 4]
        assert self.selected("right") == [0]
        assert self.selected("wrong") == [1]
        assert self.selected("none") == [2, 3]
        assert self.selected("open", rated=[0, 3]) == [1, 2, 4]

    def test_gains_come_largest_first_in_doublings(self):
        assert self.selected("gain") == [0, 2, 4]  # 25 → 1, then twice half the place
        assert self.selected("loss") == [3, 1]  # not found is behind everything

    def test_a_slice_limits_every_rule(self):
        mask = np.array([False, True, True, False, True])
        for rule in RULES:
            assert set(self.selected(rule, mask)) <= {1, 2, 4}

    def test_what_is_not_there_is_refused(self):
        with pytest.raises(DataError, match="reload"):
            select_cases(self.ranks, self.every, "all", "ours", "gone")
        with pytest.raises(DataError, match="reload"):
            select_cases(self.ranks, self.every, "best", "ours", "theirs")


def test_ranks_of_several_seeds_become_their_median():
    ranks = np.array([[1, 9, INF], [3, INF, INF], [2, 4, 5]], np.float32)
    table = rank_table([Result("m", "tpad", (0, 1, 2), Ranks.from_expected(ranks))])
    assert table["m"].tolist() == [2, 9, INF]


def test_a_change_of_mind_counts_once_and_two_people_count_twice():
    words = [
        verdict_on(0, "wrong", "ann"),
        verdict_on(0, "plausible", "ann"),
        verdict_on(0, "unsure", "bob"),
    ]
    assert [one.verdict for one in latest(words).values()] == ["plausible", "unsure"]


def test_the_summary_tells_verdicts_and_metric_apart():
    ranks = np.array([1.0, 300, 5, 50])
    found = summary(
        [
            verdict_on(0, "plausible"),
            verdict_on(1, "plausible"),
            verdict_on(2, "wrong"),
            verdict_on(3, "unsure"),
        ],
        ranks,
    )
    assert (found["cases"], found["plausible"], found["wrong"], found["unsure"]) == (4, 2, 1, 1)
    assert (found["hits"], found["hits_plausible"]) == (2, 1)
    assert (found["misses"], found["misses_plausible"]) == (1, 1)
    assert found["auc"] == 0.5  # place 1 before the wrong one's 5, place 300 behind it
    assert np.isnan(summary([verdict_on(0, "plausible")], ranks)["auc"])


def test_models_are_named_in_words():
    assert model_title("tpad") == "TPAD"
    assert model_title("gru4rec") == "GRU4Rec"
    assert model_title("vision_neighbours") == "Neighbours, Vision tower"
    assert model_title("clip_tfidf") == "clip + TF-IDF"
    assert model_title("tpad-no-words").startswith("TPAD, ") and "-" not in model_title(
        "tpad-no-words"
    )


def test_models_that_cannot_rank_share_one_line():
    page = views.model_ranks(
        [ModelRank("Ours", 3.0, 3, "first"), ModelRank("Markov <chain>", INF, 1, "other")],
        100,
    )
    assert "Cannot rank it:</b> Markov &lt;chain&gt;." in page
    assert page.count("tp-model-rank ") == 1
