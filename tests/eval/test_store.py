"""The results database: what is stored can be read, and nothing is overwritten."""

import numpy as np
import pytest
from sqlalchemy import text
from store_runs import open_run, some_ranks

from eval.database.store import Store
from eval.metrics.ranks import Ranks, case_values
from eval.metrics.slice_metrics import MetricValue
from eval.protocol import SLICES, TestCases
from tpad.errors import DataError


@pytest.fixture
def store(target):
    store = Store(target)
    yield store
    store.close()


def test_ranks_and_metrics_are_stored(store, shop):
    cases = TestCases.of(shop)
    rng = np.random.default_rng(0)
    ranks = Ranks(rng.integers(0, 9, len(cases)), rng.integers(0, 7, len(cases)))
    with open_run(store, shop) as run:
        run.finish(ranks, 1.5, 0.25, {"tuned": {"pca": 3}})
    row = store.get(run.id)
    assert (row.status, row.seed, row.config) == ("done", 0, {"a": 1, "tuned": {"pca": 3}})
    assert (row.fit_seconds, row.score_seconds) == (1.5, 0.25)
    assert row.ended >= row.started
    np.testing.assert_array_equal(store.ranks(run.id), ranks.expected)
    stored = store.rank_matrix([run.id])[0]
    np.testing.assert_array_equal(stored.ties, ranks.ties)
    np.testing.assert_array_equal(stored.above[ranks.ties > 0], ranks.above[ranks.ties > 0])
    figures = {(m.slice, m.name, m.k): m for m in store.metrics(run.id)}
    assert {slice_ for slice_, _, _ in figures} == set(SLICES)
    found = figures["cold", "MRR", 10]
    expected = case_values(ranks[cases.cold], "MRR", 10).mean()
    assert found.value == expected  # bit for bit
    assert found.low <= found.value <= found.high


def test_further_metrics_are_stored_with_those_of_the_ranks(store, shop):
    more = [MetricValue("all", "coverage", 20, 0.25), MetricValue("all", "ECE", 0, 0.125, 0.1, 0.2)]
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0, more=more)
    figures = {(m.name, m.k): (m.value, m.low, m.high) for m in store.metrics(run.id)}
    assert figures["coverage", 20] == (0.25, None, None)
    assert figures["ECE", 0] == (0.125, 0.1, 0.2)
    assert ("P", 20) in figures


def test_the_cases_are_stored_once_and_can_be_read_back(store, shop):
    cases = TestCases.of(shop)
    for seed in range(2):
        with open_run(store, shop, seed=seed) as run:
            run.finish(some_ranks(shop, seed), 0, 0)
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM cases")).scalar() == 1
    found = store.case_table(run.id)
    assert (len(found), found.fingerprint) == (len(cases), cases.fingerprint)
    np.testing.assert_array_equal(found.session, cases.session)
    np.testing.assert_array_equal(found.target, cases.targets)
    np.testing.assert_array_equal(found.cold, cases.cold)
    np.testing.assert_array_equal(found.length, [len(prefix) for prefix in cases.prefixes])


def test_nothing_is_overwritten(store, shop):
    for seed in range(2):
        with open_run(store, shop) as run:
            run.finish(some_ranks(shop, seed), 0, 0)
    first, second = store.runs()
    assert first.id != second.id
    assert not np.array_equal(store.ranks(first.id), store.ranks(second.id))
    assert store.find("k") == second.id  # the latest
    assert store.find("other") is None


def test_a_run_gets_its_results_once(store, shop):
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop, 0), 1.0, 0)
        with pytest.raises(DataError, match="never overwritten"):
            run.finish(some_ranks(shop, 1), 2.0, 0)
    np.testing.assert_array_equal(store.ranks(run.id), some_ranks(shop, 0))
    assert store.get(run.id).fit_seconds == 1.0


@pytest.mark.parametrize(
    "error, status", [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_a_run_that_fails_is_marked_and_stores_no_metrics(store, shop, error, status):
    with open_run(store, shop, key="whole") as whole:
        whole.finish(some_ranks(shop), 0, 0)
    with pytest.raises(error), open_run(store, shop) as run:
        raise error
    assert store.get(run.id).status == status
    assert store.metrics(run.id) == []
    assert store.find("k") is None
    assert store.find("whole") == whole.id


def test_a_run_that_is_left_without_results_is_interrupted(store, shop):
    with open_run(store, shop) as run:
        pass
    assert store.get(run.id).status == "interrupted"


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda ranks: ranks[:-1], "as many ranks"),
        (lambda ranks: np.where(np.arange(len(ranks)) == 3, np.nan, ranks), "at least 1"),
        (lambda ranks: ranks - ranks.min(), "at least 1"),
        (lambda ranks: ranks + 0.25, "end in .0 or .5"),
    ],
)
def test_invalid_ranks_are_errors(store, shop, change, fault):
    with pytest.raises(DataError, match=fault), open_run(store, shop) as run:
        run.finish(change(some_ranks(shop)), 0, 0)
    assert store.get(run.id).status == "failed"


def test_a_metric_that_is_not_finite_is_an_error_and_nothing_is_stored(store, shop):
    with pytest.raises(DataError, match="ECE@0 of slice cold"), open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0, more=[MetricValue("cold", "ECE", 0, float("nan"))])
    assert store.metrics(run.id) == []


def test_a_failure_while_results_are_written_leaves_none_of_them(store, shop, monkeypatch):
    def fail(*_):
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError), open_run(store, shop) as run:
        monkeypatch.setattr("eval.database.open_run.close_run", fail)
        try:
            run.finish(some_ranks(shop), 0, 0)
        finally:
            monkeypatch.undo()
    assert store.get(run.id).status == "failed"
    assert store.metrics(run.id) == []
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM rank")).scalar() == 0
