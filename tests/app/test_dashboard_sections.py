"""The sections of the dashboard on a small bundle and database."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from fake_bundle import FakeEncoder
from fake_results import add_run, begin, fill

from app.dashboard.latest_request import LatestRequest
from app.dashboard.layout import FILTER_NAMES, filters_shown
from app.dashboard.run_sections import cases_of
from app.dashboard.sections import TRAINING_LOG, Sections
from app.dashboard.tables import leaderboard
from app.dashboard.view import (
    ABLATIONS,
    ALL_SEEDS,
    BY_SLICE,
    COST,
    EMBEDDINGS,
    FILTERS,
    LEADERBOARD,
    RUNS,
    SECTIONS,
    TRAINING,
    WARM_COLD,
    View,
)
from app.shell.results import Results
from app.ui import build_app, open_shop
from eval.database.store import Store
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def folder(fake_bundle, tmp_path_factory):
    made = tmp_path_factory.mktemp("dashboard") / "bundle"
    shutil.copytree(fake_bundle, made)
    return made


@pytest.fixture(scope="module")
def recommender(folder):
    return Recommender(Bundle.load(folder, encoder=FakeEncoder()))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.db") as made:
        yield made


def open_sections(recommender, store) -> Sections:
    results = Results(store.target)
    return Sections(open_shop(recommender, results), results)


@pytest.fixture
def data(recommender, store):
    fill(store, recommender.bundle.dataset)
    made = open_sections(recommender, store)
    yield made
    made.results.store.close()


def drawn(data, **chosen):
    """All that a section draws, what it is at last, and the choices that were made."""
    options, evaluation = data.options(View(**chosen))
    every = [one for one in data.draw(options.view, evaluation) if one is not None]
    return every, every[-1], options


def test_the_leaderboard_is_there_before_its_marks(data):
    every, last, options = drawn(data)
    assert "Testing each model against TPAD: 0 of 3" in every[0].top
    assert "†" not in every[0].top.replace("† differs", "")
    assert "for the 3 tests of this table" in last.top
    assert last.name == "oracle-share"
    assert [words for words, _ in options.seeds] == ["All seeds", "Seed 0", "Seed 1"]
    assert options.view.choice == options.choices[0][1]


def test_what_is_not_offered_is_replaced(data):
    _, _, options = drawn(
        data, part="no such", seed="9", choice="x", kind="y", models=("z", "tpad")
    )
    assert (options.view.part, options.view.seed) == ("all", ALL_SEEDS)
    assert options.view.models == ("tpad",)
    assert options.view.kind in [kind for _, kind in options.kinds]


def test_what_has_been_tested_is_drawn_at_once(data):
    for section in (LEADERBOARD, ABLATIONS):
        assert len(drawn(data, section=section)[0]) > 1
        assert len(drawn(data, section=section)[0]) == 1
    every, last, _ = drawn(data, extras=True)
    assert "4 of 5 …" in every[0].top and "for the 5 tests" in last.top


def test_only_filters_that_apply_make_another_view():
    view = View(ABLATIONS, choice="a")
    assert view.essence == replace(view, models=("tpad",), run="r", metric="P@5").essence
    assert view.essence != replace(view, part="cold").essence
    assert View(RUNS).essence != View(RUNS, run="r").essence
    latest = LatestRequest()
    latest.start("1", view)
    latest.drawn = replace(view, part="warm")
    assert latest.covers("1", view) and latest.covers("1", latest.drawn)
    assert not latest.covers("2", view) and not latest.covers("1", replace(view, choice="b"))


def test_filters_change_what_is_drawn(data):
    plain = drawn(data)[1].top
    assert drawn(data, part="cold")[1].top != plain
    assert "NDCG@5" in drawn(data, metric="NDCG@5")[1].top
    assert "without alignment" in drawn(data, extras=True)[1].top
    assert "±" not in drawn(data, seed="1")[1].top.split("<p")[0]


def test_figures_and_tests_are_averaged_over_sessions_on_request(data):
    by_case, over_sessions = drawn(data)[1].top, drawn(data, mean="session")[1].top
    assert "52 cases, mean over 18 sessions" in over_sessions
    assert "mean over 18 sessions" not in by_case
    evaluation = data.results.evaluation(data.results.case_sets()[0].key).averaged_over("session")
    sessions = evaluation.selection.cases.session
    values = evaluation.by_name["tpad"].metric("MRR", 20, evaluation.masks["all"]).mean(0)
    expected = np.mean([values[sessions == one].mean() for one in np.unique(sessions)])
    table = leaderboard(evaluation, "all", "MRR", 20).set_index("model")
    assert table.loc["tpad", "MRR"] == pytest.approx(expected)
    assert f"{expected:.3f}" in over_sessions and set(table.averaged_over) == {"sessions"}
    (test,) = evaluation.against(["vision"], "all", "MRR", 20)
    assert test.comparison.first == pytest.approx(expected)
    assert (
        evaluation.of_seed(1).mean == "session"
        and evaluation.averaged_over("session") is evaluation
    )
    for section in (WARM_COLD, BY_SLICE, ABLATIONS, COST):
        plots = [drawn(data, section=section, mean=mean)[1] for mean in ("case", "session")]
        assert plots[0].figure != plots[1].figure


@pytest.mark.parametrize("section", [WARM_COLD, BY_SLICE, ABLATIONS, TRAINING, EMBEDDINGS, COST])
def test_every_plot_comes_with_its_data(data, section):
    every, last, _ = drawn(data, section=section)
    assert last.figure is not None and last.figure.data
    assert "text/csv" in last.bottom and "tb-table" in last.bottom
    assert last.name
    if section in (ABLATIONS, EMBEDDINGS):
        assert all("tb-progress" in one.top for one in every[:-1]) and len(every) > 1


def test_what_has_been_measured_is_not_measured_again(data):
    drawn(data, section=EMBEDDINGS)
    assert len(drawn(data, section=EMBEDDINGS)[0]) == 1


def test_ablations_offer_the_main_slices_only(data):
    _, _, options = drawn(data, section=ABLATIONS, part="length 1")
    assert [part for _, part in options.parts] == ["all", "warm", "cold"]
    assert options.view.part == "all"


def test_the_stages_of_the_training_can_be_looked_at(data, folder):
    log = folder / TRAINING_LOG
    log.write_text('{"stage": "2 transfer", "epoch": 1, "loss": 3}\n')
    _, last, options = drawn(data, section=TRAINING, stage="2 transfer")
    assert [stage for _, stage in options.stages] == ["recommenders", "2 transfer"]
    assert last.figure.data[0].y == (3.0,)
    log.unlink()
    _, last, options = drawn(data, section=TRAINING, stage="2 transfer")
    assert options.view.stage == "recommenders"
    assert len(last.figure.data) == 2 * len(data.bundle.sets)


def test_an_empty_database_says_what_to_do(recommender, store):
    data = open_sections(recommender, store)
    _, last, options = drawn(data)
    assert "no finished run on this bundle" in last.top and "python -m eval run" in last.top
    assert options.choices == []
    assert drawn(data, section=TRAINING)[1].figure is not None
    assert "python -m eval run" in drawn(data, section=RUNS)[1].top
    data.results.store.close()


def test_a_run_that_goes_on_has_a_page_and_is_in_the_list(data, store):
    with begin(store, data.bundle.dataset, "markov", "baseline") as run:
        assert f'data-id="{run.id}"' in drawn(data, section=RUNS)[1].top
        page = drawn(data, section=RUNS, run=run.id)[1].top
    assert "running" in page and "There are none until the run is done" in page
    assert "Worst cases" not in page
    page = drawn(data, section=RUNS, run=run.id)[1].top
    assert "interrupted" in page


def test_a_runs_page_shows_its_worst_cases_with_pictures(data):
    run = next(r for r in data.results.runs() if r.model == "vision" and r.seed == 1)
    page = drawn(data, section=RUNS, run=run.id, part="cold")[1].top
    assert "Vision tower, seed 1" in page
    assert "pictures/item/" in page and 'data-act="case"' in page
    evaluation = data.results.evaluation(run.cases)
    cases = cases_of(data.shop, data.results, evaluation, run, "cold")
    ranks = data.results.store.ranks(run.id)
    assert cases[0].ranks[0][1] == ranks[evaluation.masks["cold"]].max()
    assert cases[0].ranks[1] == (
        "TPAD",
        evaluation.by_name["tpad"].ranks.expected[1][cases[0].number],
    )
    sessions = data.bundle.dataset.test.items
    table = data.results.store.case_table(run.id)
    for case in cases:
        whole = sessions[table.session[case.number]]
        before = whole[: case.length][-len(case.session) :]
        assert [item.row for item in case.session] == before.tolist()
        assert case.target.row == whole[case.length]
        assert case.cold


def test_tpad_is_held_against_the_best_baseline(data):
    run = next(r for r in data.results.runs() if r.model == "tpad")
    assert "best baseline" in drawn(data, section=RUNS, run=run.id)[1].top


def test_runs_on_other_data_are_told_by_rows(recommender, store):
    dataset = recommender.bundle.dataset
    other = replace(dataset, test=dataset.test.take(np.arange(6)))
    run = add_run(store, other, "vision", "baseline", 2.0, name="elsewhere")
    data = open_sections(recommender, store)
    page = drawn(data, section=RUNS, run=run)[1].top
    assert "elsewhere" in page and "tb-number" in page
    assert "pictures/item/" not in page and 'data-act="case"' not in page
    data.results.store.close()


def test_a_run_that_is_not_there_is_told(data):
    with pytest.raises(DataError, match="reload"):
        drawn(data, section=RUNS, run="f" * 32)


def test_nothing_of_the_database_is_read_before_the_tab_is_opened(recommender, data, monkeypatch):
    def refuse(*_):
        raise AssertionError("read")

    for name in ("case_sets", "runs", "evaluation", "stamp"):
        monkeypatch.setattr(Results, name, refuse)
    page = build_app(recommender, data.results)
    ids = [getattr(block, "elem_id", None) for block in page.blocks.values()]
    assert "dashboard-section" in ids and "dashboard-empty" not in ids


def test_without_a_database_the_tab_says_how_to_get_one(recommender):
    page = build_app(recommender)
    (empty,) = [b for b in page.blocks.values() if getattr(b, "elem_id", "") == "dashboard-empty"]
    assert "python -m eval run" in empty.value


def test_only_the_filters_of_a_section_are_shown():
    shown = dict(zip(FILTER_NAMES, filters_shown(View(LEADERBOARD)), strict=True))
    assert shown["part"]["visible"] and not shown["models"]["visible"]
    shown = dict(zip(FILTER_NAMES, filters_shown(View(RUNS, run="r")), strict=True))
    assert [name for name, update in shown.items() if update["visible"]] == ["part"]
    assert set(FILTERS) == set(SECTIONS)


def test_an_event_between_an_address_and_its_drawing_sees_the_view_of_the_address():
    """The controls still have their old values then."""
    latest, asked = LatestRequest(), View(section="cost", metric="NDCG@5")
    assert latest.view is None
    latest.follow(1, asked)
    assert latest.view == asked and not latest.covers("stamp", asked)
    latest.start("stamp", asked)
    assert latest.view == asked and latest.covers("stamp", asked)
    other = View(section="cost", metric="P@5")
    latest.follow(2, other)
    assert (latest.view, latest.address) == (other, 2) and not latest.covers("stamp", asked)
