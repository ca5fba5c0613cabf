"""The page without a mouse, without sight, on a narrow screen, and with titles of any kind."""

import pandas as pd
import pytest
from app_server import launched
from fake_bundle import FakeEncoder, make_fake_bundle

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

TITLES = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    "\u202eevil reversed title",
    "قميص رجالي قطني أزرق مقاس كبير جدا",
    "x" * 300,
    "\u2067isolated \u202e and open",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The app on a small shop of odd titles, served in this process on a free port."""
    import fake_bundle

    import app  # noqa: F401
    from app.ui import build_app
    from tpad.bundle import Bundle
    from tpad.recommender import Recommender

    plain = fake_bundle.make_fake_dataset

    def odd(folder, *arguments, **options):
        plain(folder, *arguments, **options)
        table = pd.read_csv(folder / "items.csv", keep_default_na=False)
        table["title"] = [TITLES[row % len(TITLES)] + f" {row}" for row in range(len(table))]
        table["category"] = [
            ("Phones" * 30, "\u202eseirecorG")[row % 2] for row in range(len(table))
        ]
        table.to_csv(folder / "items.csv", index=False)
        return fake_bundle.Dataset.from_world(folder)

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(fake_bundle, "make_fake_dataset", odd)
    folder = make_fake_bundle(tmp_path_factory.mktemp("odd") / "bundle")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    page = build_app(Recommender(Bundle.load(folder, encoder=FakeEncoder())))
    monkeypatch.undo()
    url = launched(page)
    yield url
    page.close()


def said(page):
    return page.locator("#tp-status")


def test_the_results_come_before_the_catalogue_and_can_be_skipped_to(visit):
    page = visit()
    page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to the results")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Recommendations")).to_be_focused()
    for _ in range(5):  # four settings, then the first card
        page.keyboard.press("Tab")
    expect(page.locator("#next .tp-card").first).to_be_focused()
    expect(page.locator("[role=option]")).to_have_count(0)  # no menu stays open behind
    headings = page.get_by_role("tabpanel").get_by_role("heading").all_inner_texts()
    assert headings[:2] == ["Recommendations", "Products"]


def test_the_focus_returns_and_changes_are_said(visit):
    page = visit()
    count = page.locator("#session [data-act=remove]").count()
    page.locator("#session [data-act=remove]").nth(1).press("Enter")
    expect(said(page)).to_contain_text(f"Session: {count - 1} items")
    expect(said(page)).to_contain_text("Removed ")
    expect(page.locator("#session [data-act=remove]").nth(1)).to_be_focused()
    page.locator("#session [data-act=right]").nth(0).press("Enter")
    expect(said(page)).to_contain_text("Moved.")
    expect(page.locator("#session [data-act=right]").nth(1)).to_be_focused()
    for _ in range(2):
        page.locator("#session [data-act=undo]").press("Enter")
    expect(said(page)).to_contain_text("Added ")
    expect(page.locator("#session [data-act=shopper]")).to_be_focused()  # nothing to undo is left
    page.locator("#session [data-act=reveal]").press("Enter")
    expect(page.locator("#session .tp-target")).to_be_focused()
    expect(said(page)).to_contain_text("Clicked next:")


def test_nothing_takes_the_focus_under_the_session(visit):
    page = visit()
    page.locator("#catalogue .tp-card").nth(40).focus()
    for _ in range(24):
        page.keyboard.press("Shift+Tab")
        top, below = page.evaluate(
            "[document.activeElement.getBoundingClientRect().top,"
            " document.querySelector('#session').getBoundingClientRect().bottom]"
        )
        assert top >= below


def test_a_menu_opens_on_a_key_and_keeps_the_focus(visit):
    page = visit()
    page.get_by_role("button", name="Skip to the results").press("Enter")
    for _ in range(2):
        page.keyboard.press("Tab")
    menu, options = page.locator("#k input"), page.locator("[role=option]")
    expect(menu).to_be_focused()
    expect(options).to_have_count(0)
    before, top = menu.input_value(), page.evaluate("scrollY")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_be_visible()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("scrollY") == top
    page.keyboard.press("Enter")
    expect(options).to_have_count(0)
    expect(menu).not_to_have_value(before)
    expect(menu).to_be_focused()
    page.keyboard.press(" ")
    expect(options.first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label("leave out seen items")).to_be_focused()


def test_arrow_keys_choose_among_radio_buttons(visit):
    page = visit()
    page.get_by_label("never clicked only").focus()
    page.keyboard.press("Tab")
    group = page.get_by_role("radiogroup", name="Department")
    radios = group.get_by_role("radio")
    expect(radios.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(radios.nth(1)).to_be_focused()
    expect(radios.nth(1)).to_be_checked()
    expect(said(page)).to_contain_text("products found")
    page.keyboard.press("Tab")
    expect(group.locator(":focus")).to_have_count(0)


def test_what_takes_the_focus_is_wholly_in_sight_on_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844})
    page.locator("#session [data-act=shopper]").focus()
    for _ in range(50):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
              const {left, right} = document.activeElement.getBoundingClientRect();
              return left >= 0 && right <= innerWidth;
            }"""
        )
        assert seen, page.evaluate("document.activeElement.outerHTML")


