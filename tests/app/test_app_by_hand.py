"""Checking cases by hand: walks, verdicts and their summary, on stored runs of the small bundle."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, make_fake_dataset

from app.cold_start import views
from app.cold_start.cases import RULES, latest, rank_table, summary, visitor_of, walk
from app.cold_start.checking import MOST_ADDED, Checking, Visitor, Walk, visitor_from
from app.cold_start.views import Standing
from app.shell.names import model_title
from app.shell.results import Results
from app.shell.state import Element
from app.ui import open_shop
from eval.database.records import Verdict
from eval.database.store import Store
from eval.metrics.ranks import Ranks
from eval.protocol import TestCases
from eval.runs.results import Result
from eval.splits.split import SplitConfig, make_split
from tpad.bundle import Bundle
from tpad.errors import DataError
from tpad.items import NewItem
from tpad.recommender import Recommender

INF = np.inf
VERSION = ("0.1.0", "abc")
NOBODY, ANN, BOB = Visitor(), Visitor("a" * 12), Visitor("b" * 12)


def said(case: int, verdict: str, who: str = "", run: str = "r") -> Verdict:
    return Verdict(run, case, verdict, "", who, datetime(2026, 1, 1, tzinfo=UTC))


class TestWalk:
    ranks = pd.DataFrame({"ours": [1.0, 30, 200, INF, 4], "theirs": [25.0, 2, 400, 21, 8]})
    every = np.ones(5, bool)

    def picked(self, rule, mask=None, judged=()):
        mask = self.every if mask is None else mask
        return walk(self.ranks, mask, rule, "ours", "theirs", judged).tolist()

    def test_each_rule_picks_its_cases(self):
        assert self.picked("all") == [0, 1, 2, 3, 4]
        assert self.picked("right") == [0]
        assert self.picked("wrong") == [1]
        assert self.picked("none") == [2, 3]
        assert self.picked("open", judged=[0, 3]) == [1, 2, 4]

    def test_gains_come_largest_first_in_doublings(self):
        assert self.picked("gain") == [0, 2, 4]  # 25 → 1, then twice half the place
        assert self.picked("loss") == [3, 1]  # not found is behind everything

    def test_a_slice_limits_every_rule(self):
        mask = np.array([False, True, True, False, True])
        for rule in RULES:
            assert set(self.picked(rule, mask)) <= {1, 2, 4}

    def test_what_is_not_there_is_refused(self):
        with pytest.raises(DataError, match="reload"):
            walk(self.ranks, self.every, "all", "ours", "gone")
        with pytest.raises(DataError, match="reload"):
            walk(self.ranks, self.every, "best", "ours", "theirs")


def test_ranks_of_several_seeds_become_their_median():
    ranks = np.array([[1, 9, INF], [3, INF, INF], [2, 4, 5]], np.float32)
    table = rank_table([Result("m", "tpad", (0, 1, 2), Ranks.from_expected(ranks))])
    assert table["m"].tolist() == [2, 9, INF]


def test_a_change_of_mind_counts_once_and_two_people_count_twice():
    words = [said(0, "wrong", "ann"), said(0, "plausible", "ann"), said(0, "unsure", "bob")]
    assert [one.verdict for one in latest(words).values()] == ["plausible", "unsure"]


def test_the_summary_tells_verdicts_and_metric_apart():
    ranks = np.array([1.0, 300, 5, 50])
    found = summary(
        [said(0, "plausible"), said(1, "plausible"), said(2, "wrong"), said(3, "unsure")], ranks
    )
    assert (found["cases"], found["plausible"], found["wrong"], found["unsure"]) == (4, 2, 1, 1)
    assert (found["hits"], found["hits_plausible"]) == (2, 1)
    assert (found["misses"], found["misses_plausible"]) == (1, 1)
    assert found["auc"] == 0.5  # place 1 before the wrong one's 5, place 300 behind it
    assert np.isnan(summary([said(0, "plausible")], ranks)["auc"])


def test_models_are_named_in_words():
    assert model_title("tpad") == "TPAD"
    assert model_title("gru4rec") == "GRU4Rec"
    assert model_title("vision_neighbours") == "Neighbours, Vision tower"
    assert model_title("clip_tfidf") == "clip + TF-IDF"
    assert model_title("tpad-no-words").startswith("TPAD, ") and "-" not in model_title(
        "tpad-no-words"
    )


def test_models_that_cannot_rank_share_one_line():
    page = views.standings(
        [Standing("a", "Ours", 3.0, 3, "first"), Standing("b", "Markov <chain>", INF, 1, "other")],
        100,
    )
    assert "Cannot rank it:</b> Markov &lt;chain&gt;." in page
    assert page.count("tp-stand ") == 1


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


def checking_of(bundle, database, read_only=False) -> Checking:
    return Checking(open_shop(Recommender(bundle), Results(database, read_only=read_only)))


@pytest.fixture
def checking(bundle, database):
    return checking_of(bundle, database)


def begun(checking) -> Walk:
    return checking.opened(checking.start(), 0, NOBODY)


def test_the_first_case_is_a_cold_one_of_the_bundles_test_sessions(checking, bundle):
    present = begun(checking)
    assert (present.part, present.first, present.second) == ("cold", "tpad", "knowledge")
    case = checking.case(present)
    assert case.cold and bundle.dataset.cold[case.target]
    cases = TestCases.of(bundle.dataset)
    assert case.target == cases.targets[present.number]
    assert list(case.prefix) == cases.prefixes[present.number].tolist()


def test_walking_stops_at_both_ends_and_forgets_what_was_changed(checking):
    present = checking.hide(begun(checking), 3)
    count = len(checking.numbers(present, NOBODY))
    last = checking.opened(present, 10_000, NOBODY)
    assert last.position == count - 1 and last.hidden == ()
    assert checking.opened(last, -5, NOBODY).position == 0


def test_a_case_of_the_dashboard_opens(checking):
    key = checking.choices()[0].key
    present = checking.at_case(key, 3)
    assert present.number == 3 and checking.numbers(present, NOBODY)[present.position] == 3
    with pytest.raises(DataError, match="no case 99999"):
        checking.at_case(key, 99999)
    with pytest.raises(DataError, match="another shop"):
        checking.at_case("something else", 0)


def test_the_ranks_are_those_of_the_runs_and_ablations_are_on_request(checking):
    page = checking.standings(begun(checking))
    assert model_title("tpad-no-words") in page.split("<details>")[1]
    assert "Knowledge-MLLM" in page.split("<details>")[0]


def test_an_item_that_is_taken_out_makes_room(checking):
    present = begun(checking)
    case = checking.case(present)
    shop = checking.shop
    session = shop.catalogue.items["item_id"].iloc[list(case.prefix)].tolist()
    best = shop.recommender.recommend(session, k=2)["item_id"].tolist()
    rows = [shop.catalogue.rows[item] for item in best]
    before = checking.lists(present)
    assert f'data-act="hide" data-id="{rows[0]}"' in before
    hidden = checking.hide(present, rows[0])
    after = checking.lists(hidden)
    assert f'data-act="hide" data-id="{rows[0]}"' not in after and 'data-act="unhide"' in after
    assert f'data-act="hide" data-id="{rows[1]}"' in after
    assert checking.lists(checking.unhide(hidden, rows[0])) == before


def test_a_visitors_picture_is_ranked_among_the_catalogue(checking):
    present = begun(checking)
    case = checking.case(present)
    target = checking.shop.recommender.items["title"].iat[case.target]
    twin = NewItem(
        checking.shop.recommender.bundle.dataset.image(case.target),
        target,
        category=checking.shop.recommender.items["category"].iat[case.target],
    )
    element = Element("", "my own", content=twin, key="upload:1", is_cold=True)
    assert "my own" not in checking.lists(present)
    changed = checking.add(present, element)
    hidden = present
    for row in range(len(checking.shop.catalogue.items)):  # whatever its score, it is what is left
        hidden = checking.hide(hidden, row)
    assert "my own" in checking.lists(checking.add(hidden, element))
    row = len(checking.shop.catalogue.items)
    assert checking.hide(changed, row).added == ()
    with pytest.raises(DataError, match=f"At most {MOST_ADDED}"):
        for _ in range(MOST_ADDED):
            changed = checking.add(changed, element)


def test_a_verdict_is_stored_and_can_be_taken_away(checking, database):
    present = begun(checking)
    assert checking.judge(present, "plausible", "  looks\nright ", "ann", ANN) == ANN
    with Store(database, read_only=True) as store:
        [one] = store.verdicts()
    assert (one.case, one.verdict, one.note) == (present.number, "plausible", "looks right")
    assert one.who == "ann visitor:aaaaaaaaaaaa" and visitor_of(one.who) == ANN.id
    table = checking.table(ANN)
    items = checking.shop.catalogue.items["item_id"]
    case = checking.case(present)
    assert table.loc[0, "target"] == items[case.target]
    assert table.loc[0, "session"] == " ".join(items.iloc[list(case.prefix)])
    assert table.loc[0, ["model", "seed", "verdict"]].tolist() == ["tpad", 0, "plausible"]
    walk = replace(present, rule="open")
    left = checking.numbers(walk, ANN)
    assert present.number not in left and len(left) == len(checking.numbers(present, ANN)) - 1
    assert present.number in checking.numbers(walk, BOB)  # each judges all cases
    with pytest.raises(DataError, match="reload"):
        checking.judge(present, "lovely", "", "", ANN)
    for note, who, says in (("x\ud83d", "", "The note holds"), ("", "\ud83d", "Your name holds")):
        with pytest.raises(DataError, match=says):
            checking.judge(present, "plausible", note, who, ANN)


def test_two_visitors_without_a_name_do_not_overwrite_each_other(checking):
    present = begun(checking)
    for who, verdict in ((ANN, "plausible"), (BOB, "wrong"), (ANN, "unsure")):
        checking.judge(present, verdict, "", "", who)
    assert checking.judged_here(present, ANN) == ("Unsure", ["Wrong"])
    assert checking.judged_here(present, BOB) == ("Wrong", ["Unsure"])


def test_one_visitor_stays_one_under_another_name(checking):
    present = begun(checking)
    checking.judge(present, "plausible", "", "", ANN)
    checking.judge(present, "wrong", "", "Ann", ANN)
    assert checking.judged_here(present, ANN) == ("Wrong", [])


def test_what_others_said_is_hidden_until_one_has_judged(checking):
    present = begun(checking)
    checking.judge(present, "wrong", "I think so", "ann", ANN)
    for me in (NOBODY, BOB):
        assert checking.judged_here(present, me) == ("", [])
        assert checking.verdicts(present, me) == [] and checking.table(me).empty
        assert "No verdict of yours" in checking.progress(present, me, 5)
    checking.judge(present, "plausible", "", "", BOB)
    assert checking.judged_here(present, BOB) == ("Plausible", ["Wrong"])
    assert checking.table(BOB)["verdict"].tolist() == ["wrong", "plausible"]
    page = views.walker(0, 2, 0, *checking.judged_here(present, BOB))
    assert "you: Plausible" in page and "others: 1 wrong" in page


def test_the_browser_names_the_visitor_and_nothing_else_is_believed():
    assert visitor_from("a" * 12, ()) == ANN
    for sent in (None, "", 7, ["a" * 12], "a" * 12 + " x", "ann visitor:" + "b" * 12):
        assert visitor_from(sent, ()).id == ""
    assert NOBODY.named.id != NOBODY.named.id and ANN.named == ANN


def test_where_nothing_is_stored_each_visitor_keeps_their_own(bundle, database):
    checking = checking_of(bundle, database, read_only=True)
    present = begun(checking)
    mine = checking.judge(present, "wrong", "", "", ANN)
    assert len(mine.kept) == 1
    with Store(database, read_only=True) as store:
        assert store.verdicts() == []
    assert checking.table(mine)["verdict"].tolist() == ["wrong"] and checking.table(ANN).empty
    assert "kept for you alone" in checking.progress(present, mine, 5)
    assert "download=" not in checking.progress(present, ANN, 5)


def test_an_added_picture_is_placed_under_every_model_and_can_be_taken_out(checking):
    present, shop = begun(checking), checking.shop
    content = NewItem(shop.recommender.bundle.dataset.image(3), "my <own>")
    element = Element("", "my <own>", "data:image/webp;base64,AA", content=content, key="upload:1")
    assert checking.answers(present) == ""
    changed = checking.add(present, element)
    page = checking.answers(changed)
    case = checking.case(present)
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
    assert checking.answers(checking.hide(changed, row)) == ""


def test_runs_of_another_shop_are_not_offered(bundle, tmp_path):
    shop = make_fake_dataset(tmp_path / "other", with_images=False, seed=5)
    cases = TestCases.of(shop)
    with (
        Store(tmp_path / "other.db") as store,
        store.run(shop, "other", cases, ("tpad", "tpad"), 0, {}, "k", VERSION) as run,
    ):
        run.finish(np.ones(len(cases), np.float32), 1, 1)
    checking = checking_of(bundle, tmp_path / "other.db")
    assert checking.choices() == [] and checking.start() == Walk()


def test_a_hostile_note_is_shown_as_text():
    assert "<script>" not in views.walker(0, 2, 0, "<script>")


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
    checking = checking_of(bundle, tmp_path / "split.db")
    [choice] = checking.choices()
    assert choice.split == split.name and choice.dataset_fingerprint != bundle.dataset.fingerprint
    present = begun(checking)
    case = checking.case(present)
    assert case.target == cases.targets[present.number] and split.dataset.cold[case.target]
    assert list(case.prefix) == cases.prefixes[present.number].tolist()
