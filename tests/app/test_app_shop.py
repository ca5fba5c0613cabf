"""The app on a small bundle: catalogue, steps, recommendations, and the page as a whole."""

import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from fake_bundle import FakeEncoder, list_again, picture

from app.api.endpoints import ENDPOINTS
from app.compare import tab as compare
from app.recommend import tab as recommend
from app.recommend.recommendations import recommendations_html
from app.shell import actions
from app.shell.catalogue import ALL, ARRIVALS, MAX_BORROWED, Catalogue
from app.shell.session import VisitorSession
from app.shell.shop import with_item_facts
from app.shell.turns import WAITING
from app.ui import FORGET_AFTER, MAX_UPLOAD, build_app, launch_options, open_shop
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.items import NewItem
from tpad.recommender import Recommender

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(fake_bundle, tmp_path_factory):
    """The small bundle with two new arrivals, one of them without a picture that is there."""
    made = tmp_path_factory.mktemp("app") / "bundle"
    shutil.copytree(fake_bundle, made)
    (made / "arrivals").mkdir()
    picture("red", 20).save(made / "arrivals" / "one.webp")
    (made / "arrivals" / "arrivals.csv").write_text(
        "item_id,title,category,price,image\n"
        "n1,red kite,Sports,12.5,one.webp\n"
        "n2,lost thing,Sports,1,../../secret.webp\n"
    )
    list_again(made)
    return made


@pytest.fixture(scope="module")
def shop(folder):
    return open_shop(Recommender(Bundle.load(folder, encoder=FakeEncoder())))


def session_of(shop, *ids) -> VisitorSession:
    session = VisitorSession()
    for item in ids:
        session = actions.step(shop, session, "add", item, random.Random(0))
    return session


def test_search_finds_every_word_anywhere_in_any_case(shop):
    found = shop.catalogue.search("CASE red")
    assert len(found)
    assert all("red" in title and "case" in title for title in found["title"])
    assert len(shop.catalogue.search()) == len(shop.catalogue.items)
    assert shop.catalogue.search(".*").empty  # no regular expressions


def test_filters_narrow_down(shop):
    phones = shop.catalogue.search(place="Phones")
    assert set(phones["category"]) == {"Phones"}
    cold = shop.catalogue.search(cold_only=True)
    assert cold["is_cold"].all()
    assert len(cold) == shop.recommender.cold.sum()


def test_a_second_filter_is_offered_where_the_table_has_types(fake_bundle, monkeypatch):
    shop = open_shop(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))
    assert shop.catalogue.kinds() == []
    kinds = [title.split()[1] for title in shop.catalogue.items["title"]]
    dataset = shop.recommender.bundle.dataset
    typed = replace(dataset, items=dataset.items.assign(attr_type=kinds))
    monkeypatch.setattr(shop.recommender.bundle, "dataset", typed)
    catalogue = Catalogue(shop.recommender)
    assert catalogue.kinds() == [ALL, *sorted(set(kinds))]
    assert set(catalogue.kinds("Phones")) == {ALL, "case", "phone", "charger"}
    assert catalogue.kinds(ARRIVALS) == []
    found = catalogue.search(place="Phones", kind="case")
    assert len(found)
    assert all(" case " in title for title in found["title"])


def test_pages_follow_each_other_without_gap_or_repeat(shop):
    first = recommend.found_page(shop, "no.")
    ids = re.findall('data-id="([^"]+)"', first)
    asked = unescape(re.search('data-next="([^"]+)"', first)[1])
    last = recommend.page_after(shop, asked)
    ids += re.findall('data-id="([^"]+)"', last)
    assert ids == shop.catalogue.search("no.")["item_id"].tolist()
    assert "data-next" not in last


@pytest.mark.parametrize(
    "asked",
    [
        None,
        7,
        "",
        "[]",
        "{}",
        "[" * 1500,
        "x" * 5000,
        '{"query": "", "place": "All", "kind": "All", "page": -1}',
        '{"query": "", "place": "All", "kind": "All", "page": 99999}',
        '{"query": "", "place": "All", "kind": "All", "page": 0.0}',
        '{"query": [1], "place": "All", "kind": "All", "page": 0}',
    ],
)
def test_pages_that_no_button_asks_for_are_empty(shop, asked):
    assert recommend.page_after(shop, asked) == ""


def test_places_are_the_departments_and_the_arrivals(shop):
    assert shop.catalogue.places[0] == ALL
    assert set(shop.catalogue.places[1:-1]) == {"Phones", "Groceries", "Sports"}
    assert shop.catalogue.places[-1] == ARRIVALS


def test_only_arrivals_with_a_picture_inside_their_folder_are_offered(shop):
    found = shop.catalogue.search("KITE", ARRIVALS)
    assert found["item_id"].tolist() == ["arrival:0"]
    assert len(shop.catalogue.arrivals) == 1
    element = shop.catalogue.element("arrival:0")
    assert element.is_new
    assert element.content.price == 12.5
    assert element.content.image.size == (64, 64)


@pytest.mark.parametrize("item", ["nothing", "arrival:1", "arrival:-1", "arrival:x", ""])
def test_unknown_items_are_told_in_a_sentence(shop, item):
    with pytest.raises(DataError, match="reload"):
        shop.catalogue.element(item)


