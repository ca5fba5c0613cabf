"""Cold-start cases on stored runs of the small bundle: moving among them, changes, verdicts."""

from dataclasses import replace

import numpy as np
import pytest
from fake_bundle import FakeEncoder, make_fake_dataset

from app.cold_start import display, views
from app.cold_start.browser import CaseBrowser
from app.cold_start.position import MAX_ADDED, Position
from app.cold_start.verdicts import visitor_of
from app.cold_start.visitor import Visitor, visitor_from
from app.shell.names import model_title
from app.shell.results import Results
from app.shell.session import Element
from app.ui import open_shop
from eval.database.store import Store
from eval.protocol import TestCases
from eval.splits.split import SplitConfig, make_split
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.items import NewItem
from tpad.recommender import Recommender

INF = np.inf
VERSION = ("0.1.0", "abc")
NOBODY, ANN, BOB = Visitor(), Visitor("a" * 12), Visitor("b" * 12)


@pytest.fixture(scope="module")
def bundle(fake_bundle):
    return Bundle.load(fake_bundle, encoder=FakeEncoder())


@pytest.fixture
def database(bundle, tmp_path):
    """Runs of two of the bundle's models, of an ablation, and of another shop's model."""
    target = tmp_path / "results.db"
    cases = TestCases.of(bundle.dataset)
    rng = np.random.default_rng(0)
    with Store(target) as store:
        for model in ("tpad", "knowledge", "tpad-no-words"):
            for seed in (0, 1):
                with store.run(
                    bundle.dataset,
                    "fake",
                    cases,
                    (model, "tpad"),
                    seed,
                    {},
                    f"{model}{seed}",
                    VERSION,
                ) as run:
                    run.finish(rng.integers(1, 60, len(cases)).astype(np.float32), 1, 1)
    return target


def browser_of(bundle, database, read_only=False) -> CaseBrowser:
    return CaseBrowser(open_shop(Recommender(bundle), Results(database, read_only=read_only)))


@pytest.fixture
def browser(bundle, database):
    return browser_of(bundle, database)


def begun(browser) -> Position:
    return browser.open(browser.start(), 0, NOBODY)


def hide(browser, position, row) -> Position:
    return position.hide(row, len(browser.shop.catalogue.items))


def test_the_first_case_is_a_cold_one_of_the_bundles_test_sessions(browser, bundle):
    present = begun(browser)
    assert (present.part, present.first, present.second) == ("cold", "tpad", "knowledge")
    case = browser.case(present)
    assert case.cold and bundle.dataset.cold[case.target]
    cases = TestCases.of(bundle.dataset)
    assert case.target == cases.targets[present.number]
    assert list(case.prefix) == cases.prefixes[present.number].tolist()


def test_moving_stops_at_both_ends_and_drops_the_changes(browser):
    present = hide(browser, begun(browser), 3)
    count = len(browser.numbers(present, NOBODY))
    last = browser.open(present, 10_000, NOBODY)
    assert last.index == count - 1 and last.hidden == ()
    assert browser.open(last, -5, NOBODY).index == 0


def test_a_case_of_the_dashboard_opens(browser):
    key = browser.case_sets()[0].key
    present = browser.at_case(key, 3)
    assert present.number == 3 and browser.numbers(present, NOBODY)[present.index] == 3
    with pytest.raises(DataError, match="no case 99999"):
        browser.at_case(key, 99999)
    with pytest.raises(DataError, match="another dataset"):
        browser.at_case("something else", 0)


def test_the_ranks_are_those_of_the_runs_and_ablations_are_on_request(browser):
    page = display.model_ranks(browser, begun(browser))
    assert model_title("tpad-no-words") in page.split("<details>")[1]
    assert "Knowledge-MLLM" in page.split("<details>")[0]


def test_an_item_that_is_taken_out_makes_room(browser):
    present = begun(browser)
    case = browser.case(present)
    shop = browser.shop
    session = shop.catalogue.items["item_id"].iloc[list(case.prefix)].tolist()
    best = shop.recommender.recommend(session, k=2)["item_id"].tolist()
    rows = [shop.catalogue.rows[item] for item in best]
    before = display.lists(browser, present)
    assert f'data-act="hide" data-id="{rows[0]}"' in before
    hidden = hide(browser, present, rows[0])
    after = display.lists(browser, hidden)
    assert f'data-act="hide" data-id="{rows[0]}"' not in after and 'data-act="unhide"' in after
    assert f'data-act="hide" data-id="{rows[1]}"' in after
    assert display.lists(browser, hidden.unhide(rows[0])) == before


