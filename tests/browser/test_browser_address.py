"""What a page shows is found again: after a reload, and by “back” and “forward”."""

import re

import pytest
from app_server import launched
from fake_bundle import FakeEncoder, picture
from fake_results import fill

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def address(fake_bundle, tmp_path_factory):
    """The app on a small database, served in this process on a free port."""
    import app  # noqa: F401
    from app.shell.results import Results
    from app.ui import build_app
    from eval.database.store import Store
    from tpad.bundle import Bundle
    from tpad.recommender import Recommender

    folder = tmp_path_factory.mktemp("address")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    bundle = Bundle.load(fake_bundle, encoder=FakeEncoder())
    with Store(folder / "results.db") as store:
        fill(store, bundle.dataset)
    results = Results(folder / "results.db")
    page = build_app(Recommender(bundle), results)
    monkeypatch.undo()
    url = launched(page)
    yield url
    page.close()
    results.store.close()


def elements(page):
    return page.locator("#session .tp-cell:not(.tp-target)")


def query(page) -> str:
    return page.evaluate("location.search")


def add(page, number: int) -> None:
    count = elements(page).count()
    page.locator("#catalogue .tp-card").nth(number).click()
    expect(elements(page)).to_have_count(count + 1)
    expect(page).to_have_url(re.compile("session="))


def again(page) -> None:
    """Loads the page once more, as if typed in, so that no answer under way is cut off."""
    page.reload()
    page.locator("#next .tp-card").first.wait_for(state="attached")


def test_session_and_filters_survive_a_reload(visit):
    page = visit()
    add(page, 3)
    names = [cell.get_attribute("title") for cell in elements(page).all()]
    page.locator("#model").click()
    page.get_by_role("option", name="Vision tower", exact=True).click()
    page.locator("#search textarea").fill("red case")
    page.locator("#place").get_by_text("Phones").click()
    expect(page).to_have_url(re.compile("model=vision.*q=red.*department=Phones"))
    again(page)
    expect(page.locator(".tp-note")).to_contain_text("Vision tower ranked")
    assert [cell.get_attribute("title") for cell in elements(page).all()] == names
    expect(page.locator("#search textarea")).to_have_value("red case")
    expect(page.locator("#place input:checked")).to_have_value("Phones")
    expect(page.locator("#catalogue .tp-title").first).to_have_text(re.compile("red case"))


def test_back_and_forward_go_through_sessions_and_tabs(visit):
    page = visit()
    count = elements(page).count()
    add(page, 3)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare .tp-col")).to_have_count(4)
    expect(page).to_have_url(re.compile("tab=compare"))
    page.go_back()
    expect(page.get_by_role("tab", name="Recommend")).to_have_attribute("aria-selected", "true")
    expect(elements(page)).to_have_count(count + 1)
    page.go_back()
    expect(elements(page)).to_have_count(count)
    expect(page.locator("#session")).to_contain_text("A shopper from the test sessions")
    assert query(page) == ""
    page.go_forward()
    expect(elements(page)).to_have_count(count + 1)
    page.go_forward()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")


def test_a_tab_that_is_marked_after_it_was_reported_is_in_the_address(visit):
    page = visit()
    page.evaluate("""() => {
      const tabs = [...document.querySelectorAll('#tabs [role="tab"]')];
      for (const tab of tabs)
        tab.setAttribute('aria-selected', String(tab.textContent.trim() === 'Dashboard'));
    }""")
    expect(page).to_have_url(re.compile("tab=dashboard"))


def test_an_empty_session_stays_empty(visit):
    page = visit()
    page.get_by_role("button", name="Clear the session").click()
    expect(page).to_have_url(re.compile(r"session=$"))
    page.reload()
    expect(page.get_by_text("Start with one product.")).to_be_visible()
    expect(elements(page)).to_have_count(0)


def test_a_picture_of_ones_own_survives_a_reload_and_is_in_no_address(visit, tmp_path):
    picture("blue", 5, 300).save(tmp_path / "mine.png")
    page = visit()
    count = elements(page).count()
    page.get_by_role("button", name="Add a picture of your own").click()
    page.locator("#own-picture input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.locator("#own-picture img")).to_be_visible()
    page.locator("#own-add").click()
    expect(elements(page).last).to_contain_text("yours")
    expect(page).to_have_url(re.compile("session="))
    assert "upload" not in query(page)
    again(page)
    expect(elements(page)).to_have_count(count + 1)
    expect(elements(page).last).to_contain_text("yours")


def test_a_section_of_the_dashboard_and_its_filters_open_by_their_address(visit):
    page = visit("?tab=dashboard&section=cost&metric=NDCG%405&part=cold")
    expect(page.locator("#dashboard-top h2").first).to_contain_text("Cost against")
    expect(page.locator("#dashboard-metric input")).to_have_value("NDCG@5")
    expect(page.locator("#dashboard-part input")).to_have_value(re.compile("Cold targets"))
    expect(page.locator("#session")).to_be_hidden()
    page.locator("#dashboard-section").get_by_text("Warm and cold").click()
    expect(page.locator("#dashboard-top h2").first).to_contain_text("Warm against")
    expect(page).to_have_url(re.compile("section=warm-cold"))
    page.go_back()
    expect(page.locator("#dashboard-top h2").first).to_contain_text("Cost against")


def test_a_case_opens_by_its_address(visit):
    page = visit("?tab=cold-start&cases-part=all&cases-rule=gain")
    toolbar = page.locator("#cold-start-toolbar")
    expect(toolbar).to_contain_text("1 of")
    toolbar.get_by_role("button", name="The next case").click()
    expect(toolbar).to_contain_text("2 of")
    said = toolbar.inner_text()
    expect(page).to_have_url(re.compile("cases-part=all.*cases-rule=gain"))
    case = re.search("case ([0-9]+)", said)[1]
    expect(page).to_have_url(re.compile(f"case={case}&"))
    other = visit(query(page))
    expect(other.locator("#cold-start-toolbar")).to_have_text(said, use_inner_text=True)
