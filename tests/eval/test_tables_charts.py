"""Tidy tables, LaTeX and the HTML page, on ranks with known metrics."""

import numpy as np
import pandas as pd
import pytest

from eval.metrics.ranks import Ranks
from eval.reports.charts import interval_figure, page, slice_figure
from eval.reports.tables import COLUMNS, latex, results_frame, wide
from eval.runs.results import Result

SESSIONS = np.array([0, 0, 1, 2])
MASKS = {
    "all": np.ones(4, bool),
    "cold": np.array([False, False, True, True]),
    "nobody": np.zeros(4, bool),
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    results = [
        Result(
            "popularity_1",
            "baseline",
            (0,),
            Ranks.from_expected(np.array([[30.0, 2, np.inf, np.inf]])),
        ),
        Result(
            "tpad", "tpad", (0, 1), Ranks.from_expected(np.array([[1, 1, 1, 30], [1, 1, 30, 30]]))
        ),
        Result("oracle", "oracle", (0,), Ranks.from_expected(np.ones((1, 4)))),
    ]
    return results_frame(results, SESSIONS, MASKS)


def figure_of(frame, model, part, metric="P", k=20):
    hit = (frame.model == model) & (frame.slice == part) & (frame.metric == metric) & (frame.k == k)
    assert hit.sum() == 1
    return frame[hit].iloc[0]


def test_one_row_per_model_slice_and_metric(frame):
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 3 * 2 * 9 and "nobody" not in set(frame.slice)
    ours = figure_of(frame, "tpad", "cold")
    assert ours["mean"] == 0.25 and ours.cases == 2 and ours.seeds == 2
    assert ours.deviation == pytest.approx(np.std([0.5, 0.0], ddof=1))
    assert ours.of_oracle == 0.25
    assert ours.low <= ours["mean"] <= ours.high
    assert np.isnan(figure_of(frame, "popularity_1", "all").deviation)
    assert figure_of(frame, "popularity_1", "all", "MRR")["mean"] == 0.125


def test_the_best_model_is_marked_but_not_the_oracle(frame):
    table = wide(frame, "all", [("P", 20), ("MRR", 20)])
    assert table.loc["tpad", "P@20"].endswith("*") and "±" in table.loc["tpad", "P@20"]
    assert not table.loc["oracle", "P@20"].endswith("*")
    assert not table.loc["popularity_1", "P@20"].endswith("*")


def test_latex_escapes_names_and_prints_every_slice(frame):
    text = latex(frame, [("P", 20), ("MRR", 20)], "100 % of a_b")
    assert r"popularity\_1 & 0.250 & 0.125 \\" in text
    assert r"\caption{100 \% of a\_b}" in text
    assert text.count(r"\midrule") == 2 and r"\textbf{0.625 $\pm$ 0.177}" in text
    assert text.count("{") == text.count("}")


def test_figures_show_every_model_with_its_interval(frame):
    figure = interval_figure(frame, "all", "P", 20)
    shown = {name: bar for bar in figure.data for name in bar.y}
    assert set(shown) == {"popularity_1", "tpad", "oracle"}
    ours = figure_of(frame, "tpad", "all")
    assert shown["tpad"].error_x.array[0] == pytest.approx(ours.high - ours["mean"])
    assert list(slice_figure(frame, "P", 20).data[0].x) == ["all", "cold"]


def test_the_page_is_complete_and_works_offline(frame):
    text = page(frame, title="a <b> & c", notes=["seeds 0 1"])
    assert "a &lt;b&gt; &amp; c" in text and "<b>" not in text.split("<body>")[1][:200]
    assert text.count("Plotly.newPlot") == 5
    assert "cdn.plot.ly" not in text.split("<body>")[0] and 'src="http' not in text
