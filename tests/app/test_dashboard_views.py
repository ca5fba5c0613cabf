"""The dashboard's HTML: what is in it, and that no name of a model can break it."""

import io
import re
from base64 import b64decode
from datetime import UTC, datetime
from html import unescape

import numpy as np
import pandas as pd
import pytest
from fake_results import leaderboard_rows
from html_reader import Reader

from app.dashboard import views
from app.dashboard.leaderboard_view import leaderboard, mark_note
from app.dashboard.run_tables import run_table
from app.dashboard.run_views import CaseItem, RunCase, duration, run_list, run_page, worst
from eval.database.records import RunInfo

HOSTILE = "\"><script>alert('x')</script>${value}{{x}} & `y`"


def marks() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["oracle", "vsknn", "vision"],
            "difference": [0.1, -0.1, -0.2],
            "low": [0.05, -0.15, -0.25],
            "high": [0.15, -0.05, -0.15],
            "p": [0.2, 0.01, 0.01],
            "p_corrected": [0.2, 0.06, 0.03],
            "significant": [False, False, True],
        },
        index=["oracle", "vsknn", "vision"],
    )


def board_of(table=None, found=None, subject="tpad") -> Reader:
    table = leaderboard_rows() if table is None else table
    return Reader(leaderboard(table, "MRR", 20, marks=found, subject=subject, runs={"tpad": "r1"}))


def test_the_leaderboard_can_be_sorted_by_every_column_but_a_model_opens_its_run():
    page = board_of(found=marks())
    assert len(page.having("data-sort")) == 6
    assert [a["aria-sort"] for a in page.having("aria-sort")] == [
        "none",
        "none",
        "descending",
        "none",
        "none",
        "none",
    ]
    assert page.having("data-act", "run")[1]["data-id"] == "r1"
    values = [a["data-v"] for a in page.having("data-v") if a.get("class") == "n"]
    assert "0.4" in values


def test_only_sure_differences_are_marked():
    page = board_of(found=marks())
    assert page.text.count("†") == 1
    assert "−0.200†" in page.text
    assert page.text.count("significant") == 1
    assert "p = 0.0100, corrected 0.0600" in str(page.tags)


def test_while_the_tests_are_made_the_table_is_there_already():
    page = board_of(found=None)
    assert page.text.count("…") == 3
    assert "0.400 ± 0.010" in page.text
    assert "2 of 3" in mark_note(3, done=2)
    assert "for the 3 tests" in mark_note(3)


def test_columns_that_tell_nothing_are_left_out():
    page = board_of(leaderboard_rows(of_oracle=np.nan), subject="")
    assert "oracle" not in page.text.replace("Oracle", "").replace("oracle", "", 1)
    assert "Against" not in page.text


def test_the_interval_is_drawn_and_told():
    page = board_of()
    (own,) = [a for a in page.having("title") if "tb-iv-ours" in str(a.get("class"))]
    assert own["title"] == "0.350 – 0.450"
    widths = [re.findall(r"[\d.]+", a["style"]) for tag, a in page.tags if tag == "i"]
    assert float(widths[1][0]) == pytest.approx(100 * 0.35 / 0.55, abs=0.01)
    assert float(widths[1][1]) == pytest.approx(100 * 0.10 / 0.55, abs=0.01)


@pytest.mark.parametrize("place", ["leaderboard", "data", "runs", "run", "case"])
def test_hostile_names_stay_text(place):
    case = RunCase(
        3, (CaseItem(1, HOSTILE, ""),), 1, CaseItem(2, HOSTILE, ""), True, ((HOSTILE, 4.0),)
    )
    html = {
        "leaderboard": lambda: leaderboard(
            leaderboard_rows(title=HOSTILE, model=HOSTILE),
            "MRR",
            20,
            marks=None,
            subject=HOSTILE,
            runs={HOSTILE: HOSTILE},
        ),
        "data": lambda: views.data_table(
            pd.DataFrame({"a": [HOSTILE]}), {"a": HOSTILE}, HOSTILE, HOSTILE
        ),
        "runs": lambda: run_list(run_table([run(model=HOSTILE, dataset=HOSTILE)]), 9),
        "run": lambda: run_page(
            run(model=HOSTILE, config={HOSTILE: HOSTILE}), figures(), [run()], ""
        ),
        "case": lambda: worst([case], HOSTILE, opens=True),
    }[place]()
    page = Reader(html)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "<script" not in html


