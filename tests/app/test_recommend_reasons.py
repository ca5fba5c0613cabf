"""What speaks for an item: parts that add up, the clicks that were counted, and the words for both."""

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder
from html_reader import Reader
from test_app_views import HOSTILE

from app.recommend import explain_views
from app.recommend.explain import Explanation, explain
from app.recommend.reasons import NEGLIGIBLE, Pair, Reason, pairs_of, reasons_of
from app.shell.session import Element, VisitorSession
from app.ui import open_shop
from tpad.bundle import Bundle
from tpad.items import NewItem
from tpad.model.session.evidence import Evidence, ScoreParts
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def shop(fake_bundle):
    return open_shop(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))


def session_of(shop, *ids: str) -> VisitorSession:
    session = VisitorSession()
    for item in ids:
        session = session.add(shop.catalogue.element(item))
    return session


def plain_count(shop, earlier: str, later: str) -> int:
    """Training sessions with a click on `later` at some place after a click on `earlier`."""
    titles = shop.catalogue.items["title"].tolist()
    train = shop.recommender.bundle.dataset.train
    count = 0
    for items in train.items:
        walk = [titles[row] for row in items]
        if earlier in walk and later in walk[walk.index(earlier) + 1 :]:
            count += 1
    return count


@pytest.mark.parametrize("model", ["tpad", "vision"])
def test_the_reasons_add_up_to_the_score(shop, model):
    session = session_of(shop, "item-0001", "item-0003", "item-0004")
    for item in ("item-0005", "item-0006", "item-0020"):  # the first is new
        found = explain(shop, session, item, model)
        total = shop.recommender.score_parts(session.values, item, model).total
        rest = 5 * NEGLIGIBLE
        assert sum(one.value for one in found.reasons) == pytest.approx(total, abs=rest)
        values = [one.value for one in found.reasons]
        assert values == sorted(values, reverse=True)
        assert min(map(abs, values)) >= NEGLIGIBLE


def test_sessions_of_the_evidence_are_counted_as_one_would_by_hand(shop):
    session = session_of(shop, "item-0001", "item-0003", "item-0004")
    titles = shop.catalogue.items["title"].tolist()
    seen = set()
    for item in ("item-0002", "item-0005", "item-0006", "item-0012"):
        own = titles[shop.catalogue.rows[item]]
        for reason in explain(shop, session, item, "tpad").reasons:
            for pair in reason.pairs:
                clicks = (pair.other, pair.item or own)
                clicks = clicks if pair.other_first else clicks[::-1]
                assert pair.sessions == plain_count(shop, *clicks) > 0
                seen.add((pair.other_first, bool(pair.item)))
    assert (True, False) in seen and (True, True) in seen  # the item itself, and stand-ins
    assert any(not first for first, _ in seen)  # and pairs in the opposite order


def test_an_upload_speaks_by_what_stands_in_for_it(shop):
    upload = Element("", "my thing", content=NewItem(title="red case"), key="upload:1")
    found = explain(shop, VisitorSession().add(upload), "item-0001", "tpad")
    [memory] = [reason for reason in found.reasons if reason.part == "memory"]
    assert all(pair.other_stands_in and pair.element == 0 for pair in memory.pairs)
    text = " ".join(Reader(explain_views.panel(found, "TPAD")).text.split())
    assert "(similar to my thing)" in text


def parts(**changes) -> ScoreParts:
    facts = {
        "total": 3.4,
        "network": -0.5,
        "memory": 2.0,
        "neighbours": 0.001,
        "cosine": 0.4,
        "offset": 1.5,
        "memory_of": np.array([0.5, 1.5]),
        "cosine_of": np.array([0.3, 0.1]),
        "evidence": ((Evidence(4, 9, 0.25, 3),), (Evidence(7, 8, 0.6, 0), Evidence(6, 9, 0.15, 2))),
    } | changes
    return ScoreParts(**facts)


