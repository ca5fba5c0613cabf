"""A bundle shows the results of its own dataset, or how to get them; never those of another."""

import pytest
from fake_bundle import FakeEncoder, make_fake_dataset
from fake_results import begin, fill, finish

from app import __main__ as start
from app.cold_start.browser import CaseBrowser
from app.cold_start.position import Position
from app.dashboard.sections import Sections
from app.dashboard.view import RUNS, SECTIONS, View
from app.shell.no_results import bundle_argument, no_results
from app.shell.results import Results
from app.ui import open_shop
from eval.database.store import Store
from tpad import assets
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def recommender(fake_bundle):
    return Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder()))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A database of another shop whose dataset has the very name and the very models."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with Store(folder / "results.db") as store:
        fill(store, make_fake_dataset(folder / "shop", with_images=False, seed=5))
        run = store.list_runs(model="tpad")[0]
        store.add_verdict(run.id, 0, "plausible")
    return folder / "results.db"


@pytest.fixture
def shop(recommender, elsewhere):
    results = Results(elsewhere)
    yield open_shop(recommender, results)
    results.store.close()


def test_no_section_shows_what_was_measured_on_another_dataset(shop):
    sections = Sections(shop, shop.results)
    for section in SECTIONS:
        options, evaluation = sections.options(View(section))
        assert options.choices == [] and evaluation is None
        for drawn in sections.draw(options.view, evaluation):
            assert drawn is None or "Popularity" not in drawn.top
    options, evaluation = sections.options(View(RUNS))
    [drawn] = sections.draw(options.view, evaluation)
    assert "measured on another dataset" in drawn.top and "eval run" in drawn.top


def test_a_run_a_case_and_a_verdict_of_another_dataset_cannot_be_asked_for(shop):
    other = shop.results.store.list_runs()[0]
    with pytest.raises(DataError, match="no longer in the database"):
        shop.results.run(other.id)
    with pytest.raises(DataError, match="no longer in the database"):
        shop.results.evaluation(other.cases)
    assert shop.results.verdicts() == []
    browser = CaseBrowser(shop)
    assert browser.start() == Position() and browser.case_sets() == []
    with pytest.raises(DataError, match="another dataset"):
        browser.at_case(other.cases, 0)


def test_in_a_database_of_several_datasets_only_the_bundles_own_runs_are_seen(
    recommender, tmp_path
):
    dataset = recommender.bundle.dataset
    with Store(tmp_path / "both.db") as store:
        fill(store, dataset, "fake")
        fill(store, make_fake_dataset(tmp_path / "shop", with_images=False, seed=5), "fake")
    results = open_shop(recommender, Results(tmp_path / "both.db")).results
    [cases] = results.case_sets()
    assert cases.dataset_fingerprint == dataset.fingerprint
    assert {run.dataset_fingerprint for run in results.runs()} == {dataset.fingerprint}
    assert not results.only_other_bundles()
    results.store.close()


def add_shipped(store, dataset, checksum, quality):
    """A run of the recommender of some bundle."""
    with begin(store, dataset, "tpad", "tpad", shipped=checksum, shipped_seed=0) as run:
        finish(run, dataset, "tpad", quality)
    return run.id


def test_what_another_bundle_reached_on_the_same_dataset_is_not_seen(recommender, tmp_path):
    bundle = recommender.bundle
    with Store(tmp_path / "same.db") as store:
        own = add_shipped(store, bundle.dataset, bundle.checksum_of_recommender("tpad"), 2.0)
        other = add_shipped(store, bundle.dataset, "0" * 64, 9.0)
    results = open_shop(recommender, Results(tmp_path / "same.db")).results
    assert [run.id for run in results.runs()] == [own]
    [cases] = results.case_sets()
    assert [run.id for run in results.evaluation(cases.key).selection.runs["tpad"]] == [own]
    with pytest.raises(DataError, match="no longer in the database"):
        results.run(other)
    results.store.close()


def test_the_shipped_database_is_opened_for_its_own_bundle_only(
    recommender, elsewhere, monkeypatch
):
    bundle = recommender.bundle
    monkeypatch.setattr(assets, "DEMO_DATABASE", elsewhere)
    assert start._database(None, True, bundle) is None
    assert start._database("mine.db", True, bundle) == "mine.db"
    monkeypatch.setattr(assets, "DEMO_DATABASE", elsewhere.with_name("own.db"))
    with Store(elsewhere.with_name("own.db")) as store:
        fill(store, bundle.dataset)
        add_shipped(store, bundle.dataset, "0" * 64, 4.0)
    assert start._database(None, True, bundle) is None  # another bundle of the same dataset
    with Store(elsewhere.with_name("own.db")) as store:
        add_shipped(store, bundle.dataset, bundle.checksum_of_recommender("tpad"), 4.0)
    assert start._database(None, True, bundle) == elsewhere.with_name("own.db")


def test_the_commands_name_the_bundle_where_that_gives_nothing_away(recommender, monkeypatch):
    folder = recommender.bundle.path
    monkeypatch.chdir(folder.parent)
    assert bundle_argument(folder) == folder.name
    assert f"eval run --bundle {folder.name} " in no_results(open_shop(recommender))
    monkeypatch.chdir(folder / "embeddings")
    assert bundle_argument(folder) == "BUNDLE"
