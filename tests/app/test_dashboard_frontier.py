"""The dashboard's section about unclicked items, on runs with and without a frontier."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_bundle import FakeEncoder
from fake_results import add_run, begin, fill, made_up_ranks

from app.dashboard.frontier import draw_frontier
from app.dashboard.plot_style import plot_json
from app.dashboard.sections import Sections
from app.dashboard.view import FRONTIER, View
from app.shell.results import Results
from app.ui import open_shop
from eval.database.store import Store
from eval.metrics.frontier import Frontier
from eval.metrics.slice_metrics import MetricValue
from tpad.bundle import Bundle
from tpad.recommender import Recommender

CURVE = Frontier(
    np.array([-np.inf, 0.25, np.inf]),
    np.array([0.5, 0.4, 0.0]),
    np.array([0.0, 0.2, 0.3]),
    np.array([0.0, 0.1, 1.0]),
)
FIGURES = (
    MetricValue("all", "unclicked_share", 20, 0.125, 0.1, 0.15),
    MetricValue("cold", "unclicked_P", 20, 0.75, 0.7, 0.8),
    MetricValue("cold", "unclicked_MRR", 20, 0.25, 0.2, 0.3),
    MetricValue("all", "frontier_area", 20, 0.0987),
)
POINT = (MetricValue("all", "unclicked_share", 20, 0.0), MetricValue("all", "frontier_area", 20, 0))


@pytest.fixture(scope="module")
def recommender(fake_bundle):
    return Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder()))


def add(store, dataset, model, role, curve, more):
    with begin(store, dataset, model, role) as run:
        run.finish(made_up_ranks(dataset, model, 2.0, 0), 1.0, 0.1, None, more, curve)


def opened(recommender, tmp_path, write) -> Sections:
    with Store(tmp_path / "results.db") as store:
        write(store, recommender.bundle.dataset)
    results = Results(tmp_path / "results.db", read_only=True)
    return Sections(open_shop(recommender, results), results)


@pytest.fixture
def data(recommender, tmp_path):
    def write(store, dataset):
        add(store, dataset, "tpad", "tpad", CURVE, FIGURES)
        add(store, dataset, "markov", "baseline", Frontier.point(0.2, 0.0, 0.0), POINT)
        add_run(store, dataset, "vision", "baseline", 2.0)  # of an earlier version

    made = opened(recommender, tmp_path, write)
    yield made
    made.results.store.close()


def drawn(data, **chosen):
    options, evaluation = data.options(View(section=FRONTIER, **chosen))
    (section,) = data.draw(options.view, evaluation)
    return section, evaluation


def test_curves_and_points_are_drawn_with_the_models_own_choice(data):
    section, evaluation = drawn(data, models=("tpad", "markov"))
    lines = [trace for trace in section.figure.data if trace.mode == "lines"]
    markers = [trace for trace in section.figure.data if trace.mode == "markers"]
    assert [trace.name for trace in lines] == ["TPAD"]
    assert list(lines[0].x) == [0.5, 0.4, 0.0] and list(lines[0].customdata) == [0.0, 0.1, 1.0]
    assert [trace.name for trace in markers] == ["TPAD", "Markov chain"]
    assert [trace.showlegend for trace in markers] == [False, True]
    own = evaluation.by_name["tpad"].metric("P", 20, evaluation.masks["cold"]).mean()
    assert markers[0].y[0] == pytest.approx(own)
    assert "The further up and to the right" in section.top
    assert section.name == "frontier"


def test_the_table_has_the_share_and_the_ranking_among_new_items(data):
    section, _ = drawn(data)
    for text in ("0.0987", "12.5%", "0.750", "0.250", "New in lists", "text/csv"):
        assert text in section.bottom
    assert "No frontier of Vision tower: evaluated by an earlier version" in section.bottom


def test_models_without_a_frontier_leave_the_plot_out(data):
    section, _ = drawn(data, models=("vision",))
    assert section.figure is None and "choose others" in section.top
    assert "TPAD" in section.bottom


def test_results_of_an_earlier_version_say_how_to_get_a_frontier(recommender, tmp_path):
    data = opened(recommender, tmp_path, fill)
    section, _ = drawn(data)
    assert section.figure is None and "python -m eval run" in section.top
    data.results.store.close()


def test_cases_of_one_kind_have_no_frontier(data):
    _, evaluation = drawn(data)
    evaluation.masks = {"all": evaluation.masks["all"]}
    assert "One kind of target only" in draw_frontier(View(section=FRONTIER), evaluation).top


def test_the_plot_is_for_both_modes_and_names_its_axes(data):
    _, evaluation = drawn(data)
    tricky = replace(evaluation.by_name["tpad"], name="<b>x</b>")
    evaluation.by_name[tricky.name] = tricky
    section = draw_frontier(View(section=FRONTIER, models=("tpad", tricky.name)), evaluation)
    content = json.loads(plot_json(section.figure, section.name))
    assert content["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
    for axis in ("xaxis", "yaxis"):
        assert "P@20" in content["layout"][axis]["title"]["text"]
    assert {trace["name"] for trace in content["data"]} == {"TPAD", "‹b›x‹/b›"}
    assert all("<b>x" not in trace["hovertemplate"] for trace in content["data"])
