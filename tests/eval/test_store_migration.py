"""Databases of an earlier revision: read as they are, and brought up to date before they are written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from store_runs import open_run, some_ranks, tiny_shop

from eval.database.revision import bring_up_to_date, revision_of
from eval.database.schema import EARLIER, REVISION, Base
from eval.database.store import Store
from eval.metrics.frontier import Frontier
from eval.runs.selection import results_of, select_runs
from tpad.errors import DataError

DEMO = Path(__file__).parents[2] / "assets" / "demo.db"
CURVE = Frontier(
    np.array([-np.inf, 0.25, np.inf]),
    np.array([0.5, 0.4, 0.0]),
    np.array([0.0, 0.2, 0.3]),
    np.array([0.0, 0.1, 1.0]),
)


@pytest.fixture(params=EARLIER)
def old(request, target, monkeypatch):
    """A database of an earlier revision with one run: its name and the run's id."""
    shop = tiny_shop()
    for module in ("revision", "connection"):
        monkeypatch.setattr(f"eval.database.{module}.REVISION", request.param)
    with Store(target) as store, open_run(store, shop) as run:
        run.finish(some_ranks(shop), 1, 2)
    monkeypatch.undo()
    return target, run.id


def revision(store):
    with store.engine.connect() as connection:
        return revision_of(connection, "it")


def test_an_earlier_database_is_brought_up_to_date_and_keeps_its_runs(old):
    target, run_id = old
    shop, store = tiny_shop(), Store(target)
    assert revision(store) == REVISION
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    np.testing.assert_array_equal(store.ranks(run_id), some_ranks(shop))
    with open_run(store, shop, "other") as run:
        run.finish(some_ranks(shop), 0, 0, frontier=CURVE)
    assert set(store.frontiers([run_id, run.id])) == {run.id}
    store.close()
    again = Store(target)  # nothing is left to do
    assert [one.id for one in again.list_runs()] == [run_id, run.id]
    again.close()


def test_an_earlier_database_is_read_without_being_changed(old):
    target, run_id = old
    reader = Store(target, read_only=True)
    assert revision(reader) in EARLIER
    with reader.engine.connect() as connection:
        assert not inspect(connection).has_table("frontier")
    assert reader.frontiers([run_id]) == {}
    (result,) = results_of(reader, select_runs(reader))
    assert result.frontiers == {} and result.ranks.shape[0] == 1
    # Another program brings it up to date meanwhile.
    shop, writer = tiny_shop(), Store(target)
    with open_run(writer, shop, "other") as run:
        run.finish(some_ranks(shop), 0, 0, frontier=CURVE)
    assert set(reader.frontiers([run_id, run.id])) == {run.id}
    reader.close()
    writer.close()


def test_two_programs_can_bring_a_database_up_to_date(old):
    target, run_id = old
    with Store(target) as store, store.opened.writing.begin() as connection:
        bring_up_to_date(connection, "it")
    with Store(target) as store:
        assert store.get(run_id).status == "done"


def test_a_failed_migration_leaves_the_earlier_database(old, monkeypatch):
    target, run_id = old

    def fail(*_):
        raise RuntimeError("power cut")

    monkeypatch.setattr("alembic.command.upgrade", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        Store(target)
    monkeypatch.undo()
    reader = Store(target, read_only=True)
    assert revision(reader) in EARLIER and reader.get(run_id).status == "done"
    reader.close()


def test_a_copy_of_the_demo_database_can_be_brought_up_to_date(tmp_path):
    copy = tmp_path / "demo.db"
    shutil.copy(DEMO, copy)
    before = Store(DEMO, read_only=True)
    after = Store(copy)
    runs = [run.id for run in before.list_runs(status="done")]
    assert revision(after) == REVISION
    assert [run.id for run in after.list_runs(status="done")] == runs
    ranks = [store.rank_matrix(runs).expected for store in (before, after)]
    np.testing.assert_array_equal(*ranks)
    before.close()
    after.close()


def test_a_frontier_is_read_as_it_was_stored(target):
    shop, store = tiny_shop(), Store(target)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0, frontier=CURVE)
    found = store.frontiers([run.id])[run.id]
    for name in ("offsets", "warm", "cold", "share"):
        np.testing.assert_array_equal(getattr(found, name), getattr(CURVE, name))
    (result,) = results_of(store, select_runs(store))
    assert len(result.frontiers) == 1 and len(result.frontiers[0]) == 3
    store.close()


@pytest.mark.parametrize(
    "damage", ["n = 2", "n = 0", "warm = offsets", "share = :nan", "offsets = :nan"]
)
def test_a_damaged_frontier_is_reported(target, damage):
    shop, store = tiny_shop(), Store(target)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0, frontier=CURVE)
    values = {"nan": np.full(3, np.nan).tobytes()} if ":nan" in damage else {}
    with store.write() as session:
        session.execute(text(f"UPDATE frontier SET {damage}"), values)
    with pytest.raises(DataError, match="is damaged"):
        store.frontiers([run.id])
    store.close()
