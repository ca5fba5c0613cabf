"""The dashboard's data: tables of what the database holds, also while it grows."""

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder
from fake_results import add_run, begin, fill, finish

from app.dashboard import tables
from app.dashboard.families import suggested_models
from app.dashboard.run_tables import run_table, worst_cases
from app.dashboard.slices import part_choices, part_title
from app.dashboard.training_log import epochs, read_stages
from app.shell.names import model_title
from app.shell.results import Results
from eval.database.store import Store
from eval.metrics.significance import holm
from eval.protocol import TestCases
from tpad.bundle import Bundle
from tpad.errors import DataError


@pytest.fixture(scope="module")
def dataset(fake_bundle):
    return Bundle.load(fake_bundle, encoder=FakeEncoder()).dataset


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.db") as made:
        yield made


@pytest.fixture
def results(store, dataset):
    fill(store, dataset)
    made = Results(store.target)
    yield made
    made.store.close()


@pytest.fixture
def evaluation(results):
    return results.evaluation(results.case_sets()[0].key)


def test_the_leaderboard_begins_with_the_best_and_numbers_real_models(evaluation):
    table = tables.leaderboard(evaluation, "all", "MRR", 20, extras=True)
    assert table["MRR"].is_monotonic_decreasing
    places = table.set_index("model").place
    assert places["oracle"] == places["attributes"] == 0
    assert places.drop(["oracle", "attributes"]).tolist() == [1, 2, 3, 4]
    row = table.set_index("model").loc["tpad"]
    assert row["MRR low"] < row["MRR"] < row["MRR high"]
    assert row.of_oracle == pytest.approx(row["MRR"] / table.set_index("model")["MRR"]["oracle"])


def test_ablations_and_references_come_only_when_asked_for(evaluation):
    shown = set(tables.leaderboard(evaluation, "all", "P", 20).model)
    assert shown == {"popularity", "vision", "tpad", "oracle"}


def test_one_seed_leaves_models_that_were_run_once(evaluation):
    assert evaluation.seeds == [0, 1]
    alone = evaluation.of_seed(1)
    assert {name: result.seeds for name, result in alone.by_name.items()} == {
        "popularity": (0,),
        "vision": (1,),
        "tpad": (1,),
        "tpad-no-alignment": (1,),
        "attributes": (1,),
        "oracle": (0,),
    }
    whole, one = evaluation.by_name["tpad"].ranks, alone.by_name["tpad"].ranks
    assert np.array_equal(one.expected[0], whole.expected[1])
    assert alone is evaluation.of_seed(1)
    assert evaluation.of_seed(7).by_name.keys() == {"popularity", "oracle"}


def test_marks_are_corrected_over_the_tests_that_are_shown(evaluation):
    few = tables.differences(evaluation.against(["vision"], "all", "MRR", 20))
    many = tables.differences(
        evaluation.against(["vision", "popularity", "oracle"], "all", "MRR", 20)
    )
    assert few.p["vision"] == many.p["vision"]
    assert many.p_corrected.to_numpy() == pytest.approx(holm(many.p.to_numpy()))
    assert few.p_corrected["vision"] == few.p["vision"] <= many.p_corrected["vision"]
    assert many.difference["vision"] < 0 < many.difference["oracle"]
    assert (many.low <= many.difference).all()
    assert (many.difference <= many.high).all()
    assert many.significant["oracle"]


def test_without_tpad_nothing_is_tested(store, dataset):
    add_run(store, dataset, "vision", "baseline", 2.0)
    results = Results(store.target)
    evaluation = results.evaluation(results.case_sets()[0].key)
    assert evaluation.against(["vision"], "all", "MRR", 20) == []
    assert suggested_models(evaluation) == ["vision"]
    assert tables.ablations(evaluation) == ("tpad", [])
    results.store.close()


def test_warm_and_cold_stand_beside_each_other(evaluation):
    table = tables.warm_cold(evaluation, "P", 20).set_index("model")
    assert table.cold["popularity"] == 0 < table.warm["popularity"]
    frame = evaluation.frame("cold").query("model == 'tpad' and metric == 'P' and k == 20")
    assert table.cold["tpad"] == frame["mean"].item()
    assert table.cold_high["tpad"] == frame.high.item()


def test_slices_that_are_too_small_are_named_and_not_drawn(evaluation, monkeypatch):
    counts = {
        name.removeprefix("length "): int(mask.sum())
        for name, mask in evaluation.masks.items()
        if name.startswith("length")
    }
    monkeypatch.setattr(tables, "MIN_CASES", min(counts.values()) + 1)
    table, small = tables.by_slices(evaluation, "length", "MRR", 20, ["tpad", "oracle"])
    assert small == [f"{n} ({c} cases)" for n, c in counts.items() if c == min(counts.values())]
    assert set(table.bin) == {n for n, c in counts.items() if c > min(counts.values())} != set()
    assert set(table.model) == {"tpad", "oracle"}