def test_a_visitors_picture_is_ranked_among_the_catalogue(browser):
    present = begun(browser)
    case = browser.case(present)
    target = browser.shop.recommender.items["title"].iat[case.target]
    twin = NewItem(
        browser.shop.recommender.bundle.dataset.image(case.target),
        target,
        category=browser.shop.recommender.items["category"].iat[case.target],
    )
    element = Element("", "my own", content=twin, key="upload:1", is_cold=True)
    assert "my own" not in display.lists(browser, present)
    changed = present.add(element)
    hidden = present
    for row in range(len(browser.shop.catalogue.items)):  # whatever its score, it is what is left
        hidden = hide(browser, hidden, row)
    assert "my own" in display.lists(browser, hidden.add(element))
    row = len(browser.shop.catalogue.items)
    assert hide(browser, changed, row).added == ()
    with pytest.raises(DataError, match=f"At most {MAX_ADDED}"):
        for _ in range(MAX_ADDED):
            changed = changed.add(element)


def test_a_verdict_is_stored_and_can_be_taken_away(browser, database):
    present = begun(browser)
    assert browser.rating.add_verdict(present, "plausible", "  looks\nright ", "ann", ANN) == ANN
    with Store(database, read_only=True) as store:
        [one] = store.verdicts()
    assert (one.case, one.verdict, one.note) == (present.number, "plausible", "looks right")
    assert one.who == "ann visitor:aaaaaaaaaaaa" and visitor_of(one.who) == ANN.id
    table = browser.rating.table(ANN)
    items = browser.shop.catalogue.items["item_id"]
    case = browser.case(present)
    assert table.loc[0, "target"] == items[case.target]
    assert table.loc[0, "session"] == " ".join(items.iloc[list(case.prefix)])
    assert table.loc[0, ["model", "seed", "verdict"]].tolist() == ["tpad", 0, "plausible"]
    unrated = replace(present, rule="open")
    left = browser.numbers(unrated, ANN)
    assert present.number not in left and len(left) == len(browser.numbers(present, ANN)) - 1
    assert present.number in browser.numbers(unrated, BOB)  # each visitor rates all cases
    with pytest.raises(DataError, match="reload"):
        browser.rating.add_verdict(present, "lovely", "", "", ANN)
    for note, who, says in (("x\ud83d", "", "The note holds"), ("", "\ud83d", "Your name holds")):
        with pytest.raises(DataError, match=says):
            browser.rating.add_verdict(present, "plausible", note, who, ANN)


def test_two_visitors_without_a_name_do_not_overwrite_each_other(browser):
    present = begun(browser)
    for who, verdict in ((ANN, "plausible"), (BOB, "wrong"), (ANN, "unsure")):
        browser.rating.add_verdict(present, verdict, "", "", who)
    assert browser.rating.on_case(present, ANN) == ("Unsure", ["Wrong"])
    assert browser.rating.on_case(present, BOB) == ("Wrong", ["Unsure"])


def test_one_visitor_stays_one_under_another_name(browser):
    present = begun(browser)
    browser.rating.add_verdict(present, "plausible", "", "", ANN)
    browser.rating.add_verdict(present, "wrong", "", "Ann", ANN)
    assert browser.rating.on_case(present, ANN) == ("Wrong", [])


def test_verdicts_of_others_are_hidden_until_one_has_rated(browser):
    present = begun(browser)
    browser.rating.add_verdict(present, "wrong", "I think so", "ann", ANN)
    for me in (NOBODY, BOB):
        assert browser.rating.on_case(present, me) == ("", [])
        assert browser.rating.verdicts(present, me) == [] and browser.rating.table(me).empty
        assert "You have not rated" in display.progress(browser, present, me, 5)
    browser.rating.add_verdict(present, "plausible", "", "", BOB)
    assert browser.rating.on_case(present, BOB) == ("Plausible", ["Wrong"])
    assert browser.rating.table(BOB)["verdict"].tolist() == ["wrong", "plausible"]
    page = views.toolbar(0, 2, 0, *browser.rating.on_case(present, BOB))
    assert "you: Plausible" in page and "others: 1 wrong" in page


