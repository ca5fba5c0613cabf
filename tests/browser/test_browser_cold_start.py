"""A person's path through test cases, in a real browser: open, change something, rate."""

import csv

import pytest
from app_server import launched
from fake_bundle import FakeEncoder
from fake_results import fill

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module", params=["stored", "read-only"])
def served(request, fake_bundle, tmp_path_factory):
    """The app on a small database, served in this process: its address, the results, read only?"""
    import app  # noqa: F401
    from app.shell.results import Results
    from app.ui import build_app
    from eval.database.store import Store
    from tpad.bundle import Bundle
    from tpad.recommender import Recommender

    bundle = Bundle.load(fake_bundle, encoder=FakeEncoder())
    target = tmp_path_factory.mktemp("cold-start") / "results.db"
    with Store(target) as store:
        fill(store, bundle.dataset)
    read_only = request.param == "read-only"
    results = Results(target, read_only=read_only)
    page = build_app(Recommender(bundle), results)
    url = launched(page)
    yield url, results, read_only
    page.close()
    results.store.close()


@pytest.fixture
def visit(open_page, open_tab, served):
    """Opens the tab for a new visitor."""

    def visit(**options):
        page = open_page(served[0], **options)
        open_tab(page, "Cold-start cases")
        expect(page.locator("#cold-start-model-ranks .tp-model-rank").first).to_be_visible()
        return page

    return visit


def test_open_change_and_rate_cases(visit, served, tmp_path):
    _, results, read_only = served
    page = visit()
    toolbar, lists, progress = (
        page.locator(f"#{i}")
        for i in ("cold-start-toolbar", "cold-start-lists", "cold-start-progress")
    )
    expect(page.locator("#session")).to_be_hidden()
    expect(toolbar).to_contain_text("1 of")
    first = toolbar.inner_text()
    expect(page.locator("#case .tp-true")).to_contain_text("cold")
    toolbar.get_by_role("button", name="The next case").click()
    expect(toolbar).to_contain_text("2 of")
    page.locator("#case").click()
    page.keyboard.press("ArrowLeft")
    expect(toolbar).to_have_text(first, use_inner_text=True)

    top = lists.locator(".tp-tile").first.get_attribute("title")
    lists.locator(".tp-tile").first.hover()
    lists.locator(".tp-hide").first.click()
    expect(lists.locator(".tp-tile").first).not_to_have_attribute("title", top)
    lists.get_by_role("button", name=f"Put back: {top}").click()
    expect(lists.locator(".tp-tile").first).to_have_attribute("title", top)

    page.locator("#rating-note textarea, #rating-note input").fill("a likely next step")
    page.locator("#rating-plausible").click()
    expect(toolbar).to_contain_text("2 of")
    expect(progress).to_contain_text("1 case of TPAD rated")
    with page.expect_download() as saving:
        progress.get_by_role("link", name="CSV").click()
    saving.value.save_as(tmp_path / "verdicts.csv")
    [row] = csv.DictReader((tmp_path / "verdicts.csv").open(encoding="utf-8"))
    assert (row["verdict"], row["note"], row["model"]) == (
        "plausible",
        "a likely next step",
        "tpad",
    )
    assert len(results.verdicts()) == (not read_only)

    count = int(toolbar.inner_text().split("of")[1].split()[0])
    page.locator("#cold-start-rule input").click()
    page.get_by_role("option", name="not rated by you yet").click()
    expect(toolbar).to_contain_text(f"1 of {count - 1}")
    if read_only:  # what one visitor said is nobody else's
        expect(visit().locator("#cold-start-progress")).to_contain_text(
            "You have not rated TPAD yet"
        )


def test_fits_a_phone(visit):
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.locator("#rating-plausible")).to_be_in_viewport()