def test_ablations_are_held_against_the_whole_method(evaluation):
    whole, names = tables.ablations(evaluation)
    assert (whole, names) == ("tpad", ["tpad-no-alignment"])
    found = [evaluation.against(names, "all", m, 20, whole)[0] for m in ("P", "MRR")]
    table = tables.ablation_table(tables.corrected_together(found))
    assert (table.difference < 0).all()
    assert table.p_corrected.to_numpy() == pytest.approx(holm(table.p.to_numpy()))
    assert set(table.title) == {"without alignment"}


def test_costs_leave_out_what_is_not_fitted(evaluation):
    table = tables.costs(evaluation, "all", "MRR", 20).set_index("model")
    assert "oracle" not in table.index
    assert table.fit_seconds["tpad"] == 40.0


def test_every_model_and_slice_has_words(evaluation):
    assert model_title("vsknn") == "V-SKNN"
    assert model_title("vision_neighbours") == "Neighbours, Vision tower"
    assert model_title("tpad-no-words") == "TPAD, heads over all features in place of words"
    assert model_title("my_own") == "my_own"
    assert part_title("length 1") == "Sessions of 1 item"
    assert part_title("category 5+ things") == "Targets of category 5+ things"
    assert [part for _, part in part_choices(evaluation, main=True)] == ["all", "warm", "cold"]


def test_a_run_is_seen_while_it_goes_on_and_counts_when_it_is_done(store, results, dataset):
    key = results.case_sets()[0].key
    before, stamp = results.evaluation(key), results.stamp()
    with begin(store, dataset, "markov", "baseline") as run:
        assert results.stamp() != stamp
        newest = run_table(results.runs()).iloc[0]
        assert (newest.title, newest.status) == ("Markov chain", "running")
        assert np.isnan(newest.seconds)
        assert results.evaluation(key) is before  # it changes nothing yet
        stamp = results.stamp()
        finish(run, dataset, "markov", 1.5)
    assert results.stamp() != stamp
    assert before.against(["vision"], "all", "P", 20)
    after = results.evaluation(key)
    assert after.is_compared("vision", "all", "P", 20)  # of other runs nothing is computed again
    assert not after.is_compared("markov", "all", "P", 20)
    assert "markov" in after.by_name and "markov" not in before.by_name
    assert run_table(results.runs()).status.iat[0] == "done"


def test_a_run_on_other_cases_leaves_these_as_they_are(store, results, dataset):
    from dataclasses import replace

    before = results.evaluation(results.case_sets()[0].key)
    short = replace(dataset, test=dataset.test.take(np.arange(5)))
    add_run(store, short, "tpad", "tpad", 3.0, name="other")
    latest, first = results.case_sets()
    assert latest.dataset == "other"
    assert results.evaluation(first.key) is before
    assert len(results.evaluation(latest.key).selection.cases) == len(TestCases.of(short))


def test_an_empty_database_offers_nothing(store):
    results = Results(store.target)
    assert results.case_sets() == []
    assert run_table(results.runs()).empty
    with pytest.raises(DataError, match="reload"):
        results.evaluation("f" * 64)
    with pytest.raises(DataError, match="reload"):
        results.run("f" * 32)
    results.store.close()


def test_the_worst_cases_are_the_last_found_and_then_those_not_found():
    ranks = np.array([3, np.inf, 50, 1, 50, 7, np.inf], np.float32)
    everything = np.ones(7, bool)
    assert worst_cases(ranks, everything, 9).tolist() == [2, 4, 5, 0, 3, 1, 6]
    assert worst_cases(ranks, ranks < 10, 2).tolist() == [5, 0]


def test_the_training_log_is_read_stage_by_stage(tmp_path):
    log = tmp_path / "training.jsonl"
    log.write_text(
        '{"time": 1, "stage": "a", "text": "read 3 items", "items": 3}\n'
        '{"time": 2, "stage": "a", "text": "epoch 1", "epoch": 1, "loss": 2.5, "note": "x"}\n'
        '{"time": 3, "stage": "a", "text": "epoch 2", "epoch": 2, "loss": 2}\n'
        '{"time": 4, "stage": "a", "text": "again", "epoch": 1, "loss": 9}\n'
        'no json\n{"stage": "b", "epoch": 1, "lo'
    )
    table = read_stages(log)
    assert table.to_dict("list") == {
        "stage": ["a", "a", "a (2)"],
        "epoch": [1, 2, 1],
        "quantity": ["loss"] * 3,
        "value": [2.5, 2.0, 9.0],
    }
    assert read_stages(tmp_path / "none.jsonl").empty


def test_the_recommenders_tell_their_epochs(fake_bundle):
    bundle = Bundle.load(fake_bundle, encoder=FakeEncoder())
    table = epochs(bundle.recommenders, {"tpad": "TPAD"})
    assert list(dict.fromkeys(table.set)) == list(bundle.sets)
    first = bundle.recommenders["tpad"].history[0]
    own = table[table.set == "tpad"]
    assert own.iloc[0].tolist() == ["tpad", "TPAD", 1, first.loss, first.validation]


def test_tables_survive_the_trip_to_csv(evaluation):
    from io import StringIO

    table = tables.leaderboard(evaluation, "all", "MRR", 20)
    again = pd.read_csv(StringIO(table.to_csv(index=False)))
    assert again.model.tolist() == table.model.tolist()
    assert again["MRR"].to_numpy() == pytest.approx(table["MRR"].to_numpy())
