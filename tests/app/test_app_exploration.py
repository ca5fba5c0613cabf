"""The setting of new items: what it offers, what it shows, and what it says of the cost."""

import re
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
    assert exploration.choices(shop) == list(exploration.SHARES)
    bare = shop_without_curve()
    assert exploration.choices(bare) == ["tuned", "never"]
    assert exploration.cost(bare, "tpad", "never") is None
    labels = [label for label, _ in exploration.radio(bare).choices]
    assert labels == ["never", "as tuned"]
    assert exploration.radio(bare).value == "tuned"


def test_the_list_has_more_new_items_at_a_larger_share(shop, session):
    def cold(name: str) -> int:
        return n_cold(recommendations_html(shop, session, "tpad", 48, True, name))

    assert cold("never") == 0
    assert 0 < cold("5") <= cold("50") <= cold("most")
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
    usual = compare.render(shop, session, ["vision"], 20)[0]
    assert "as set under Recommend" not in usual


def test_the_setting_is_in_the_address(shop):
    page = build_app(shop.recommender)
    [bar] = [b for b in page.blocks.values() if getattr(b, "elem_id", "") == "address"]
    assert '"new"' in bar.js_on_load
    [control] = [b for b in page.blocks.values() if getattr(b, "elem_id", "") == "new-items"]
    assert control.value == "tuned"
