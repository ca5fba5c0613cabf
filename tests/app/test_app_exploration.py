"""The setting of new items: what it offers, what it shows, and what it says of the cost."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_bundle import FakeEncoder
from html_reader import Reader

from app.compare import tab as compare
from app.recommend import views
from app.recommend.recommendations import recommendations_html
from app.shell import exploration
from app.shell.exploration import Cost
from app.shell.session import Snapshot, VisitorSession
from app.ui import build_app, open_shop
from tpad.bundle import Bundle
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def shop(fake_bundle):
    return open_shop(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))


@pytest.fixture(scope="module")
def session(shop):
    session = VisitorSession()
    for item in ("item-0001", "item-0003"):
        session = session.add(shop.catalogue.element(item))
    return session


def shop_without_curve() -> SimpleNamespace:
    fitted = SimpleNamespace(exploration=None)
    bundle = SimpleNamespace(recommenders={"tpad": fitted})
    return SimpleNamespace(recommender=SimpleNamespace(bundle=bundle), models=("tpad",))


def n_cold(html: str) -> int:
    return html.count("tp-badge-cold")


def test_without_figures_there_are_only_two_choices(shop):
    assert exploration.choices(shop) == list(exploration.ALL)
    bare = shop_without_curve()
    assert exploration.choices(bare) == ["tuned", "never"]
    assert exploration.cost(bare, "tpad", "never") is None
    assert [label for label, _ in exploration.radio(bare).choices] == ["never", "as tuned"]
    labels = [label for label, _ in exploration.radio(shop).choices]
    assert labels == ["never", "as tuned", "as clicked", "5%", "20%", "50%", "most"]
    assert exploration.radio(bare).value == "tuned"


def test_the_list_has_more_new_items_at_a_larger_share(shop, session):
    def cold(name: str) -> int:
        return n_cold(recommendations_html(shop, session, "tpad", 48, True, name))

    assert cold("never") == 0
    assert 0 < cold("5") <= cold("clicked") <= cold("50") <= cold("most")
    html = recommendations_html(shop, session, "tpad", 48, True)
    assert cold("tuned") == n_cold(html)


def test_the_cost_is_that_of_the_offset(shop):
    curve = shop.recommender.bundle.recommenders["tpad"].exploration
    tuned = exploration.cost(shop, "tpad", "tuned")
    assert tuned == pytest.approx(
        Cost(curve.share[1], curve.known[1], curve.new[1], curve.known[0])
    )
    assert exploration.cost(shop, "tpad", "never") == Cost(0.0, curve.known[0], 0.0, curve.known[0])
    most = exploration.cost(shop, "tpad", "most")
    assert (most.share, most.known, most.new) == (curve.share[-1], curve.known[-1], curve.new[-1])
    fifth = exploration.cost(shop, "tpad", "20")
    assert fifth.share == pytest.approx(0.2)
    assert fifth.known == pytest.approx(np.interp(0.2, curve.share, curve.known))


def with_clicked(shop, monkeypatch, clicked: float) -> None:
    """Set how often shoppers click on new items."""
    fitted = shop.recommender.bundle.recommenders["vision"]
    curve = replace(fitted.exploration, clicked=clicked)
    monkeypatch.setattr(fitted, "exploration", curve)


def test_new_items_can_be_shown_as_often_as_they_are_clicked(shop, monkeypatch):
    with_clicked(shop, monkeypatch, 0.3)
    assert exploration.share_of(shop, "vision", "clicked") == 0.3
    assert exploration.share_of(shop, "tpad", "clicked") == 0.1
    cost = exploration.cost(shop, "vision", "clicked")
    assert cost.as_clicked and cost.share == pytest.approx(0.3)
    assert not exploration.cost(shop, "vision", "20").as_clicked


@pytest.mark.parametrize(("clicked", "share"), [(0.9, 0.5), (0.0, 0.0)])
def test_a_share_of_clicks_outside_the_measured_ones_is_not_claimed(
    shop, monkeypatch, clicked, share
):
    with_clicked(shop, monkeypatch, clicked)
    cost = exploration.cost(shop, "vision", "clicked")
    assert cost.share == share and not cost.as_clicked


@pytest.mark.parametrize(
    ("cost", "says"),
    [
        (
            Cost(0.21, 0.636, 0.755, 0.671),
            "New items take about 21% of the first 20 places. P@20 in validation: clicked items "
            "63.6% (without new items 67.1%), new items 75.5%.",
        ),
        (
            Cost(0.0, 0.671, 0.0, 0.671),
            "New items are left out. P@20 in validation: clicked items 67.1%, new items 0.0%.",
        ),
        (Cost(0.004, 0.671, 0.0, 0.671), "New items take less than 1% of the first 20 places."),
        (
            Cost(0.12, 0.65, 0.7, 0.671, as_clicked=True),
            "New items are shown as often as shoppers click on them (about 12%). P@20",
        ),
    ],
)
def test_the_cost_in_words(shop, session, cost, says):
    found = shop.recommender.recommend(session.values, 3)
    from app.shell.shop import with_item_facts

    html = views.recommendations(
        with_item_facts(shop, found), model_title="TPAD", n_items=60, cost=cost
    )
    assert says in " ".join(Reader(html).text.split())


def test_a_new_target_that_is_never_shown_is_said_to_be_left_out(shop, session):
    cold = shop.catalogue.items.query("is_cold")["item_id"].iat[0]
    now = Snapshot(session.elements, "a shopper", cold, revealed=True)
    html = recommendations_html(shop, VisitorSession(now), "tpad", 5, True, "never")
    assert "new items are left out here" in html
    html = recommendations_html(shop, VisitorSession(now), "tpad", 5, True, "most")
    assert re.search(r"is at rank <b>\d+</b>", html)


def test_the_comparison_follows_the_setting_and_says_so(shop, session):
    never = compare.render(shop, session, ["vision"], 20, "never")[0]
    assert "tp-coldword" not in never
    assert "new items in the lists, as set under Recommend: <b>never</b>" in never
    as_clicked = compare.render(shop, session, ["vision"], 20, "clicked")[0]
    assert "as set under Recommend: <b>as clicked</b>" in as_clicked
    usual = compare.render(shop, session, ["vision"], 20)[0]
    assert "as set under Recommend" not in usual


def test_the_setting_is_in_the_address(shop):
    page = build_app(shop.recommender)
    [bar] = [b for b in page.blocks.values() if getattr(b, "elem_id", "") == "address"]
    assert '"new"' in bar.js_on_load
    [control] = [b for b in page.blocks.values() if getattr(b, "elem_id", "") == "new-items"]
    assert control.value == "tuned"