def test_choices_are_removed_by_name_and_a_tab_of_the_menu_takes_the_focus(visit):
    page = visit(viewport={"width": 390, "height": 844})
    page.get_by_role("tab", name="Compare").press("Enter")
    token = page.locator("#tabs .token").first
    page.keyboard.press("Tab")
    expect(token.locator(".token-remove")).to_have_attribute(
        "title", f"Remove {token.inner_text().strip()}"
    )
    page.locator(".overflow-menu > button").first.press("Enter")
    page.locator(".overflow-dropdown").get_by_text("About").press("Enter")
    expect(page.get_by_role("tab", name="About")).to_be_focused()
    expect(page.locator("#session")).to_be_hidden()


def test_the_share_menu_closes_when_it_is_left(visit):
    page = visit()
    page.get_by_role("button", name="Share this session").press("Enter")
    expect(page.locator("#tp-share")).to_be_visible()
    page.locator("#tp-share button").last.focus()
    page.keyboard.press("Tab")
    expect(page.locator("#tp-share")).to_be_hidden()


def test_a_full_session_is_told_once_and_not_at_every_click(visit):
    page = visit()
    cards = page.locator("#catalogue .tp-card")
    for number in range(30):
        cards.nth(number).click()
    expect(page.locator(".tp-full")).to_contain_text("Full: 24 items")
    for number in range(3):
        cards.nth(number).click()
    expect(page.locator("#session [data-act=remove]")).to_have_count(24)
    expect(page.locator(".toast-body")).to_have_count(0)
    expect(said(page)).to_contain_text("Full: 24 items")


@pytest.mark.parametrize("width", [320, 360])
def test_odd_titles_fit_a_narrow_screen(visit, open_tab, width):
    page = visit(viewport={"width": width, "height": 640}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("Clear", "Undo", "Share", "Random"):
        tool = page.locator(".tp-tools button").filter(has_text=name)
        box = tool.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] >= 24
    assert "\u202e" not in page.locator("body").inner_text()
    open_tab(page, "Compare")
    expect(page.locator("#bump-key li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_words_are_told_from_what_is_behind_them(visit, mode):
    page = visit(color_scheme=mode)
    for words in (
        "#tabs [role=tab][aria-selected=true]",
        ".tp-note",
        ".tp-cost",
        ".tp-source",
        ".tp-price",
        ".tp-score",
        "#place label span",
        ".tp-column",
    ):
        assert page.locator(words).first.evaluate(CONTRAST) >= 4.5, words
    hint = f"(e) => ({CONTRAST})(e, getComputedStyle(e, '::placeholder').color)"
    assert page.locator("#search textarea").evaluate(hint) >= 4.5


CONTRAST = """(element, text) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0.05);
  let behind = element;
  while (behind.parentElement && rgba(getComputedStyle(behind).backgroundColor)[3] < 255)
    behind = behind.parentElement;
  const both = [rgba(text || getComputedStyle(element).color),
                rgba(getComputedStyle(behind).backgroundColor)].map(light);
  return Math.max(...both) / Math.min(...both);
}"""


@pytest.mark.parametrize("width", [320, 1280])
def test_buttons_of_the_session_are_large_enough_to_touch(visit, width):
    page = visit(viewport={"width": width, "height": 700})
    page.locator("#session .tp-cell-tools button").first.wait_for()
    smallest = page.evaluate("""() => Math.min(
      ...[...document.querySelectorAll('#session .tp-cell-tools button')].flatMap((button) => {
        const {width, height} = button.getBoundingClientRect();
        return [width, height];
      }))""")
    assert smallest >= 24