def test_a_csv_link_holds_the_whole_table():
    frame = pd.DataFrame({"name": ["ä, b", "c"], "value": [1.5, 2.0]})
    page = Reader(views.data_table(frame, {"name": "Name"}, "mine", "What it is"))
    (link,) = [a for tag, a in page.tags if tag == "a"]
    assert link["download"] == "mine.csv"
    content = b64decode(link["href"].split("base64,")[1])
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(content)), frame)


def run(**changes) -> RunInfo:
    facts = {
        "id": "r1",
        "model": "tpad",
        "role": "tpad",
        "dataset": "demo",
        "dataset_fingerprint": "d",
        "cases": "c",
        "protocol": "every prefix",
        "n_cases": 9,
        "split": None,
        "split_id": None,
        "seed": 0,
        "config": {"settings": {"width": 8}},
        "key": "k",
        "status": "done",
        "started": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "ended": datetime(2026, 1, 2, 3, 5, 7, tzinfo=UTC),
        "fit_seconds": 62.0,
        "score_seconds": 0.5,
        "package_version": "0.1.0",
        "commit": "0123456789",
    }
    return RunInfo(**{**facts, **changes})


def figures() -> pd.DataFrame:
    return pd.DataFrame(
        {"slice": ["all"], "name": ["MRR"], "k": [20], "value": [0.25], "low": [0.2], "high": [0.3]}
    )


def test_runs_come_newest_first_with_those_that_go_on():
    going = run(id="r2", status="running", ended=None, fit_seconds=None, model="vsknn")
    page = Reader(run_list(run_table([run(), going]), 50))
    assert [a["data-id"] for a in page.having("data-act", "run")] == ["r2", "r1"]
    assert "1 of them running" in page.text
    assert "1 min 7 s" in page.text
    assert not page.having("data-act", "longer")
    assert Reader(run_list(run_table([run(), going]), 1)).having("data-act", "longer")


def test_a_runs_page_tells_its_configuration_and_its_figures():
    page = Reader(run_page(run(), figures(), [run(), run(id="r9", seed=1)], ""))
    assert '"width": 8' in unescape(page.text)
    assert "0.250 0.200 – 0.300" in page.text
    assert [a["data-id"] for a in page.having("data-act", "run")] == ["r1", "r9"]
    assert page.having("data-act", "runs")


def test_a_run_that_goes_on_has_no_figures_yet():
    page = Reader(run_page(run(status="running", ended=None), figures().iloc[:0], [run()], ""))
    assert "none until the run is done" in page.text
    assert "●" in page.text


def test_a_case_shows_its_way_and_opens():
    items = tuple(CaseItem(n, f"Item {n}", f"pictures/item/{n}") for n in range(6))
    case = RunCase(
        41, items, 9, CaseItem(7, "Target", "p/7"), True, (("this run", np.inf), ("TPAD", 3.5))
    )
    page = Reader(worst([case], "Cold targets", opens=True))
    assert "+3" in page.text
    assert "not found" in page.text and "3.5" in page.text
    assert [a["alt"] for tag, a in page.tags if tag == "img"] == [
        *(f"Item {n}" for n in range(6)),
        "Target",
    ]
    assert page.having("data-act", "case")[0]["data-id"] == "41"


def test_a_case_of_other_data_is_told_by_rows_and_cannot_be_opened():
    case = RunCase(1, (), 4, CaseItem(17), False, (("this run", 12.0),))
    page = Reader(worst([case], "All targets", opens=False))
    assert "4 items" in page.text and "item 17" in page.text
    assert "other data" in page.text
    assert not page.having("data-act", "case")
    assert not [tag for tag, _ in page.tags if tag == "img"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (np.nan, "–"), (0.04, "0.0 s"), (59.6, "1 min 0 s"), (7325, "2 h 2 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