def test_the_largest_part_comes_first_and_one_that_adds_nothing_is_left_out():
    found = reasons_of(parts(), np.array([0.2, -0.7]))
    assert [(one.part, one.element) for one in found] == [
        ("memory", 1),
        ("offset", None),
        ("cosine", 0),
        ("network", 0),
    ]


def test_pairs_name_stand_ins_and_the_order_of_the_clicks():
    clicks, owners = np.array([8, 7, 4, 9, 8, 7]), np.array([0, 0, 1, 1, 2, 2])
    found = pairs_of(parts(), [4, None], 9, "t{}".format, clicks, owners)
    assert found == [
        Pair(1, "t7", True, "t8", False, 2),
        Pair(0, "t4", False, "", True, 3),
        Pair(1, "t6", True, "", True, 2),
    ]


def test_clicks_that_no_training_session_has_are_no_evidence():
    none = np.zeros(0, np.int64)
    found = pairs_of(parts(), [4, None], 9, "t{}".format, none, none)
    assert [pair.other for pair in found] == ["t4", "t6"]


def test_without_training_sessions_nothing_is_counted():
    evidence = ((Evidence(4, 9, 1.0),), ())
    none = np.zeros(0, np.int64)
    [pair] = pairs_of(parts(evidence=evidence), [4, 5], 9, "t{}".format, none, none)
    assert pair.sessions is None and pair.other_first


def panel(*reasons: Reason, is_cold: bool = False) -> str:
    """The panel's text."""
    found = Explanation(
        item=pd.Series({"title": "the item", "picture": "", "is_cold": is_cold}),
        model="tpad",
        rank=3,
        weight=0.02,
        even=0.001,
        reasons=list(reasons),
        elements=pd.DataFrame({"title": ["old", HOSTILE], "picture": "", "gain": [0.1, 0.2]}),
        parts=None,
        similarity={},
        neighbours=pd.DataFrame({"title": ["n"], "picture": "", "cosine": [0.9]}),
    )
    page = Reader(explain_views.panel(found, "TPAD"))
    assert "script" not in [tag for tag, _ in page.tags]
    return " ".join(page.text.split())


def test_each_part_has_its_sentence():
    pairs = (Pair(0, "old", False, "", True, 7), Pair(1, "its twin", True, "", False, 1))
    text = panel(
        Reason("memory", 2.0, 0, pairs),
        Reason("neighbours", 1.0),
        Reason("network", 0.5, 1),
        Reason("cosine", 0.2, 0),
        Reason("offset", -0.7),
    )
    for said in (
        "Shoppers who looked at old went on to it",
        "7.4× the weight",
        "+2.00",
        "7 sessions: old, then this product",
        f"1 session: this product, then its twin (similar to {HOSTILE})",
        "Shoppers with similar sessions clicked it",
        f"Goes with {HOSTILE}",
        "Looks like old",
        "New items are moved down",
        "0.50× the weight",
        "−0.70",
    ):
        assert said in text


def test_a_new_item_is_said_to_have_products_like_it():
    pair = Pair(1, "twin", True, "its own twin", True)
    text = panel(
        Reason("memory", 2.0, 1, (pair,)),
        Reason("neighbours", 1.0),
        Reason("offset", 0.4),
        Reason("cosine", -0.2, 0),
        Reason("network", -0.5, 0),
        is_cold=True,
    )
    assert f"Shoppers who looked at products like {HOSTILE} went on to products like it" in text
    assert "then its own twin (similar to this product)" in text and "session:" not in text
    assert "Shoppers with similar sessions clicked products like it" in text
    assert "New items are moved up" in text
    assert "Goes with this session less than" in text and "Looks less like this session" in text


def test_clicks_in_the_opposite_order_are_not_called_what_came_next():
    text = panel(Reason("memory", 1.0, 0, (Pair(0, "old", False, "", False, 4),)))
    assert "Shoppers looked at old and at it in the same session" in text
    assert "4 sessions: this product, then old" in text
