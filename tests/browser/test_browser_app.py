"""A person's path through the app, in a real browser, with the network cable out."""

import json
import re

import pytest
from app_server import launched
from fake_bundle import FakeEncoder, picture, with_arrival

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(fake_bundle, tmp_path_factory):
    """The app, served in this process on a free port."""
    import app  # noqa: F401
    from app.ui import build_app
    from tpad.bundle import Bundle
    from tpad.recommender import Recommender

    folder = with_arrival(fake_bundle, tmp_path_factory.mktemp("browser") / "bundle")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    page = build_app(Recommender(Bundle.load(folder, encoder=FakeEncoder())))
    monkeypatch.undo()
    url = launched(page)
    yield url
    page.close()


def elements(page):
    return page.locator("#session .tp-cell:not(.tp-target)")


def first_titles(page, n: int = 3) -> list[str]:
    return page.locator("#next .tp-title").all_inner_texts()[:n]


def test_build_a_session_and_read_what_comes_next(visit):
    page = visit()
    page.get_by_role("button", name="Clear the session").click()
    expect(page.get_by_text("Start with one product.")).to_be_visible()

    page.locator("#search textarea").fill("red case")
    expect(page.locator("#catalogue .tp-title").first).to_have_text(re.compile("red case"))
    page.locator("#catalogue .tp-card").first.click()
    expect(elements(page)).to_have_count(1)
    expect(page.locator("#next .tp-card")).to_have_count(12)
    alone = first_titles(page, 12)

    page.locator("#search textarea").fill("")
    expect(page.locator("#catalogue .tp-card")).to_have_count(48)
    page.locator("#catalogue .tp-more").scroll_into_view_if_needed()
    expect(page.locator("#catalogue .tp-card")).to_have_count(60)
    expect(page.locator("#catalogue .tp-more")).to_have_count(0)
    for number in (3, 4, 5):  # quick clicks, none of which may get lost
        page.locator("#catalogue .tp-card").nth(number).click()
    expect(elements(page)).to_have_count(4)
    expect(page.locator("#next .tp-title").first).not_to_have_text("")
    page.wait_for_function(
        "before => [...document.querySelectorAll('#next .tp-title')].map(e => e.innerText)"
        ".join() !== before",
        arg=",".join(alone),
    )

    names = [c.get_attribute("title") for c in elements(page).all()]
    elements(page).nth(0).get_by_role("button", name="to the right").click()
    expect(elements(page).nth(0)).to_have_attribute("title", names[1])
    elements(page).nth(0).get_by_role("button", name="Remove").click()
    expect(elements(page)).to_have_count(3)
    page.get_by_role("button", name="Undo the last change").click()
    expect(elements(page)).to_have_count(4)
    page.locator("#next .tp-card").first.click()
    expect(elements(page)).to_have_count(5)


def test_upload_a_picture_and_see_a_bad_one_refused(visit, tmp_path):
    picture("blue", 5, 300).save(tmp_path / "mine.png")
    (tmp_path / "bad.png").write_bytes(b"no picture at all")
    page = visit()
    before = elements(page).count()
    page.get_by_role("button", name="Add a picture of your own").click()
    page.locator("#own-picture input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.locator("#own-picture img")).to_be_visible()
    page.get_by_label("Title (optional)").fill("blue thing")
    page.locator("#own-add").click()
    expect(elements(page)).to_have_count(before + 1)
    last = elements(page).last
    expect(last).to_have_attribute("title", "blue thing")
    expect(last).to_contain_text("yours")
    assert last.locator("img").get_attribute("src").startswith("data:image/webp")
    expect(page.locator("#own-picture img")).to_have_count(0)

    page.locator("#own-picture input[type=file]").set_input_files(tmp_path / "bad.png")
    expect(page.locator("#own-picture img")).to_have_count(1)
    page.locator("#own-add").click()
    expect(page.get_by_text("bad.png is not a picture that can be read")).to_be_visible()
    expect(elements(page)).to_have_count(before + 1)


def test_add_a_new_arrival(visit):
    page = visit()
    page.locator("#place").get_by_text("New arrivals").click()
    expect(page.locator("#catalogue .tp-card")).to_have_count(1)
    page.locator("#catalogue .tp-card").click()
    expect(elements(page).last).to_contain_text("arrival")


def test_reveal_and_compare(visit):
    page = visit()
    expect(page.locator(".tp-verdict")).to_have_count(0)
    page.get_by_role("button", name="Reveal the item").click()
    expect(page.locator(".tp-verdict")).to_contain_text("true next item")

    page.get_by_role("tab", name="Compare").click()
    columns = page.locator("#compare .tp-col")
    expect(columns).to_have_count(4)
    expect(columns.nth(1)).to_contain_text("of 10 shared")
    expect(columns.nth(1)).to_contain_text("RBO")
    expect(columns.nth(0)).to_contain_text("true next item: #")
    expect(page.locator("#bump .js-plotly-plot")).to_be_visible()
    expect(
        page.locator("#bump .imagelayer-above image, #bump .layer-above image").first
    ).to_be_visible()

    page.locator("#places").get_by_text("first 5").click()
    expect(columns.nth(0).locator(".tp-line")).to_have_count(5)
    page.get_by_role("button", name="Clear the session").click()
    expect(page.locator("#compare")).to_contain_text("Start with one product.")


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_choose_how_many_new_items_are_shown(visit, size):
    page = visit(viewport=size)
    cost, cold = page.locator("#next .tp-cost"), page.locator("#next .tp-badge-cold")
    setting = page.locator("#new-items")
    setting.get_by_text("most").click()
    expect(page).to_have_url(re.compile("new=most"))
    expect(cost).to_contain_text("50% of the first 20 places")
    expect(cold.first).to_be_attached()
    setting.locator("input:checked").focus()
    for _ in range(6):  # to the first
        page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("new=never"))
    expect(cost).to_contain_text("New items are left out")
    expect(cold).to_have_count(0)
    page.reload()
    expect(setting.locator("input:checked")).to_have_value("never")
    expect(cost).to_contain_text("New items are left out")
    box = setting.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare")).to_contain_text("as set under Recommend: never")


