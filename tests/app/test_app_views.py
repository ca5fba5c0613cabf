"""The page's HTML: what is in it, and that nothing of a shop's text can break it."""

import json

import numpy as np
import pandas as pd
import pytest
from html_reader import Reader

from app.compare import views as compare_views
from app.recommend import views as recommend_views
from app.shell import views
from app.shell.ranking import rank_table
from app.shell.session import MAX_ELEMENTS, Element, Snapshot, VisitorSession

HOSTILE = "\"><script>alert('x')</script>${value}{{x}} & `y`"


def items(n: int = 5, **changes) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(n)],
            "title": [f"Title {k}" for k in range(n)],
            "price": [np.nan, 1234.5, *[3.0] * n][:n],
            "is_cold": [k == 1 for k in range(n)],
            "picture": ["", *[f"pictures/item/{k}" for k in range(1, n)]],
        }
    )
    return frame.assign(**changes)


def found(n: int = 5) -> pd.DataFrame:
    return items(n).assign(score=np.linspace(2, -2, n), rank=range(1, n + 1))


def test_the_gallery_shows_one_page_and_offers_the_next():
    page = Reader(recommend_views.gallery(items(70), search={"query": HOSTILE}))
    assert [attrs["data-id"] for attrs in page.acts("add")] == [f"i{k}" for k in range(48)]
    assert len(page.acts("more")) == 1
    assert "Show 22 more" in page.text
    assert json.loads(page.acts("more")[0]["data-next"]) == {"query": HOSTILE, "page": 1}
    last = Reader(recommend_views.gallery(items(70), 1))
    assert [attrs["data-id"] for attrs in last.acts("add")] == [f"i{k}" for k in range(48, 70)]
    assert not last.acts("more")


def test_cards_have_names_prices_and_pictures_with_words():
    page = Reader(recommend_views.gallery(items()))
    assert page.acts("add")[1]["aria-label"] == "Add to session: Title 1"
    assert "1,234.50" in page.text
    assert "nan" not in page.text.lower()
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert [p["alt"] for p in pictures] == [f"Title {k}" for k in range(1, 5)]
    assert page.text.count("cold") == 1


def test_an_item_without_picture_shows_its_letters():
    page = Reader(recommend_views.gallery(items(1, title=["garden hose"], price=[1.0])))
    assert "GH" in page.text
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_an_empty_search_says_so():
    assert "Nothing found" in Reader(recommend_views.gallery(items().iloc[:0])).text


@pytest.mark.parametrize("place", ["gallery", "strip", "recommendations", "comparison"])
def test_hostile_titles_stay_text(place):
    frame = items(3, title=HOSTILE, item_id=[HOSTILE + str(k) for k in range(3)])
    scored = frame.assign(score=[3.0, 2.0, 1.0], rank=[1, 2, 3])
    session = VisitorSession(Snapshot((Element(HOSTILE, HOSTILE), Element("", HOSTILE))))
    html = {
        "gallery": lambda: recommend_views.gallery(frame),
        "strip": lambda: views.strip(session),
        "recommendations": lambda: recommend_views.recommendations(
            scored, model_title=HOSTILE, n_items=3
        ),
        "comparison": lambda: compare_views.comparison(
            rank_table({"a": np.arange(3.0), "b": -np.arange(3.0)}),
            frame,
            {"a": HOSTILE, "b": HOSTILE},
            2,
        ),
    }[place]()
    page = Reader(html)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "<script" not in html
    assert HOSTILE in page.text or any(HOSTILE in str(a.get("title")) for _, a in page.tags)


def test_the_strip_offers_only_what_can_be_done():
    session = VisitorSession().add(Element("a", "A")).add(Element("b", "B"))
    page = Reader(views.strip(session))
    assert ["disabled" in attrs for attrs in page.acts("left")] == [True, False]
    assert ["disabled" in attrs for attrs in page.acts("right")] == [False, True]
    assert [attrs["data-id"] for attrs in page.acts("remove")] == ["0", "1"]
    assert "disabled" not in page.acts("undo")[0]
    empty = Reader(views.strip(VisitorSession()))
    assert "disabled" in empty.acts("undo")[0]
    assert "disabled" in empty.acts("clear")[0]


def test_the_true_next_item_is_hidden_until_it_is_revealed():
    target = Element("t", "The secret thing", "pictures/item/9")
    session = VisitorSession(Snapshot((Element("a", "A"),), "a shopper", target="t"))
    hidden = views.strip(session, target)
    assert "secret" not in hidden
    assert "pictures/item/9" not in hidden
    assert len(Reader(hidden).acts("reveal")) == 1
    shown = Reader(views.strip(session.reveal(), target))
    assert not shown.acts("reveal")
    assert any(attrs.get("alt") == "The secret thing" for _, attrs in shown.tags)