def test_the_browser_names_the_visitor_and_nothing_else_is_believed():
    assert visitor_from("a" * 12, ()) == ANN
    for sent in (None, "", 7, ["a" * 12], "a" * 12 + " x", "ann visitor:" + "b" * 12):
        assert visitor_from(sent, ()).id == ""
    assert NOBODY.with_id.id != NOBODY.with_id.id and ANN.with_id == ANN


def test_where_nothing_is_stored_each_visitor_keeps_their_own(bundle, database):
    browser = browser_of(bundle, database, read_only=True)
    present = begun(browser)
    mine = browser.rating.add_verdict(present, "wrong", "", "", ANN)
    assert len(mine.kept) == 1
    with Store(database, read_only=True) as store:
        assert store.verdicts() == []
    assert (
        browser.rating.table(mine)["verdict"].tolist() == ["wrong"]
        and browser.rating.table(ANN).empty
    )
    assert "kept for you alone" in display.progress(browser, present, mine, 5)
    assert "download=" not in display.progress(browser, present, ANN, 5)


def test_an_added_picture_is_placed_under_every_model_and_can_be_taken_out(browser):
    present, shop = begun(browser), browser.shop
    content = NewItem(shop.recommender.bundle.dataset.image(3), "my <own>")
    element = Element("", "my <own>", "data:image/webp;base64,AA", content=content, key="upload:1")
    assert display.upload_ranks(browser, present) == ""
    changed = present.add(element)
    page = display.upload_ranks(browser, changed)
    case = browser.case(present)
    session = shop.catalogue.items["item_id"].iloc[list(case.prefix)].tolist()
    for model in shop.models:
        scores = shop.recommender.scores(session, model)
        own = shop.recommender.scores_of(session, [content], model)[0]
        scores[list(case.prefix)] = -np.inf
        place = int((scores >= own).sum()) + 1
        line = page.split(f">{model_title(model)}</span>")[1].split("</li>")[0]
        assert f">{place}</b>" in line
    assert 'src="data:image/webp' in page and "my &lt;own&gt;" in page
    row = len(shop.catalogue.items)
    assert f'data-act="hide" data-id="{row}"' in page
    assert display.upload_ranks(browser, hide(browser, changed, row)) == ""


def test_runs_of_another_shop_are_not_offered(bundle, tmp_path):
    shop = make_fake_dataset(tmp_path / "other", with_images=False, seed=5)
    cases = TestCases.of(shop)
    with (
        Store(tmp_path / "other.db") as store,
        store.run(shop, "other", cases, ("tpad", "tpad"), 0, {}, "k", VERSION) as run,
    ):
        run.finish(np.ones(len(cases), np.float32), 1, 1)
    browser = browser_of(bundle, tmp_path / "other.db")
    assert browser.case_sets() == [] and browser.start() == Position()


def test_a_hostile_note_is_shown_as_text():
    assert "<script>" not in views.toolbar(0, 2, 0, "<script>")


def test_cases_of_a_stored_split_are_shown_by_making_it_again(bundle, tmp_path):
    split = make_split(bundle.dataset, SplitConfig.parse("cold_items:fraction=0.3,seed=1"))
    cases = TestCases.of(split.dataset)
    with Store(tmp_path / "split.db") as store:
        number = store.add_split(
            split.dataset,
            "fake",
            name=split.name,
            kind=split.kind,
            seed=split.seed,
            params=split.params,
            fingerprint=split.fingerprint,
            rows=split.rows(),
        )
        with store.run(
            split.dataset, "fake", cases, ("tpad", "tpad"), 0, {}, "k", VERSION, split_id=number
        ) as run:
            run.finish(np.ones(len(cases), np.float32), 1, 1)
    browser = browser_of(bundle, tmp_path / "split.db")
    [cases_of_split] = browser.case_sets()
    assert cases_of_split.split == split.name
    assert cases_of_split.dataset_fingerprint != bundle.dataset.fingerprint
    present = begun(browser)
    case = browser.case(present)
    assert case.target == cases.targets[present.number] and split.dataset.cold[case.target]
    assert list(case.prefix) == cases.prefixes[present.number].tolist()
