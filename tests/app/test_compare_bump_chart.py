"""The rank chart."""

import numpy as np
import pandas as pd

from app.compare.bump_chart import LINES, bump_chart, chart_lines
from app.shell.figures import TRUTH
from app.shell.ranking import rank_table

TITLES = {"a": "First", "b": "Second"}


def chart(target: int | None = None, k: int = 3, **options):
    scores = {"a": np.arange(20.0), "b": np.arange(20.0)[::-1]}
    items = pd.DataFrame(
        {
            "title": [f"<b>{n}</b> %{{x}}" for n in range(20)],
            "picture": [f"p/{n}" for n in range(20)],
        }
    )
    return bump_chart(rank_table(scores), items, TITLES, k, per_model=2, target=target, **options)


def test_follows_the_first_items_of_each_model_through_all():
    figure = chart()
    assert len(figure.data) == 4
    assert [point[1] for point in figure.data[0].customdata] == [1, 20]
    assert list(figure.layout.xaxis.ticktext) == ["First", "Second"]


def test_what_lies_beyond_the_last_place_shares_one_line_below():
    figure = chart()
    below = max(figure.layout.yaxis.tickvals)
    assert list(figure.data[0].y) == [1, below]
    assert figure.layout.yaxis.ticktext[-1] == "beyond 3"
    assert figure.layout.yaxis.range[0] > below  # the first place is at the top


def test_pictures_stand_only_at_the_places_that_are_drawn():
    figure = chart()
    assert [image.source for image in figure.layout.images] == ["p/19", "p/18", "p/0", "p/1"]


def test_the_true_next_item_is_drawn_last_and_bold():
    figure = chart(target=10)
    assert len(figure.data) == 5
    assert figure.data[-1].line.color == TRUTH
    assert figure.data[-1].line.width > figure.data[0].line.width


def test_a_true_next_item_that_takes_no_part_is_left_out():
    scores = {"a": np.arange(4.0), "b": np.arange(4.0)}
    items = pd.DataFrame({"title": list("wxyz"), "picture": [""] * 4})
    figure = bump_chart(rank_table(scores, [3]), items, TITLES, 3, per_model=1, target=3)
    assert len(figure.data) == 1
    assert not figure.layout.images


def test_titles_are_no_markup():
    name = chart().data[0].name
    assert "<" not in name
    assert "%{" not in name


def test_nothing_is_coloured_for_one_mode_only():
    figure = chart()
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_each_item_has_a_colour_of_its_own_also_where_no_list_shares_one():
    rng = np.random.default_rng(0)
    table = rank_table({name: rng.permutation(np.arange(500.0)) for name in "abcd"})
    lines = chart_lines(table, target=7)
    assert len(lines) == 21 and lines[-1] == (7, TRUTH)
    assert len({colour for _, colour in lines}) == len(lines)


def test_lines_are_told_from_the_page_in_light_and_dark():
    for colour in (*LINES, TRUTH):
        for page in ("#f6f7f9", "#ffffff", "#0e1117", "#171b23"):
            assert contrast(colour, page) >= 2.8, (colour, page)


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 defines it."""
    lights = []
    for colour in (one, other):
        parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(lights) / min(lights)