def test_ask_why_with_the_keyboard(visit):
    page = visit()
    why = page.locator("#next .tp-why").nth(1)
    title = page.locator("#next .tp-title").nth(1).inner_text()
    why.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Why this item?")
    expect(panel).to_contain_text(title)
    expect(panel).to_contain_text("of the model’s weight")
    expect(panel.locator(".tp-elements > li")).to_have_count(elements(page).count())
    expect(panel.locator(".tp-reasons > li").first).to_contain_text("the weight")
    expect(panel.locator(".tp-near li")).to_have_count(5)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(why).to_be_focused()
    page.keyboard.press("Enter")  # the same question again
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    expect(page.locator("dialog")).to_have_count(0)


def test_share_a_session_by_link(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#catalogue .tp-card").nth(2).click()
    page.locator("#model").click()
    page.get_by_role("option", name="Vision tower", exact=True).click()
    expect(page.locator(".tp-note")).to_contain_text("Vision tower ranked")
    page.get_by_role("button", name="Share this session").click()
    menu = page.locator("#tp-share")
    expect(menu).to_be_visible()
    expect(menu).to_have_attribute("data-link", re.compile("model=vision$"))
    menu.get_by_role("button", name="Copy").click()
    expect(menu.get_by_role("button", name="Copied ✓")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "/?session=item-" in link

    other = visit(query=link[link.index("?") :])
    expect(other.locator("#session")).to_contain_text("A session from a link")
    names = [cell.get_attribute("title") for cell in elements(page).all()]
    assert [cell.get_attribute("title") for cell in elements(other).all()] == names
    expect(other.locator(".tp-note")).to_contain_text("Vision tower ranked")
    assert first_titles(other, 12) == first_titles(page, 12)


def test_a_link_that_does_not_fit_gets_a_sentence_and_the_example(visit):
    page = visit(query="?session=item-0001,%3Cscript%3E&model=tpad")
    expect(page.get_by_text("This link does not fit the shop")).to_be_visible()
    expect(page.locator("#session")).to_contain_text("A shopper from the test sessions")


def test_save_a_session_with_an_upload_and_open_it_elsewhere(visit, tmp_path):
    picture("blue", 5, 300).save(tmp_path / "mine.png")
    page = visit()
    page.get_by_role("button", name="Add a picture of your own").click()
    page.locator("#own-picture input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.locator("#own-picture img")).to_be_visible()
    page.locator("#own-add").click()
    expect(elements(page).last).to_contain_text("yours")
    page.get_by_role("button", name="Share this session").click()
    expect(page.locator("#tp-share")).to_contain_text("cannot contain an item of your own")
    for number in (1, 2):  # the same session can be saved twice
        if number == 2:
            page.get_by_role("button", name="Share this session").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as a file").click()
    download.value.save_as(tmp_path / "session.json")
    assert json.loads((tmp_path / "session.json").read_text())["format"] == "tpad-session"

    other = visit()
    other.locator("#share input[type=file]").set_input_files(tmp_path / "session.json")
    expect(other.locator("#session")).to_contain_text("A session from a file")
    expect(elements(other).last).to_contain_text("yours")
    expect(elements(other)).to_have_count(elements(page).count())

    (tmp_path / "bad.json").write_text("{}")
    other.locator("#share input[type=file]").set_input_files(tmp_path / "bad.json")
    expect(other.get_by_text("This file is not a saved session")).to_be_visible()
    expect(elements(other).last).to_contain_text("yours")


def test_the_map_is_made_and_follows_the_session(visit):
    page = visit()
    page.get_by_role("tab", name="Compare").click()
    plot = page.locator("#map .js-plotly-plot")
    expect(plot).to_be_visible()
    expect(plot).to_contain_text("Session, in order")
    count = elements(page).count()
    expect(plot.locator(".textpoint")).to_have_count(count)
    page.locator("#session").get_by_role("button", name=re.compile("^Remove")).first.click()
    expect(plot.locator(".textpoint")).to_have_count(count - 1)
    page.locator("#map-of").click()
    page.get_by_role("option", name="Vision tower", exact=True).click()
    expect(page.get_by_text("similar according to Vision tower")).to_be_visible()


def test_visitors_do_not_see_each_other(visit):
    first, second = visit(), visit()
    count = elements(second).count()
    first.get_by_role("button", name="Clear the session").click()
    expect(elements(first)).to_have_count(0)
    second.locator("#catalogue .tp-card").first.click()
    expect(elements(second)).to_have_count(count + 1)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_fits_a_phone_in_light_and_dark(visit, mode):
    page = visit(viewport=PHONE, color_scheme=mode, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    colour = page.locator("#next .tp-title").first.evaluate("e => getComputedStyle(e).color")
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (brightness(colour) > brightness(back)) == (mode == "dark")
    assert abs(brightness(colour) - brightness(back)) > 120
    page.locator("#catalogue .tp-card").first.tap()
    expect(elements(page).last).to_be_visible()


def brightness(colour: str) -> float:
    return sum(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) / 3


def test_all_pictures_load_and_have_words(visit):
    page = visit()
    images = page.locator("#session img, #next img")
    for image in images.all():
        assert image.get_attribute("alt")
        image.evaluate("e => e.decode()")
        assert image.evaluate("e => e.naturalWidth") == 64
