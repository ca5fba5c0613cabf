"""A session as a link and as a file: round trips, and what others may have written into them."""

import base64
import io
import json
import random
from urllib.parse import parse_qsl

import numpy as np
import pytest
from fake_bundle import FakeEncoder, with_arrival
from PIL import Image
from test_app_views import HOSTILE, Reader

from app.shell import actions, sharing
from app.shell.session import MAX_ELEMENTS, Element, Snapshot, VisitorSession
from app.shell.share_menu import menu
from app.shell.shop import with_item_facts
from app.ui import build_app, open_shop
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.items import NewItem
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def shop(fake_bundle, tmp_path_factory):
    folder = with_arrival(fake_bundle, tmp_path_factory.mktemp("sharing") / "bundle")
    return open_shop(Recommender(Bundle.load(folder, encoder=FakeEncoder())))


@pytest.fixture(scope="module")
def own(shop):
    image = Image.frombytes("RGB", (60, 40), random.Random(0).randbytes(60 * 40 * 3))
    content = NewItem(image, "my thing", price=3.5)
    return actions.own_element(shop, content, "data:image/webp;base64,AAAA")


def session_of(shop, *ids) -> VisitorSession:
    return VisitorSession(Snapshot(tuple(shop.catalogue.element(item) for item in ids)))


def read(html: str) -> Reader:
    return Reader(html.replace("<input", "<img"))  # neither has an end tag


def opened(shop, query: str) -> sharing.Shared | None:
    return sharing.read_link(shop, dict(parse_qsl(query.removeprefix("?"))))


def saved(shop, session, **changes) -> str:
    found = shop.recommender.recommend(session.values, 3, True, "vision")
    settings = {"k": 3, "exclude_seen": True}
    text = sharing.save(shop, session, "vision", settings, with_item_facts(shop, found))
    return json.dumps(json.loads(text) | changes)


def test_a_link_opens_the_very_session_again(shop):
    session = session_of(shop, "item-0004", "arrival:0", "item-0001")
    query = sharing.link(session, "vision")
    assert query == "?session=item-0004,arrival:0,item-0001&model=vision"
    shared = opened(shop, query)
    assert shared.snapshot.elements == session.elements
    assert shared.model == "vision"
    assert not shared.snapshot.target


def test_a_borrowed_session_keeps_what_is_to_be_guessed_and_hides_it(shop):
    example = VisitorSession(shop.catalogue.example())
    table = opened(shop, sharing.link(example.reveal(), "tpad")).snapshot
    assert table.target == example.now.target
    assert not table.revealed


def test_ids_with_signs_of_their_own_survive_a_link():
    ids = ["a,b", "c&d=e", "50 %", "ü/ø?", "%2C", HOSTILE]
    session = VisitorSession(Snapshot(tuple(Element(i, i) for i in ids), target=HOSTILE))
    query = dict(parse_qsl(sharing.link(session, "m&m").removeprefix("?")))
    assert [sharing.unquote(part) for part in query["session"].split(",")] == ids
    assert query["next"] == HOSTILE
    assert query["model"] == "m&m"


def test_a_link_leaves_out_what_is_the_visitors_own_and_the_menu_says_so(shop, own):
    session = session_of(shop, "item-0001").add(own)
    assert sharing.left_out(session) == 1
    assert "session=item-0001&" in sharing.link(session, "tpad")
    assert "cannot contain an item of your own" in read(menu(session, "tpad")).text
    only = VisitorSession().add(own)
    assert sharing.link(only, "tpad") == ""
    assert "Copy" not in menu(only, "tpad")
    assert "disabled" in menu(VisitorSession(), "tpad")


def test_a_page_without_a_session_in_its_address_opens_none(shop):
    assert opened(shop, "?__theme=dark") is None


@pytest.mark.parametrize(
    "query",
    [
        "session=&model=tpad",
        "session=item-0001,no-such",
        "session=item-0001&model=nobody",
        "session=item-0001&next=no-such",
        "session=arrival:1",
        "session=arrival:-1",
        "session=arrival:" + "9" * 3000,
        "session=../../etc/passwd",
        "session=" + ",".join(["item-0001"] * (MAX_ELEMENTS + 1)),
        "session=" + "x" * 5000,
        "session=%00",
    ],
)
def test_hostile_and_outdated_links_get_one_sentence(shop, query):
    with pytest.raises(DataError, match="does not fit the shop") as caught:
        sharing.read_link(shop, dict(parse_qsl(query, keep_blank_values=True)))
    assert len(str(caught.value)) < 250


