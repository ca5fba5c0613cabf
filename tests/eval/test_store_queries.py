"""Queries of reports and the dashboard: runs, metrics, ranks, splits and verdicts."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import event
from store_runs import open_run, some_ranks, tiny_shop

from eval.database.store import Store
from eval.metrics.slice_metrics import MetricValue
from eval.metrics.slices import slices
from eval.protocol import SLICES, TestCases
from eval.runs.selection import select_runs
from tpad.errors import DataError

SPLIT = {"kind": "cold_items", "seed": 3, "params": {"fraction": 0.25}}
ROWS = [("i7", "held_out"), ("i1", "train"), ("i10", "train")]


@pytest.fixture
def store(target):
    store = Store(target)
    yield store
    store.close()


def add_split(store, shop, fingerprint="f" * 64, name="cold", rows=ROWS, **more):
    facts = SPLIT | more
    return store.add_split(shop, "shop", name=name, fingerprint=fingerprint, rows=rows, **facts)


def finish(store, shop, model="tpad", seed=0, **more):
    with open_run(store, shop, model, seed, **more) as run:
        run.finish(some_ranks(shop, seed), 1, 2)
    return run.id


def test_runs_can_be_filtered(store, shop):
    other = tiny_shop()
    split = add_split(store, other)
    ids = [finish(store, shop, "a", 0), finish(store, shop, "b", 1)]
    ids.append(finish(store, other, "a", 1, split_id=split))
    with open_run(store, shop, "c", 0) as run:
        pass
    ids.append(run.id)

    def found(**filters):
        return [ids.index(info.id) for info in store.list_runs(**filters)]

    assert found() == [0, 1, 2, 3]
    assert found(model="a") == [0, 2]
    assert found(model=["b", "c"]) == [1, 3]
    assert found(seed=1) == found(seed=np.array([1])) == [1, 2]
    assert found(status="done", model=("a", "c")) == [0, 2]
    assert found(cases=TestCases.of(shop).fingerprint) == [0, 1, 3]
    assert found(dataset=other.fingerprint) == found(split="cold") == found(split="f" * 64) == [2]
    assert found(dataset="nowhere") == found(model=[]) == []


def test_slices_are_stored_once_for_all_runs_on_the_cases(store, shop):
    cases, run = TestCases.of(shop), finish(store, shop)
    assert store.slices(run) == {}
    masks = slices(cases, shop)
    store.add_slices(shop, "shop", cases, masks)
    store.add_slices(shop, "shop", cases, {"length 1": ~masks["length 1"], "mine": cases.cold})
    found = store.slices(finish(store, shop, seed=1))
    wanted = [name for name, mask in masks.items() if mask.any() and name not in SLICES]
    assert [name for name in found if name != "mine"] == wanted and "mine" in found
    for name in wanted:
        np.testing.assert_array_equal(found[name], masks[name])
    np.testing.assert_array_equal(found["mine"], cases.cold)
    assert store.slices(finish(store, tiny_shop())) == {}  # of another dataset


def test_without_stored_slices_those_by_length_are_used(store, shop):
    finish(store, shop)
    masks = select_runs(store).masks()
    assert list(masks)[:3] == ["all", "warm", "cold"]
    assert {name.split(" ")[0] for name in list(masks)[3:]} == {"length"}
    cases = TestCases.of(shop)
    store.add_slices(shop, "shop", cases, slices(cases, shop))
    assert {"category case", "no repeat"} <= set(select_runs(store).masks())


def test_a_run_is_listed_with_all_its_facts(store, shop):
    before = datetime.now(UTC)
    split = add_split(store, shop)
    finish(store, shop, "a", 4, key="abc", split_id=split)
    (info,) = store.list_runs()
    cases = TestCases.of(shop)
    assert (info.model, info.role, info.dataset, info.seed) == ("a", "tpad", "shop", 4)
    assert (info.split, info.split_id, info.key) == ("cold", split, "abc")
    assert (info.cases, info.protocol, info.n_cases) == (
        cases.fingerprint,
        cases.protocol,
        len(cases),
    )
    assert (info.config, info.fit_seconds, info.score_seconds) == ({"a": 1}, 1, 2)
    assert before <= info.started <= info.ended <= datetime.now(UTC)
    assert info.started.utcoffset() == timedelta(0)


def test_metrics_are_a_table_of_finished_runs(store, shop):
    first, second = finish(store, shop, "a", 0), finish(store, shop, "b", 1)
    with open_run(store, shop, "c"):
        pass
    table = store.figures()
    assert list(table) == [
        *("run_id", "model", "role", "dataset", "seed"),
        *("slice", "name", "k", "value", "low", "high"),
    ]
    assert list(table["run_id"].unique()) == [first, second]
    chosen = store.figures([second], slice="cold", name=["P", "MRR"], k=10)
    assert list(chosen["name"]) == ["P", "MRR"]
    stored = {(m.slice, m.name, m.k): m for m in store.metrics(second)}
    assert chosen["value"].iloc[0] == stored["cold", "P", 10].value
    assert set(chosen["model"]) == {"b"}


def test_a_metric_without_an_interval_has_none_in_the_table(store, shop):
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0, more=[MetricValue("all", "coverage", 20, 0.5)])
    (row,) = store.figures(name="coverage").itertuples()
    assert row.value == 0.5
    assert np.isnan(row.low) and np.isnan(row.high)


def test_metrics_of_no_run_are_an_empty_table_of_numbers(store):
    table = store.figures()
    assert len(table) == 0
    assert table["value"].dtype == float


def test_ranks_of_many_runs_are_one_query(store, shop):
    ids = [finish(store, shop, "a", seed) for seed in range(3)]
    asked = []
    event.listen(store.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    matrix = store.rank_matrix([ids[2], ids[0]])
    assert len([query for query in asked if query.startswith("SELECT")]) == 1
    np.testing.assert_array_equal(matrix.expected, [some_ranks(shop, 2), some_ranks(shop, 0)])
    assert matrix.shape == (2, len(some_ranks(shop)))


def test_ranks_of_different_cases_cannot_be_in_one_matrix(store, shop):
    first, other = finish(store, shop), finish(store, tiny_shop())
    with open_run(store, shop) as open_still:
        pass
    with pytest.raises(DataError, match="different cases"):
        store.rank_matrix([first, other])
    with pytest.raises(DataError, match="has no ranks: it is interrupted"):
        store.rank_matrix([first, open_still.id])
    with pytest.raises(DataError, match="no run nothing"):
        store.rank_matrix(["nothing"])
    with pytest.raises(DataError, match="at least one"):
        store.rank_matrix([])
    with pytest.raises(DataError, match="no run nothing"):
        store.get("nothing")
    with pytest.raises(DataError, match="no run nothing"):
        store.case_table("nothing")


def test_two_runs_side_by_side(store, shop):
    first, second = finish(store, shop, "a", 0), finish(store, shop, "b", 1)
    table, cases = store.side_by_side(first, second), TestCases.of(shop)
    np.testing.assert_array_equal(table["first"], some_ranks(shop, 0))
    np.testing.assert_array_equal(table["second"], some_ranks(shop, 1))
    np.testing.assert_array_equal(table["session"], cases.session)
    np.testing.assert_array_equal(table["cold"], cases.cold)
    assert list(table["case"]) == list(range(len(cases)))


def test_a_split_comes_back_item_by_item(store, shop):
    split = add_split(store, shop)
    (info,) = store.splits()
    assert (info.id, info.name, info.kind, info.seed) == (split, "cold", "cold_items", 3)
    assert (info.params, info.fingerprint) == ({"fraction": 0.25}, "f" * 64)
    assert (info.dataset, info.dataset_fingerprint) == ("shop", shop.fingerprint)
    assert info.counts == {"held_out": 1, "train": 2}
    items = store.split_items(split)
    assert list(zip(items["item_id"], items["role"], strict=True)) == sorted(ROWS)
    assert list(store.split_items(split, "train")["item_id"]) == ["i1", "i10"]
    with pytest.raises(DataError, match="no split 99"):
        store.split_items(99)


def test_a_split_is_stored_once(store, shop):
    first = add_split(store, shop)
    again = add_split(store, shop, rows=[("i2", "train")], name="another")
    other = add_split(store, shop, fingerprint="e" * 64, seed=4)
    assert first == again != other
    assert len(store.split_items(first)) == 3
    assert [info.id for info in store.splits(name="cold", seed=4)] == [other]
    assert store.splits(name="another") == []


def test_verdicts_are_added_and_never_replaced(store, shop):
    run, other = finish(store, shop, "a"), finish(store, shop, "b")
    store.add_verdict(run, 3, "good", note="same colour", who="Ada")
    store.add_verdict(run, 3, "bad")
    store.add_verdict(other, 0, "good")
    found = store.verdicts(run)
    assert [(v.case, v.verdict, v.note, v.who) for v in found] == [
        (3, "good", "same colour", "Ada"),
        (3, "bad", "", ""),
    ]
    assert found[0].time <= found[1].time <= datetime.now(UTC)
    assert len(store.verdicts()) == 3
    assert store.verdicts(run, case=0) == []


def test_a_verdict_needs_an_existing_case(store, shop):
    run, n = finish(store, shop), len(TestCases.of(shop))
    for case in (-1, n):
        with pytest.raises(DataError, match=f"cases 0 to {n - 1}, not {case}"):
            store.add_verdict(run, case, "good")
    with pytest.raises(DataError, match="verdict is empty"):
        store.add_verdict(run, 0, " ")
    with pytest.raises(DataError, match="no run nothing"):
        store.add_verdict("nothing", 0, "good")
    assert store.verdicts() == []
