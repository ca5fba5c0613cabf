"""A person's path through the dashboard, in a real browser, while runs are being written."""

import csv
import re

import numpy as np
import pytest
from app_server import launched
from fake_bundle import FakeEncoder
from fake_results import begin, fill, finish, made_up_ranks

from eval.metrics.frontier import Frontier
from eval.metrics.slice_metrics import MetricValue

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def served(fake_bundle, tmp_path_factory):
    """The app on a small database, served in this process: its address, the store, the dataset."""
    import app  # noqa: F401
    from app.dashboard import tab as dashboard
    from app.shell.results import Results
    from app.ui import build_app
    from eval.database.store import Store
    from tpad.bundle import Bundle
    from tpad.recommender import Recommender

    bundle = Bundle.load(fake_bundle, encoder=FakeEncoder())
    store = Store(tmp_path_factory.mktemp("dashboard") / "results.db")
    fill(store, bundle.dataset)
    results = Results(store.target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dashboard, "LOOK_AGAIN", 0.5)
        page = build_app(Recommender(bundle), results)
    url = launched(page)
    yield url, store, bundle.dataset
    page.close()
    results.store.close()
    store.close()


@pytest.fixture
def visit(open_page, open_tab, served):
    """Opens the dashboard for a new visitor."""

    def visit(**options):
        page = open_page(served[0], **options)
        open_tab(page, "Dashboard")
        expect(page.locator("#dashboard-top .tb-table")).to_be_visible()
        return page

    return visit


def names(page) -> list[str]:
    return page.locator("#dashboard-top tbody .tb-name button").all_inner_texts()


def look_at(page, section: str) -> None:
    page.locator("#dashboard-section").get_by_text(section, exact=True).click()


def choose(page, menu: str, words: str) -> None:
    page.locator(f"#dashboard-{menu} input").click()
    page.get_by_role("option", name=words).click()


def test_read_sort_filter_and_save_the_leaderboard(visit, tmp_path):
    page = visit()
    expect(page.locator("#dashboard-top .tb-note")).to_contain_text("for the 3 tests of this table")
    assert names(page) == ["Oracle", "TPAD", "Vision tower", "Popularity"]
    head = page.locator("th", has=page.get_by_role("button", name="Model", exact=True))
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert names(page) == ["Oracle", "Popularity", "TPAD", "Vision tower"]
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")

    page.locator("#dashboard-extras input").check()
    expect(page.locator("#dashboard-top tbody tr")).to_have_count(6)
    expect(page.locator("#dashboard-top")).to_contain_text("without alignment")
    assert names(page) == sorted(names(page), key=str.lower, reverse=True)  # as it was sorted
    choose(page, "metric", "NDCG@5")
    expect(page.get_by_role("button", name="NDCG@5")).to_be_visible()
    choose(page, "part", "Cold targets")
    expect(page.locator("#dashboard-top h2").first).to_contain_text("Cold targets")

    with page.expect_download() as saving:
        page.locator("#dashboard-top .tb-csv").first.click()
    saving.value.save_as(tmp_path / "leaderboard.csv")
    rows = list(csv.DictReader((tmp_path / "leaderboard.csv").open(encoding="utf-8")))
    assert len(rows) == 6
    assert "NDCG" in rows[0]
    page.screenshot(path=tmp_path / "leaderboard.png")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_plot_is_drawn_and_can_be_read(visit, mode):
    page = visit(color_scheme=mode)
    for section, heading in (
        ("Warm and cold", "Warm against cold"),
        ("By slice", "MRR@20 by"),
        ("Ablations", "What each part"),
        ("Training", "Training of"),
        ("Embeddings", "Quality of"),
        ("Cost", "Cost against"),
    ):
        look_at(page, section)
        expect(page.locator("#dashboard-top h2").first).to_contain_text(heading)
        expect(page.locator("#dashboard-plot .main-svg").first).to_be_visible()
        expect(page.locator("#dashboard-plot [data-title*='Download plot']")).to_be_visible()
        expect(page.locator("#dashboard-bottom .tb-csv")).to_be_visible()
        text = page.locator("#dashboard-plot .xtick text, #dashboard-plot .x2tick text").first
        colour = brightness(text.evaluate("e => getComputedStyle(e).fill"))
        back = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert abs(colour - back) > 120, section