def test_a_file_opens_the_very_session_again_with_its_pictures(shop, own):
    session = session_of(shop, "item-0004", "arrival:0").add(own)
    shared = sharing.read_file(shop, saved(shop, session))
    assert shared.model == "vision"
    assert shared.snapshot.elements[:2] == session.elements[:2]
    mine = shared.snapshot.elements[2]
    assert (mine.title, mine.price, mine.is_new) == ("my thing", 3.5, True)
    assert mine.picture.startswith("data:image/webp;base64,")
    assert mine.picture != own.picture  # the thumbnail is made anew
    for model in shop.models:
        one, other = (
            shop.recommender.scores(each.values, model)
            for each in (session, VisitorSession(shared.snapshot))
        )
        np.testing.assert_array_equal(one, other)


def test_a_file_tells_what_was_recommended(shop):
    facts = json.loads(saved(shop, session_of(shop, "item-0007", "item-0008")))
    expected = shop.recommender.recommend(["item-0007", "item-0008"], 3, True, "vision")
    assert [r["id"] for r in facts["recommendations"]] == expected["item_id"].tolist()
    assert facts["items"][1]["price"] is None  # unknown: JSON has no NaN
    assert facts["settings"] == {"k": 3, "exclude_seen": True}


def test_a_revealed_item_stays_revealed_in_a_file(shop):
    session = VisitorSession(shop.catalogue.example()).reveal()
    table = sharing.read_file(shop, saved(shop, session)).snapshot
    assert table.revealed
    assert table.target == session.now.target


def test_a_file_that_would_be_too_large_keeps_smaller_pictures(shop, own, monkeypatch):
    session = VisitorSession().add(own)
    whole = saved(shop, session)
    monkeypatch.setattr(sharing, "MAX_FILE", len(whole) // 2)
    assert len(saved(shop, session)) < len(whole)


def webp(size=(40, 40)) -> str:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "WEBP")
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a saved session"),
        ("[" * 100_000, "not a saved session"),
        ("[1, 2]", "not a saved session"),
        ('{"format": "other"}', "not a saved session"),
        ({"version": 2}, "another version"),
        ({"items": "item-0001"}, "damaged"),
        ({"items": ["item-0001"]}, "damaged"),
        ({"items": []}, "1 to"),
        ({"items": [{"id": "item-0001"}] * (MAX_ELEMENTS + 1)}, "1 to"),
        ({"items": [{"id": "nothing"}]}, "no item 'nothing'"),
        ({"items": [{"id": 7}]}, "short text"),
        ({"items": [{"id": "x" * 500}]}, "short text"),
        ({"items": [{"id": "\ud83d"}]}, "id holds half of a character"),
        ({"items": [{"title": "\ud83d"}]}, "title .* holds half of a character"),
        ({"items": [{}]}, "title or a picture"),
        ({"items": [{"title": ["x"]}]}, "title or a picture"),
        ({"items": [{"title": "x", "price": -1}]}, "price"),
        ({"items": [{"title": "x", "price": float("nan")}]}, "price"),
        ({"items": [{"title": "x", "price": True}]}, "price"),
        ({"items": [{"picture": "https://elsewhere.example/a.webp"}]}, "damaged"),
        ({"items": [{"picture": "/etc/passwd"}]}, "damaged"),
        ({"items": [{"picture": "data:image/webp;base64,%%"}]}, "damaged"),
        ({"items": [{"picture": "data:image/webp;base64,AAAA"}]}, "not a picture"),
        ({"items": [{"picture": webp((4, 4))}]}, "picture"),
        ({"model": "nobody"}, "model"),
        ({"model": ["tpad"]}, "model"),
        ({"next": "nothing"}, "true next item"),
        ({"next": {"a": 1}}, "true next item"),
    ],
)
def test_a_file_that_is_not_ours_gets_one_sentence(shop, text, says):
    if isinstance(text, dict):
        text = saved(shop, session_of(shop, "item-0001"), **text)
    with pytest.raises(DataError, match=says):
        sharing.read_file(shop, text)


def test_a_file_beyond_the_limit_is_not_read(shop):
    with pytest.raises(DataError, match="8 MB"):
        sharing.read_file(shop, " " * (sharing.MAX_FILE + 1))


def test_faults_are_found_before_anything_is_encoded(fake_bundle):
    encoder = FakeEncoder()
    shop = open_shop(Recommender(Bundle.load(fake_bundle, encoder=encoder)))
    items = [{"picture": webp()}, {"id": "nothing"}]
    with pytest.raises(DataError):
        sharing.read_file(shop, saved(shop, session_of(shop, "item-0001"), items=items))
    assert not encoder.calls


def test_the_menu_stays_whole_whatever_the_ids_are():
    session = VisitorSession(Snapshot((Element(HOSTILE, HOSTILE),)))
    page = read(menu(session, HOSTILE))
    assert "script" not in [tag for tag, _ in page.tags]


def test_the_page_asks_its_address_for_a_session(shop):
    page = build_app(shop.recommender)
    names = [function.name for function in page.fns.values()]
    assert {"moved", "from_file", "to_file"} <= set(names)