def test_the_example_and_the_random_shopper_come_from_the_test_sessions(shop):
    tests = shop.catalogue.dataset.test
    names = shop.catalogue.items["item_id"].to_numpy()
    known = {tuple(names[rows]) for rows in tests.items}
    for table in (shop.catalogue.example(), shop.catalogue.random_shopper(random.Random(3))):
        assert len(table.elements) <= MAX_BORROWED
        assert (*(e.item_id for e in table.elements), table.target) in known
        assert not table.revealed


def test_every_step_by_its_name(shop):
    rng = random.Random(0)
    session = session_of(shop, "item-0001", "item-0002")
    session = actions.step(shop, session, "right", "0", rng)
    assert [e.item_id for e in session.elements] == ["item-0002", "item-0001"]
    session = actions.step(shop, session, "left", "1", rng)
    session = actions.step(shop, session, "remove", "0", rng)
    assert [e.item_id for e in session.elements] == ["item-0002"]
    session = actions.step(shop, session, "clear", "", rng)
    session = actions.step(shop, session, "undo", "", rng)
    assert len(session) == 1
    session = actions.step(shop, session, "shopper", "", rng)
    assert actions.step(shop, session, "reveal", "", rng).now.revealed
    assert actions.step(shop, session, "remove", "two", rng) == session
    with pytest.raises(DataError, match="reload"):
        actions.step(shop, session, "drop table", "", rng)


def test_recommendations_are_those_of_the_recommender(shop):
    session = session_of(shop, "item-0001", "item-0003")
    html = recommendations_html(shop, session, "vision", 5, True)
    for item in shop.recommender.recommend(session.values, 5, True, "vision")["item_id"]:
        assert f'data-id="{item}"' in html
    assert "Vision tower ranked 60 products" in html


def test_the_revealed_item_is_placed_among_all(shop):
    session = VisitorSession(shop.catalogue.example())
    assert "true next" not in recommendations_html(shop, session, "tpad", 5, True)
    session = session.reveal()
    order = shop.recommender.recommend(session.values, 60, True, "tpad")
    place = order.set_index("item_id")["rank"][session.now.target]
    html = recommendations_html(shop, session, "tpad", 5, True)
    assert f"at rank <b>{place}</b> of 60" in html


def test_comparison_covers_the_chosen_models_and_skips_unknown_ones(shop):
    session = session_of(shop, "item-0001", "item-0003")
    html, chart, key = compare.render(shop, session, ["vision", "no such"], 5)
    assert html.count('class="tp-col"') == 2
    assert len(chart.layout.xaxis.ticktext) == 2
    assert key.count("<li>") == len(chart.data)
    assert all(f"background:{line.line.color}" in key for line in chart.data)
    first = shop.recommender.recommend(session.values, 5, True, "vision")["item_id"].iat[0]
    assert f'data-id="{first}"' in html
    assert compare.render(shop, session, [], 5)[1] is None
    assert "Start with one product" in compare.render(shop, VisitorSession(), ["vision"], 5)[0]


def test_the_page_asks_nothing_of_other_hosts(shop):
    page = build_app(shop.recommender)
    style = launch_options(page)
    text = json.dumps(page.get_config_file(), default=str) + style["css"]
    text += style["theme"]._get_theme_css() + str(style["theme"]._stylesheets)
    for host in ("googleapis", "gstatic", "jsdelivr", "unpkg", "//cdn", "@import", "url(http"):
        assert host not in text, host


def test_what_visitors_may_send_and_wait_for_is_limited(shop):
    page = build_app(shop.recommender)
    options = launch_options(page)
    assert options["max_file_size"] == MAX_UPLOAD
    assert options["state_session_capacity"] <= 1000
    assert page.delete_cache[1] == FORGET_AFTER
    assert page._queue.max_size == 256
    unlimited = {f.name for f in page.fns.values() if f.concurrency_limit is None}
    in_turn = {"prepare", "from_file", *ENDPOINTS}  # see `app.shell.turns`
    assert unlimited == in_turn and options["max_threads"] > 5 * WAITING
    sessions = [
        b for b in page.blocks.values() if isinstance(getattr(b, "value", None), VisitorSession)
    ]
    assert [session.time_to_live for session in sessions] == [FORGET_AFTER]


@pytest.mark.parametrize("drawn", ["next", "compare"])
def test_one_listener_draws_each_list_so_that_no_older_answer_comes_last(shop, drawn):
    page = build_app(shop.recommender)
    (block,) = [b for b in page.blocks.values() if getattr(b, "elem_id", None) == drawn]
    (listener,) = [f for f in page.fns.values() if block in f.outputs]
    assert listener.trigger_mode == "always_last"
    assert len(listener.targets) >= 3


def test_the_page_starts_with_a_session_and_its_recommendations(shop):
    page = build_app(shop.recommender)
    values = [str(block.value) for block in page.blocks.values() if type(block).__name__ == "HTML"]
    assert any("tp-cell" in value for value in values)
    assert any("Rank 1:" in value for value in values)


def test_no_bundle_is_told_in_a_sentence_also_as_a_script(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "app" / "__main__.py", "--bundle", tmp_path / "none"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr


def test_new_items_and_ids_mix(shop):
    found = shop.recommender.recommend(["item-0001", NewItem(title="red case")], k=3)
    assert with_item_facts(shop, found)["title"].tolist() == [
        shop.catalogue.items["title"].iat[shop.catalogue.rows[i]] for i in found["item_id"]
    ]