def test_from_the_leaderboard_down_to_a_worst_case(visit):
    page = visit()
    page.locator("#dashboard-top").get_by_role("button", name="Vision tower").click()
    expect(page.locator("#dashboard-top h2").first).to_have_text("Vision tower, seed 0")
    expect(page.locator("#dashboard-section input:checked")).to_have_value("runs")
    expect(page.locator("#dashboard-top .tb-json")).to_contain_text('"width": 8')
    card = page.locator(".tb-case").first
    expect(card).to_contain_text("TPAD")
    card.locator("img").first.evaluate("e => e.decode()")
    number = card.get_by_role("button", name="Open case").get_attribute("data-id")
    card.get_by_role("button", name="Open case").click()
    expect(page.locator("#cold-start-toolbar")).to_contain_text(f"case {int(number):,}")
    expect(page.locator("#session")).to_be_hidden()
    page.get_by_role("tab", name="Dashboard").click()

    page.get_by_role("button", name="seed 1").click()
    expect(page.locator("#dashboard-top h2").first).to_have_text("Vision tower, seed 1")
    page.get_by_role("button", name="All runs").click()
    expect(page.locator("#dashboard-top tbody tr").first).to_contain_text("Oracle")


def test_runs_appear_while_they_are_being_written(visit, served):
    _, store, dataset = served
    page = visit()
    expect(page.locator("#dashboard-top .tb-note")).to_contain_text("of this table")
    shown = len(names(page))
    with begin(store, dataset, "markov", "baseline") as run:
        look_at(page, "Runs")
        expect(page.locator("#dashboard-top tbody tr").first).to_contain_text("Markov chain")
        expect(page.locator("#dashboard-top tbody tr").first).to_contain_text("running")
        finish(run, dataset, "markov", 1.5)
    expect(page.locator("#dashboard-top tbody tr").first).to_contain_text("done")
    look_at(page, "Leaderboard")
    expect(page.locator("#dashboard-top tbody tr")).to_have_count(shown + 1)
    with begin(store, dataset, "vsknn", "baseline") as run:
        finish(run, dataset, "vsknn", 1.6)
    expect(page.locator("#dashboard-top tbody tr")).to_have_count(shown + 2)


def test_visitors_do_not_move_each_others_page(visit):
    first, second = visit(), visit()
    look_at(first, "Cost")
    expect(first.locator("#dashboard-top h2").first).to_contain_text("Cost against")
    expect(second.locator("#dashboard-top h2").first).to_contain_text("All targets")
    expect(second.locator("#dashboard-section input:checked")).to_have_value("leaderboard")


def test_fits_a_phone(visit):
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    look_at(page, "Runs")
    expect(page.locator("#dashboard-top h2").first).to_have_text("Runs")
    page.locator("#dashboard-top tbody button").first.click()
    expect(page.locator(".tb-case").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def brightness(colour: str) -> float:
    return sum(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) / 3


@pytest.mark.parametrize("phone", [False, True])
def test_the_frontier_fits_the_page(visit, served, phone):
    _, store, dataset = served
    curve = Frontier(*np.array([[-np.inf, 0.5, np.inf], [0.5, 0.4, 0], [0, 0.2, 0.3], [0, 0.1, 1]]))
    more = (
        MetricValue("all", "unclicked_share", 20, 0.1),
        MetricValue("all", "frontier_area", 20, 0.07),
    )
    with begin(store, dataset, "tpad", "tpad") as run:
        run.finish(made_up_ranks(dataset, "tpad", 4.0, 0), 1.0, 0.1, None, more, curve)
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True) if phone else visit()
    look_at(page, "Frontier")
    expect(page.locator("#dashboard-top h2").first).to_contain_text("Frontier of warm and cold")
    expect(page.locator("#dashboard-plot .legendtext").first).to_have_text("TPAD")
    expect(page.locator("#dashboard-bottom tbody tr").first).to_contain_text("0.0700")
    expect(page.locator("#dashboard-bottom .tb-note")).to_contain_text(
        "evaluated by an earlier version"
    )
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    plot = page.locator("#dashboard-plot .js-plotly-plot").bounding_box()
    assert plot["x"] >= 0 and plot["x"] + plot["width"] <= width
