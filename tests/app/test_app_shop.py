"""The app on a small bundle: catalogue, steps, uploads, pictures, and the page as a whole."""

import io
import json
import random
import re
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from fake_bundle import FakeEncoder, list_again, picture
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.compare import tab as compare
from app.recommend import tab as recommend
from app.shell import actions
from app.shell.catalogue import ALL, ARRIVALS, LONGEST_BORROWED, Catalogue
from app.shell.pictures import UPLOAD_SIDE, encode, picture_routes, reencode
from app.shell.state import VisitorSession
from app.ui import FORGET_AFTER, MAX_UPLOAD, build_app, launch_options, open_shop
from tpad.bundle import Bundle
from tpad.errors import DataError, ImageError
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
        assert len(table.elements) <= LONGEST_BORROWED
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
    assert actions.step(shop, session, "reveal", "", rng).table.revealed
    assert actions.step(shop, session, "remove", "two", rng) == session
    with pytest.raises(DataError, match="reload"):
        actions.step(shop, session, "drop table", "", rng)


def test_recommendations_are_those_of_the_recommender(shop):
    session = session_of(shop, "item-0001", "item-0003")
    html = actions.recommendations_html(shop, session, "vision", 5, True)
    for item in shop.recommender.recommend(session.values, 5, True, "vision")["item_id"]:
        assert f'data-id="{item}"' in html
    assert "Vision tower ranked 60 products" in html


def test_the_revealed_item_is_placed_among_all(shop):
    session = VisitorSession(shop.catalogue.example())
    assert "true next" not in actions.recommendations_html(shop, session, "tpad", 5, True)
    session = session.reveal()
    order = shop.recommender.recommend(session.values, 60, True, "tpad")
    place = order.set_index("item_id")["rank"][session.table.target]
    html = actions.recommendations_html(shop, session, "tpad", 5, True)
    assert f"at place <b>{place}</b> of 60" in html


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


def test_an_upload_becomes_an_element_that_is_ranked_from(shop, tmp_path):
    Image.new("RGB", (1200, 600), "teal").save(tmp_path / "big.png")
    element = actions.uploaded(shop, str(tmp_path / "big.png"), "  my \n thing ", " 3,5 ")
    assert element.price == 3.5
    assert element.title == "my thing"
    assert element.picture.startswith("data:image/webp;base64,")
    assert element.content.image.size == (UPLOAD_SIDE, UPLOAD_SIDE // 2)
    session = session_of(shop, "item-0001").add(element)
    assert "Place 1:" in actions.recommendations_html(shop, session, "tpad", 5, True)


def test_an_upload_is_encoded_once_for_all_models(folder, tmp_path):
    encoder = FakeEncoder()
    shop = open_shop(Recommender(Bundle.load(folder, encoder=encoder)))
    picture("blue", 3).save(tmp_path / "a.png")
    element = actions.uploaded(shop, str(tmp_path / "a.png"), "", "")
    assert element.price is None
    calls = len(encoder.calls)
    for model in shop.models:
        actions.recommendations_html(shop, VisitorSession().add(element), model, 5, True)
    assert calls == len(encoder.calls) == 1


@pytest.mark.parametrize(
    ("path", "title", "price", "says"),
    [
        (None, " ", "", "picture or write"),
        (None, "x", "-1", "price"),
        (None, "x", "1.000,5", "price"),
        (None, "x", "nan", "price"),
    ],
)
def test_uploads_that_say_nothing_are_refused(shop, path, title, price, says):
    with pytest.raises(DataError, match=says):
        actions.uploaded(shop, path, title, price)


def whole_png(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 80).save(out, "PNG")
    return out.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A small PNG file whose header names a huge picture: a decompression bomb."""
    data = bytearray(whole_png())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def huge_jpeg(width: int, height: int) -> bytes:
    """A small JPEG file whose header names another size."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<svg onload=alert(1)>", "not a picture"),
        (b"<html><script>alert(1)</script></html>", "not a picture"),
        (b"", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run", "not a picture"),
        (whole_png()[:2000], "damaged or cut off"),
        (whole_png(4), "each side needs"),
        (claiming(60_000, 60_000), "pixels"),
        (claiming(9_000, 9_000), "pixels"),
        (huge_jpeg(60_000, 60_000), "pixels"),
    ],
    ids=["svg", "html", "empty", "postscript", "cut off", "tiny", "bomb", "large", "jpeg"],
)
def test_a_hostile_upload_gets_a_sentence(shop, tmp_path, data, says):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(ImageError, match=says) as caught:
        actions.uploaded(shop, str(tmp_path / "bad.png"), "", "")
    assert str(tmp_path) not in str(
        caught.value
    )  # where it lies on the server is nobody's business


def test_a_photograph_of_a_phone_is_shrunk_while_it_is_read(monkeypatch, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the phone was held upright
    Image.new("RGB", (8064, 6048), "teal").save(tmp_path / "phone.jpg", exif=exif)
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda self: decoded.append(self.size) or load(self))
    image, _ = reencode(str(tmp_path / "phone.jpg"))
    assert image.size == (UPLOAD_SIDE * 3 // 4, UPLOAD_SIDE)
    assert max(width * height for width, height in decoded) < 4_000_000  # of 48,771,072
    assert image.getpixel((10, 10))[0] < 10 < image.getpixel((10, 10))[1]
    assert int(MAX_UPLOAD.removesuffix("mb")) >= 16


def test_nothing_of_an_uploaded_file_survives_but_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg", exif=exif)
    image, url = reencode(str(tmp_path / "a.jpg"))
    assert not image.info
    assert b"where I live" not in encode(image, 64)
    assert len(url) < 20_000


def test_pictures_are_served_to_keep_and_only_by_number(shop):
    client = TestClient(Starlette(routes=picture_routes(shop.catalogue)))
    answer = client.get("/pictures/item/3?v=x")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
    assert client.get("/pictures/arrival/0").status_code == 200
    for wrong in ("item/60", "item/-1", "item/..%2f..%2fbundle.json", "arrival/1", "item/x"):
        assert client.get(f"/pictures/{wrong}").status_code == 404


def test_large_pictures_are_scaled_down(fake_bundle, tmp_path):
    made = tmp_path / "bundle"
    shutil.copytree(fake_bundle, made)
    catalogue = open_shop(Recommender(Bundle.load(made, encoder=FakeEncoder()))).catalogue
    noise = random.Random(0).randbytes(800 * 600 * 3)
    Image.frombytes("RGB", (800, 600), noise).save(made / "images" / "item-0002.webp", quality=95)
    answer = TestClient(Starlette(routes=picture_routes(catalogue))).get("/pictures/item/2")
    assert Image.open(io.BytesIO(answer.content)).size == (384, 288)


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
    assert all(listener.concurrency_limit is not None for listener in page.fns.values())
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
    assert len(listener.targets) >= 4


def test_the_page_starts_with_a_session_and_its_recommendations(shop):
    page = build_app(shop.recommender)
    values = [str(block.value) for block in page.blocks.values() if type(block).__name__ == "HTML"]
    assert any("tp-cell" in value for value in values)
    assert any("Place 1:" in value for value in values)


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
    assert actions.with_facts(shop, found)["title"].tolist() == [
        shop.catalogue.items["title"].iat[shop.catalogue.rows[i]] for i in found["item_id"]
    ]
