"""The dashboard's plots."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_results import leaderboard_rows

from app.dashboard import plots, tables, training_plots
from app.dashboard.families import IDS, OURS
from app.dashboard.plot_style import plot_json


def scattered() -> pd.DataFrame:
    table = leaderboard_rows()[["model", "title", "family"]]
    for name in ("warm", "cold"):
        table[name] = [0.3, 0.2, 0.1, 0.001]
        table[f"{name}_low"], table[f"{name}_high"] = table[name] / 2, table[name] * 2
    return table


def bins() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["tpad", "tpad", "vsknn"],
            "title": ["TPAD", "TPAD", "V-SKNN"],
            "bin": ["1", "2", "2"],
            "cases": [30, 20, 20],
            "mean": [0.2, 0.3, 0.1],
            "low": [0.1, 0.2, 0.05],
            "high": [0.3, 0.4, 0.2],
        }
    )


def lost() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "title": ["without a", "without b"] * 2,
            "metric": ["P", "P", "MRR", "MRR"],
            "k": 20,
            "difference": [-0.1, 0.01, -0.05, 0.0],
            "low": -0.2,
            "high": 0.2,
            "p_corrected": [0.01, 0.9, 0.02, 1.0],
            "significant": [True, False, True, False],
        }
    )


FIGURES = {
    "scatter": lambda: plots.scatter(scattered(), "warm", "cold", x_title="x", y_title="y"),
    "cost": lambda: plots.scatter(
        scattered(), "warm", "cold", x_title="x (s)", y_title="y", log=True
    ),
    "bars": lambda: plots.bars(
        leaderboard_rows()
        .rename(columns={"of_oracle": "share"})
        .assign(share_low=0.1, share_high=0.9),
        "x",
    ),
    "grouped": lambda: plots.grouped(
        bins(), ["tpad", "vsknn", "none"], x_title="items", y_title="MRR@20", ordered=True
    ),
    "forest": lambda: plots.forest(lost()),
    "curves": lambda: training_plots.curves(
        pd.DataFrame(
            {
                "set": ["tpad"] * 2,
                "title": ["TPAD"] * 2,
                "epoch": [1, 2],
                "loss": [5.0, 4.0],
                "validation": [0.1, 0.2],
            }
        )
    ),
    "stages": lambda: training_plots.stage_curves(
        pd.DataFrame(
            {
                "stage": "a",
                "epoch": [1, 1, 1],
                "quantity": ["loss", "kd", "<b>"],
                "value": [1.0, 2.0, 3.0],
            }
        ),
        "a",
    ),
    "quality": lambda: training_plots.quality(
        pd.DataFrame(
            {
                "title": ["TPAD"],
                "dimensions": [8],
                "effective_rank": [3.5],
                "same_category": [0.9],
                "next_warm": [0.1],
                "next_cold": [np.nan],
            }
        )
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_plot_is_for_both_modes_names_its_axes_and_can_be_saved(name):
    figure = FIGURES[name]()
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    content = json.loads(plot_json(figure, name))
    assert content["config"]["toImageButtonOptions"]["filename"] == f"tpad-{name}"
    assert "toImage" in content["config"]["modeBarButtons"][0]
    for trace in content["data"]:
        for letter in "xy":
            number = trace.get(f"{letter}axis", letter)[1:]
            if letter == "y" and name in ("bars", "forest", "quality"):
                continue  # names of models, which need no title
            title = content["layout"][f"{letter}axis{number}"]["title"]
            assert title["text"] and "<b>" not in title["text"]
            assert title["font"]["size"] == 13


def test_tpad_is_largest_and_named_and_all_are_told_when_pointed_at():
    figure = FIGURES["scatter"]()
    by_name = {trace.name: trace for trace in figure.data}
    assert max(by_name[OURS].marker.size) > max(by_name[IDS].marker.size)
    assert by_name[OURS].text == ("TPAD",)
    assert by_name[IDS].text == ("",)
    assert by_name[IDS].customdata[0][4] == "V-SKNN"
    assert by_name[IDS].error_y.array[0] == pytest.approx(0.1)
    assert len({trace.marker.symbol for trace in figure.data}) == len(figure.data)


def test_what_takes_no_time_stands_at_the_edge_of_the_logarithmic_axis():
    figure = FIGURES["cost"]()
    drawn = [x for trace in figure.data for x in trace.x]
    assert min(drawn) == tables.MIN_SECONDS
    assert figure.layout.xaxis.type == "log"


def test_sure_differences_are_filled():
    figure = FIGURES["forest"]()
    assert figure.data[0].marker.symbol == ("circle", "circle-open")
    assert [trace.xaxis for trace in figure.data] == ["x", "x2"]


def test_models_that_have_no_cases_are_not_drawn():
    figure = FIGURES["grouped"]()
    assert [trace.name for trace in figure.data] == ["TPAD", "V-SKNN"]
    assert list(figure.layout.xaxis.ticktext) == ["1<br>30 cases", "2<br>20 cases"]