def test_recommendations_carry_rank_score_and_cold_badge():
    page = Reader(
        recommend_views.recommendations(found(), model_title="TPAD", n_items=60, milliseconds=12)
    )
    assert "TPAD ranked 60 products in 12 ms" in page.text
    assert page.acts("add")[2]["aria-label"] == "Rank 3: Title 2. Add to session."
    assert page.text.count("cold") == 1
    bars = [a["style"] for tag, a in page.tags if tag == "span" and "style" in a]
    assert bars[0] == "width:100.0%"
    assert len(bars) == 5


@pytest.mark.parametrize(("rank", "kind"), [(2, "tp-hit"), (40, "tp-miss")])
def test_the_verdict_tells_the_place_of_the_true_next_item(rank, kind):
    target = "i1" if kind == "tp-hit" else "elsewhere"
    html = recommend_views.recommendations(
        found(), model_title="TPAD", n_items=60, target=recommend_views.Target(target, rank)
    )
    assert f"at rank {rank} of 60" in Reader(html).text
    assert f"tp-verdict {kind}" in html
    assert html.count("tp-true") == (1 if kind == "tp-hit" else 0)


def test_a_true_next_item_that_was_seen_has_no_place():
    html = recommend_views.recommendations(
        found(), model_title="TPAD", n_items=60, target=recommend_views.Target("x", 0)
    )
    assert "already in the session" in Reader(html).text


def test_relative_weight_is_a_ratio_to_the_best():
    values = recommend_views.relative_weight([2.0, 2.0 + np.log(0.5), -np.inf])
    assert values == pytest.approx([1, 0.5, 0])
    assert recommend_views.relative_weight([]) == []


def test_the_comparison_marks_what_is_shared_and_what_is_not():
    scores = {
        "a": np.array([9.0, 8, 7, 1, 2]),  # 0, 1
        "b": np.array([9.0, 1, 2, 8, 7]),  # 0, 3
        "c": np.array([9.0, 8, 1, 2, 7]),  # 0, 1
    }
    html = compare_views.comparison(
        rank_table(scores), items(), {"a": "First", "b": "Second", "c": "Third"}, 2, target=3
    )
    page = Reader(html)
    lines = [attrs["class"] for attrs in page.acts("add")]
    assert [("tp-all" in c, "tp-some" in c, "tp-one" in c) for c in lines] == [
        (True, False, False),
        (False, True, False),
        (True, False, False),
        (False, False, True),
        (True, False, False),
        (False, True, False),
    ]
    assert "1 of 2 shared" in page.text
    assert "2 of 2 shared" in page.text
    assert "true next item: #2" in page.text
    assert "true next item: #5" in page.text
    assert sum("tp-truth" in c for c in lines) == 1


def test_changes_of_place_are_told_against_the_first_list():
    scores = {"a": np.array([5.0, 4, 3, 2, 1]), "b": np.array([1.0, 2, 3, 4, 5])}
    page = Reader(compare_views.comparison(rank_table(scores), items(), {"a": "A", "b": "B"}, 3))
    assert "▲4" in page.text
    assert "▲2" in page.text
    assert "same" in page.text


def test_a_full_session_says_so_in_its_strip_as_long_as_it_is():
    session = VisitorSession()
    for number in range(MAX_ELEMENTS):
        assert "tp-full" not in views.strip(session)
        session = session.add(Element(f"i{number}", f"Title {number}"))
    assert f"Full: {MAX_ELEMENTS} items. Remove one" in Reader(views.strip(session)).text


def test_the_legend_of_the_bump_chart_names_each_line_and_marks_the_true_next_item():
    page = Reader(
        compare_views.bump_legend([(0, "#111111"), (2, "#222222")], items(title=HOSTILE), target=2)
    )
    assert [a["style"] for _, a in page.tags if a.get("class") == "tp-stroke"] == [
        "background:#111111",
        "background:#222222",
    ]
    assert page.text.count("True next item:") == 1
    assert "script" not in [tag for tag, _ in page.tags]


def test_the_page_can_be_skipped_through_and_says_what_changes():
    page = Reader(views.header(60, 6))
    assert [a["data-id"] for a in page.acts("skip")] == ["#head-next, .tabitem", "#head-products"]
    [status] = [a for _, a in page.tags if a.get("id") == "tp-status"]
    assert status["role"] == "status"
