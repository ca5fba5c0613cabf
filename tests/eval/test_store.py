"""The results database: what goes in comes out, and nothing half-written stays."""

import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from sqlalchemy import text

from eval.metrics import case_values
from eval.protocol import TestCases
from eval.store import Store
from tpad.errors import DataError

VERSION = ("0.1.0", "abc")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results.db")
    yield store
    store.close()


def open_run(store, shop, model="tpad", seed=0, key="k"):
    cases = TestCases.of(shop)
    return store.run(shop, "shop", cases, (model, "tpad"), seed, {"a": 1}, key, VERSION)


def some_ranks(shop, seed=0):
    rng = np.random.default_rng(seed)
    ranks = rng.integers(1, 60, len(TestCases.of(shop))) / 2 + 0.5
    ranks[::5] = np.inf
    return ranks.astype(np.float32)


def test_ranks_and_figures_come_back(store, shop):
    cases, ranks = TestCases.of(shop), some_ranks(shop)
    with open_run(store, shop) as run:
        run.finish(ranks, 1.5, 0.25, {"tuned": {"pca": 3}})
    row = store.get(run.id)
    assert (row.status, row.seed, row.config) == ("done", 0, {"a": 1, "tuned": {"pca": 3}})
    assert (row.fit_seconds, row.score_seconds) == (1.5, 0.25)
    assert row.ended >= row.started
    np.testing.assert_array_equal(store.ranks(run.id), ranks)
    figures = {(m.slice, m.name, m.k): m for m in store.metrics(run.id)}
    assert len(figures) == 3 * 9
    found = figures["cold", "MRR", 10]
    expected = case_values(ranks[cases.cold], "MRR", 10).mean()
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_the_cases_are_stored_once_and_can_be_read_back(store, shop):
    cases = TestCases.of(shop)
    for seed in range(2):
        with open_run(store, shop, seed=seed) as run:
            run.finish(some_ranks(shop, seed), 0, 0)
    with store.engine.connect() as connection:
        rows = connection.execute(text("SELECT session, target, length, cold, n FROM cases")).all()
    assert len(rows) == 1
    session, target, length, cold, n = rows[0]
    assert n == len(cases)
    np.testing.assert_array_equal(np.frombuffer(session, "<i4"), cases.session)
    np.testing.assert_array_equal(np.frombuffer(target, "<i4"), cases.targets)
    np.testing.assert_array_equal(np.frombuffer(cold, "u1"), cases.cold)
    assert np.frombuffer(length, "<i4")[0] == len(cases.prefixes[0])


def test_nothing_is_overwritten(store, shop):
    for seed in range(2):
        with open_run(store, shop) as run:
            run.finish(some_ranks(shop, seed), 0, 0)
    first, second = store.runs()
    assert first.id != second.id
    assert not np.array_equal(store.ranks(first.id), store.ranks(second.id))
    assert store.find("k") == second.id  # the latest
    assert store.find("other") is None


@pytest.mark.parametrize(
    "error, status", [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_a_run_that_breaks_off_is_marked_and_leaves_no_figures(store, shop, error, status):
    with open_run(store, shop, key="whole") as whole:
        whole.finish(some_ranks(shop), 0, 0)
    with pytest.raises(error), open_run(store, shop) as run:
        raise error
    assert store.get(run.id).status == status
    assert store.metrics(run.id) == []
    assert store.find("k") is None
    assert store.find("whole") == whole.id


def test_a_failure_while_results_are_written_leaves_none_of_them(store, shop, monkeypatch):
    def fail(*_):
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError), open_run(store, shop) as run:
        monkeypatch.setattr(Store, "close_run", fail)
        try:
            run.finish(some_ranks(shop), 0, 0)
        finally:
            monkeypatch.undo()
    assert store.get(run.id).status == "failed"
    assert store.metrics(run.id) == []
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM rank")).scalar() == 0


def test_a_killed_run_is_marked_at_the_next_opening(store, shop):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()  # its process is gone
    with open_run(store, shop) as run:
        with store.write() as session:
            session.execute(text(f"UPDATE run SET process = {child.pid} WHERE id = '{run.id}'"))
        again = Store(store.target)
        assert again.get(run.id).status == "interrupted"
        again.close()
        run.done = True


def test_a_run_of_a_living_process_is_left_alone(store, shop):
    with open_run(store, shop) as run:
        again = Store(store.target)
        assert again.get(run.id).status == "running"
        again.close()
        run.finish(some_ranks(shop), 0, 0)


def test_two_writers_lose_nothing(store, shop):
    other = Store(store.target)
    with open_run(store, shop, "a") as first, open_run(other, shop, "b") as second:
        first.finish(some_ranks(shop, 1), 0, 0)
        second.finish(some_ranks(shop, 2), 0, 0)
    assert [row.status for row in store.runs()] == ["done", "done"]
    np.testing.assert_array_equal(store.ranks(second.id), some_ranks(shop, 2))
    other.close()


def test_a_read_only_database_can_be_read_but_not_written(store, shop, monkeypatch):
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    store.close()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    reader = Store(store.target)
    np.testing.assert_array_equal(reader.ranks(run.id), some_ranks(shop))
    with pytest.raises(DataError, match="read-only"), open_run(reader, shop):
        pass
    reader.close()


def test_other_files_and_newer_databases_are_refused(tmp_path):
    notes = tmp_path / "notes.db"
    notes.write_text("these are notes, no database" * 50)
    with pytest.raises(DataError, match="cannot be opened"):
        Store(notes)
    with pytest.raises(DataError, match="folder that exists"):
        Store(tmp_path / "missing" / "results.db")
    Store(tmp_path / "results.db").close()
    with sqlite3.connect(tmp_path / "results.db") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(DataError, match="schema version 99"):
        Store(tmp_path / "results.db")
