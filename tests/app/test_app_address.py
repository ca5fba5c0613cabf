"""The page's address: from a query to what the page shows, whatever a query holds."""

import json

import pytest
from fake_bundle import FakeEncoder, with_arrival

from app.cold_start import browser as cold_start
from app.dashboard import address as dashboard
from app.dashboard.view import LEADERBOARD, View
from app.shell.actions import strip_html, uploaded
from app.shell.address import reopened
from app.shell.address_fields import (
    SESSION_KEYS,
    choice,
    flag,
    read_message,
    several,
    words,
)
from app.shell.own_items import MAX_ITEMS, OwnItems, new_key
from app.shell.session import Element, Snapshot, VisitorSession
from app.shell.sharing import link, read_address
from app.ui import build_app, open_shop
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def shop(fake_bundle, tmp_path_factory):
    folder = with_arrival(fake_bundle, tmp_path_factory.mktemp("address") / "bundle")
    return open_shop(Recommender(Bundle.load(folder, encoder=FakeEncoder())))


def session_of(shop, *ids: str) -> VisitorSession:
    session = VisitorSession()
    for item in ids:
        session = session.add(shop.catalogue.element(item))
    return session


def told(shop, session) -> dict[str, str]:
    """What the strip tells the browser of the session."""
    from html_reader import Reader

    [attributes] = [a for tag, a in Reader(strip_html(shop, session)).tags if tag == "section"]
    return {name.removeprefix("data-"): text for name, text in attributes.items()}


def test_a_session_is_found_again_by_its_address(shop):
    session = session_of(shop, "item-0001", "arrival:0", "item-0003")
    query = {"session": told(shop, session)["session"]}
    table, gone = read_address(shop, query)
    assert table.elements == session.elements and gone == 0
    assert read_address(shop, {}) == (None, 0)
    assert read_address(shop, {"session": ""}) == (Snapshot(), 0)


def test_a_borrowed_session_keeps_its_source_and_the_item_to_guess(shop):
    session = VisitorSession(shop.catalogue.example())
    facts = told(shop, session)
    table, _ = read_address(shop, facts, facts["all"], facts["source"])
    assert table == session.now
    assert told(shop, session.reveal())["revealed"] == "1"


def test_an_item_of_ones_own_is_found_again_but_never_in_a_link(shop):
    session = session_of(shop, "item-0001").add(uploaded(shop, None, "my thing", ""))
    facts, key = told(shop, session), session.elements[1].key
    assert key in facts["all"] and key not in facts["session"] and key not in link(session, "tpad")
    assert read_address(shop, facts, facts["all"])[0].elements == session.elements
    shop.own._kept.clear()
    table, gone = read_address(shop, facts, facts["all"])
    assert [e.item_id for e in table.elements] == ["item-0001"] and gone == 1


@pytest.mark.parametrize("everything", ["nothing", "item-0001," * 40, "%00", "x" * 900])
def test_what_does_not_fit_the_shop_gets_a_sentence(shop, everything):
    with pytest.raises(DataError):
        read_address(shop, {}, everything)


def test_own_items_are_kept_for_a_while_and_not_without_end():
    own = OwnItems(keep_seconds=1000)
    elements = [Element("", "t", key=new_key()) for _ in range(MAX_ITEMS + 1)]
    for element in elements:
        own.keep(element)
    assert own.get(elements[0].key) is None and own.get(elements[-1].key) is elements[-1]
    assert own.get("upload:1") is None
    gone = OwnItems(keep_seconds=0)
    assert gone.get(gone.keep(elements[0]).key) is None


def test_back_is_one_with_undo(shop):
    first = session_of(shop, "item-0001")
    second = first.add(shop.catalogue.element("item-0002"))
    assert reopened(second, first.now) == first
    assert reopened(second, second.now) is second
    other = reopened(second, Snapshot())
    assert other.now == Snapshot() and other.past[-1] == second.now


def test_controls_take_only_what_is_offered():
    assert choice([12, 20])("20", {}) == 20
    assert choice([12, 20])("<script>", {}) == 12
    assert several(["a", "b", "c"], 2)("c,x,a,b", {}) == ["c", "a"]
    assert flag("1", {}) and not flag("yes", {})
    assert words("any", {}) == "any"


def test_the_dashboard_is_asked_for_what_the_address_says():
    assert dashboard.view_of({}) == View()
    view = dashboard.view_of(
        {"section": "runs", "run": "r1", "metric": "P@20", "models": "a,b", "x": "y"}
    )
    assert (view.section, view.run, view.metric, view.models) == ("runs", "r1", "P@20", ("a", "b"))
    assert dashboard.view_of({"section": "../etc", "metric": "love"}) == View(LEADERBOARD)


@pytest.mark.parametrize(
    "data",
    [None, 7, [], {"query": 3}, {"query": {"k": [1], "q": "x" * 500}, "all": 5, "source": []}],
)
def test_nothing_else_is_believed_of_what_a_browser_sends(data):
    assert read_message(data) == ({}, "", "")


def test_the_browser_knows_every_key_and_every_tab(shop):
    page = build_app(shop.recommender)
    [bar] = [b for b in page.blocks.values() if getattr(b, "elem_id", "") == "address"]
    keys = json.loads(bar.js_on_load.split("const KEYS = ")[1].split(";")[0])
    assert len(keys) == len(set(keys))
    known = {*SESSION_KEYS, *dashboard.KEYS.values()}
    assert known | set(cold_start.KEYS.values()) | {"tab", "run", "model", "q"} <= set(keys)
    tabs = json.loads(bar.js_on_load.split("const TABS = ")[1].split(";")[0])
    assert tabs["Cold-start cases"] == "cold-start" and len(tabs) == 5
