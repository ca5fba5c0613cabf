"""New databases, other versions, read-only disks, and files that are not results databases."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from store_runs import open_run, some_ranks, tiny_shop

from eval.database.connection import default_target
from eval.database.revision import MIGRATIONS
from eval.database.schema import REVISION, Base
from eval.database.store import Store
from tpad.errors import DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_writing(monkeypatch):
    """Files look as on a read-only disk; root may write anywhere, so they are not made so."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))


def differences(connection):
    """What the tables have that the models have not, or the other way round."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return compare_metadata(context, Base.metadata)


def test_a_new_database_has_the_tables_of_the_models(target):
    store = Store(target)
    with store.engine.connect() as connection:
        assert differences(connection) == []
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    store.close()
    assert revision == REVISION


def test_the_latest_migration_is_the_revision_of_the_tables():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_opening_a_database_again_changes_nothing(target):
    shop, store = tiny_shop(), Store(target)
    with open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    store.close()
    again = Store(target)
    np.testing.assert_array_equal(again.ranks(run.id), some_ranks(shop))
    again.close()


def test_the_demo_database_can_be_read():
    with Store(ROOT / "assets" / "demo.db", read_only=True) as store:
        runs = store.list_runs(status="done")
        ranks = store.rank_matrix([run.id for run in runs])
        assert len(runs) > 1 and ranks.shape == (len(runs), runs[0].n_cases)
        assert set(store.figures()["run_id"]) == {run.id for run in runs}


def test_a_failure_while_tables_are_created_leaves_an_empty_database(target, monkeypatch):
    def fail(*_):
        raise RuntimeError("power cut")

    monkeypatch.setattr("alembic.command.upgrade", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        Store(target)
    monkeypatch.undo()
    Store(target).close()
    assert Store(target, read_only=True).runs() == []


@pytest.mark.parametrize("found", ["'4'", "'0003'", "NULL"])
def test_a_database_of_another_version_is_refused_and_left_as_it_is(target, found):
    store = Store(target)
    with store.write() as session:
        session.execute(text("DROP TABLE alembic_version"))
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        session.execute(text(f"INSERT INTO alembic_version VALUES ({found})"))
        session.execute(text("INSERT INTO model (name, role) VALUES ('markov', 'baseline')"))
    store.close()
    content = None
    if "://" not in target:
        with closing(sqlite3.connect(target)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        content = Path(target).read_bytes()
    for read_only in (False, True):
        with pytest.raises(DataError, match="was written by another version of tpad"):
            Store(target, read_only=read_only)
    assert content is None or Path(target).read_bytes() == content


@pytest.mark.parametrize("missing", ["alembic_version", "run"])
def test_tables_of_another_program_are_left_alone(target, missing):
    store = Store(target)
    with store.write() as session:
        session.execute(text(f"ALTER TABLE {missing} RENAME TO notes"))
    store.close()
    with pytest.raises(DataError, match="is not a results database: it holds other tables"):
        Store(target)


def test_files_that_are_not_databases_are_errors(tmp_path):
    notes = tmp_path / "notes.db"
    notes.write_text("these are notes, no database" * 50)
    for read_only in (False, True):
        with pytest.raises(DataError, match="cannot be opened"):
            Store(notes, read_only=read_only)
    with pytest.raises(DataError, match="folder that exists"):
        Store(tmp_path / "missing" / "results.db")
    with pytest.raises(DataError, match="folder that exists"):
        Store(tmp_path)
    with pytest.raises(DataError, match="There is no database"):
        Store(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(DataError, match="is empty"):
        Store(tmp_path / "empty.db", read_only=True)


@pytest.mark.parametrize("name", ["a ?#%20 b.db", "ä.db"])
def test_any_file_name_works(tmp_path, name):
    for _ in range(2):
        Store(tmp_path / name).close()
    Store(tmp_path / name, read_only=True).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_database_on_a_read_only_disk_is_read_in_place(tmp_path, no_writing):
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


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anything")
def test_a_file_without_write_permission_is_read(tmp_path):
    path = tmp_path / "results.db"
    Store(path).close()
    path.chmod(0o444)
    reader = Store(path)
    assert reader.read_only and reader.runs() == []
    reader.close()


def test_the_log_is_read_too(tmp_path, no_writing):
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


def test_the_environment_names_the_default_database(monkeypatch):
    monkeypatch.delenv("TPAD_DATABASE_URL", raising=False)
    assert default_target() == "results.db"
    monkeypatch.setenv("TPAD_DATABASE_URL", "postgresql://host/results")
    assert default_target() == "postgresql://host/results"
    monkeypatch.setenv("TPAD_DATABASE_URL", " ")
    assert default_target() == "results.db"


def test_invalid_urls_are_errors(monkeypatch):
    with pytest.raises(DataError, match="nothing://… is not a valid database URL"):
        Store("nothing://user:secret@host/db")
    with pytest.raises(DataError, match="is not a valid database URL"):
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
