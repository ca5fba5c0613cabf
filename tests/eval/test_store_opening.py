"""Versions, read-only disks, and what is no results database."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from store_runs import open_run, some_ranks, tiny_shop

from eval.database.connection import default_target, open_database
from eval.database.schema import SCHEMA_VERSION, Base
from eval.database.store import Store
from tpad.errors import DataError

FIRST_VERSION = Path(__file__).parent / "data" / "version_1.sql"


@pytest.fixture
def old(tmp_path):
    """A database of the first version, made before there was Alembic."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_VERSION.read_text("utf-8"))
    return path


@pytest.fixture
def no_writing(monkeypatch):
    """Files look as on a read-only disk; root may write anywhere, so they are not made so."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))


def rows(path, *tables):
    """Everything in the tables of a file, with names of columns."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]
            for table in tables
        }


def differences(connection):
    """What the tables have that the models have not, or the other way round."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return compare_metadata(context, Base.metadata)


def test_a_new_database_is_what_the_models_say(target):
    store = Store(target)
    with store.engine.connect() as connection:
        assert differences(connection) == []
        versions = [
            connection.execute(text(f"SELECT * FROM {table}")).scalar()
            for table in ("schema_version", "alembic_version")
        ]
    store.close()
    assert versions == [SCHEMA_VERSION, str(SCHEMA_VERSION)]


def test_opening_a_present_database_again_changes_nothing(target):
    shop, store = tiny_shop(), Store(target)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    store.close()
    again = Store(target)
    np.testing.assert_array_equal(again.ranks(run.id), some_ranks(shop))
    again.close()


def test_a_database_of_the_first_version_is_upgraded_without_loss(old):
    tables = ("dataset", "cases", "model", "run", "metric", "rank")
    before = rows(old, *tables)
    assert all(before.values())
    store = Store(old)
    with store.engine.connect() as connection:
        assert differences(connection) == []
        assert (
            connection.execute(text("SELECT version FROM schema_version")).scalar()
            == SCHEMA_VERSION
        )
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    store.close()
    after = rows(old, *tables)
    for run in after["run"]:
        assert run.pop("split_id") is None
    for row in after["rank"]:
        assert row.pop("ties") is None
    assert after == before


def test_ranks_from_before_ties_were_stored_get_the_fewest_that_fit(old):
    with Store(old) as store:
        (run,) = store.list_runs()
        ranks, expected = store.rank_matrix([run.id])[0], store.ranks(run.id)
    np.testing.assert_array_equal(ranks.expected, expected)
    ties = [0 if np.isinf(rank) else 2 if rank % 1 == 0.5 else 1 for rank in expected]
    np.testing.assert_array_equal(ranks.ties, ties)
    assert set(ties) == {0, 1, 2}


def test_an_upgraded_database_takes_new_runs_and_keeps_its_rules(old):
    shop, store = tiny_shop(), Store(old)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    assert len(store.list_runs(status="done")) == 2
    with closing(sqlite3.connect(old)) as connection:
        figure = "SELECT run_id, slice, name, k, value FROM metric LIMIT 1"
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute(f"INSERT INTO metric (run_id, slice, name, k, value) {figure}")
    store.close()


def test_the_shipped_database_can_be_read_and_upgraded(tmp_path):
    path = tmp_path / "demo.db"
    shutil.copy(Path(__file__).parents[2] / "results" / "demo.db", path)
    before = rows(path, "run", "metric", "rank")
    store = Store(path)
    assert {run.id: run.status for run in store.list_runs()} == {
        row["id"]: row["status"] for row in before["run"]
    }
    ranks = {row["run_id"]: row["ranks"] for row in before["rank"]}
    assert ranks
    for run_id, stored in ranks.items():
        assert store.ranks(run_id).tobytes() == stored
    figures = store.figures()
    assert sorted(figures["value"]) == sorted(row["value"] for row in before["metric"])
    store.close()


def test_the_first_version_is_upgraded_on_every_kind_of_database(target, monkeypatch):
    for module in ("eval.database.connection", "eval.database.revision"):
        monkeypatch.setattr(f"{module}.SCHEMA_VERSION", 1)
    first = open_database(target)
    monkeypatch.undo()
    with first.writing.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))  # it was made without Alembic
        connection.execute(text("INSERT INTO model (name, role) VALUES ('markov', 'baseline')"))
    first.close()
    if "://" in target:
        with pytest.raises(DataError, match="version 1 and may only be read"):
            Store(target, read_only=True)
    with Store(target) as store, store.engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM model")).all() == [("markov",)]
        assert (
            connection.execute(text("SELECT version FROM schema_version")).scalar()
            == SCHEMA_VERSION
        )
        assert differences(connection) == []


def test_an_upgrade_that_fails_leaves_the_old_database(old, monkeypatch):
    before = rows(old, "sqlite_master", "run", "schema_version")

    def fail(*_):
        raise RuntimeError("power cut")

    monkeypatch.setattr("eval.database.revision.insert", fail)  # the last step
    with pytest.raises(RuntimeError, match="power cut"):
        Store(old)
    monkeypatch.undo()
    assert rows(old, "sqlite_master", "run", "schema_version") == before
    store = Store(old)
    assert len(store.runs()) == 1
    store.close()


def test_a_newer_database_is_refused(target):
    store = Store(target)
    with store.write() as session:
        session.execute(text("UPDATE schema_version SET version = 99"))
    store.close()
    for read_only in (False, True):
        with pytest.raises(
            DataError, match=f"schema version 99, this package reads up to {SCHEMA_VERSION}"
        ):
            Store(target, read_only=read_only)


def test_other_tables_are_not_written_among(target, old):
    store = Store(target)
    with store.write() as session:
        session.execute(text("DROP TABLE schema_version"))
    store.close()
    with pytest.raises(DataError, match="no results database of this package: it holds other"):
        Store(target)


def test_what_is_no_database_is_refused(tmp_path):
    notes = tmp_path / "notes.db"
    notes.write_text("these are notes, no database" * 50)
    for read_only in (False, True):
        with pytest.raises(DataError, match="cannot be opened"):
            Store(notes, read_only=read_only)
    with pytest.raises(DataError, match="folder that exists"):
        Store(tmp_path / "missing" / "results.db")
    with pytest.raises(DataError, match="folder that exists"):
        Store(tmp_path)
    with pytest.raises(DataError, match="no database"):
        Store(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(DataError, match="is empty"):
        Store(tmp_path / "empty.db", read_only=True)


@pytest.mark.parametrize("name", ["a ?#%20 b.db", "ä.db"])
def test_any_file_name_will_do(tmp_path, name):
    for _ in range(2):
        Store(tmp_path / name).close()
    Store(tmp_path / name, read_only=True).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_present_database_on_a_read_only_disk_is_read_where_it_lies(tmp_path, no_writing):
    shop, path = tiny_shop(), tmp_path / "results.db"
    store = Store(path)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    store.close()
    content = path.read_bytes()
    reader = Store(path)
    assert reader.read_only
    np.testing.assert_array_equal(reader.ranks(run.id), some_ranks(shop))
    assert [p.name for p in tmp_path.iterdir()] == ["results.db"]
    with pytest.raises(DataError, match="read-only"), open_run(reader, shop):
        pass
    with pytest.raises(DataError, match="read-only"):
        reader.add_verdict(run.id, 0, "good")
    reader.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("asked", [True, False])
def test_an_old_database_that_may_not_be_written_is_upgraded_in_memory(old, request, asked):
    if not asked:
        request.getfixturevalue("no_writing")
    content = old.read_bytes()
    reader = Store(old, read_only=asked)
    assert reader.read_only
    (info,) = reader.list_runs()
    assert info.split is None and info.status == "done"
    assert reader.splits() == reader.verdicts() == []
    assert len(reader.ranks(info.id)) == info.n_cases
    with pytest.raises(DataError, match="read-only"):
        reader.add_verdict(info.id, 0, "good")
    reader.close()
    assert old.read_bytes() == content
    assert [path.name for path in old.parent.iterdir()] == ["old.db"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anything")
def test_a_file_without_the_right_to_write_is_read(old):
    old.chmod(0o444)
    reader = Store(old)
    assert reader.read_only and len(reader.runs()) == 1
    reader.close()


def test_what_lies_in_the_log_is_read_too(tmp_path, no_writing):
    """A program that died left the newest rows in the log beside the file."""
    shop, living = tiny_shop(), tmp_path / "living.db"
    store = Store(living)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    for end in ("", "-wal"):
        shutil.copy(f"{living}{end}", tmp_path / f"dead.db{end}")
    store.close()
    reader = Store(tmp_path / "dead.db")
    np.testing.assert_array_equal(reader.ranks(run.id), some_ranks(shop))
    reader.close()


def test_a_reader_sees_what_a_writer_adds(target):
    shop, writer = tiny_shop(), Store(target)
    reader = Store(target, read_only=True)
    with open_run(writer, shop) as run:
        assert reader.get(run.id).status == "running"
        run.finish(some_ranks(shop), 0, 0)
    np.testing.assert_array_equal(reader.ranks(run.id), some_ranks(shop))
    with pytest.raises(DataError, match="read-only"), open_run(reader, shop):
        pass
    reader.close()
    writer.close()


def test_a_reader_makes_and_marks_nothing(target):
    if "://" in target:
        with pytest.raises(DataError, match="is empty"):
            Store(target, read_only=True)
    shop, store = tiny_shop(), Store(target)
    with open_run(store, shop) as run:
        with store.write() as session:
            session.execute(text("UPDATE run SET process = 4194304"))  # more than there can be
        reader = Store(target, read_only=True)
        assert reader.get(run.id).status == "running"
        reader.close()
    store.close()


def test_a_database_in_memory_serves_more_than_one_connection():
    shop, store = tiny_shop(), Store("sqlite://")
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    with store.read(), store.read() as session:
        assert session.execute(text("SELECT count(*) FROM run")).scalar() == 1
    store.close()


def test_a_url_of_a_file_is_that_file(tmp_path):
    Store(f"sqlite:///{tmp_path / 'results.db'}").close()
    assert Store(tmp_path / "results.db", read_only=True).runs() == []


def test_the_environment_names_the_database_where_nobody_does(monkeypatch):
    monkeypatch.delenv("TPAD_DATABASE_URL", raising=False)
    assert default_target() == "results.db"
    monkeypatch.setenv("TPAD_DATABASE_URL", "postgresql://host/results")
    assert default_target() == "postgresql://host/results"
    monkeypatch.setenv("TPAD_DATABASE_URL", " ")
    assert default_target() == "results.db"


def test_urls_that_cannot_work_are_explained(monkeypatch):
    with pytest.raises(DataError, match="nothing://… is no database URL"):
        Store("nothing://user:secret@host/db")
    with pytest.raises(DataError, match="is no database URL"):
        Store("postgresql://host:port:port/db")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DataError, match=r'pip install "psycopg\[binary\]==') as error:
        Store("postgresql://user:secret@localhost/db")
    assert "secret" not in str(error.value)


def test_a_server_that_does_not_answer_is_reported(tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(DataError, match="cannot be opened as a results database") as error:
        Store(f"postgresql://user:secret@/db?host={tmp_path}")
    assert "secret" not in str(error.value)
