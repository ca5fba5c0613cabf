"""Several writers, killed processes, locks and full disks: stored results stay complete."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy import text
from store_runs import open_run, some_ranks, tiny_shop

from eval.database.open_run import close_run
from eval.database.processes import is_running
from eval.database.store import Store
from tpad.errors import DataError

PROGRAM = Path(__file__).with_name("store_runs.py")
FULL = "the disk is full"


@pytest.fixture
def store(target):
    store = Store(target)
    yield store
    store.close()


@pytest.fixture
def file(tmp_path):
    store = Store(tmp_path / "results.db", wait=0.1)
    yield store
    store.close()


@contextmanager
def process(*arguments):
    """A process that says a word and waits."""
    child = subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def count(store, table):
    with store.engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()


def test_two_processes_that_make_and_fill_one_database_lose_nothing(target):
    n, shop = 5, tiny_shop()
    with process("write", target, "a", n) as first, process("write", target, "b", n) as second:
        for child in (first, second):
            assert child.stdout.readline() == "ready\n"
        for child in (first, second):
            child.stdin.write("\n")
            child.stdin.flush()
        assert [child.wait() for child in (first, second)] == [0, 0]
    store = Store(target)
    assert [run.status for run in store.runs()] == ["done"] * 2 * n
    for seed in range(n):
        ids = [store.find(f"{name}-{seed}") for name in "ab"]
        np.testing.assert_array_equal(store.rank_matrix(ids).expected, [some_ranks(shop, seed)] * 2)
    assert (count(store, "model"), count(store, "cases"), count(store, "dataset")) == (n, 1, 1)
    store.close()


def test_killed_runs_are_interrupted_and_all_others_are_whole(target):
    shop, store = tiny_shop(), Store(target)
    with open_run(store, shop, key="whole") as whole:
        whole.finish(some_ranks(shop), 0, 0)
    figures = count(store, "metric")
    with process("stop", target) as child:
        computing, writing = child.stdout.readline().split()
        assert {store.get(run_id).status for run_id in (computing, writing)} == {"running"}
        child.kill()
        child.wait()
    again = Store(target)
    for run_id in (computing, writing):
        assert again.get(run_id).status == "interrupted"
        assert again.get(run_id).ended is not None
    assert again.find("killed") is None
    assert again.find("whole") == whole.id
    assert (count(again, "rank"), count(again, "metric")) == (1, figures)
    np.testing.assert_array_equal(again.ranks(whole.id), some_ranks(shop))
    again.close()
    store.close()


def test_a_run_of_a_running_process_stays_running(store):
    shop = tiny_shop()
    with open_run(store, shop) as run:
        again = Store(store.target)
        assert again.get(run.id).status == "running"
        again.close()
        run.finish(some_ranks(shop), 0, 0)


def test_a_run_marked_as_interrupted_can_still_be_finished(store):
    shop = tiny_shop()
    with open_run(store, shop) as run:
        with store.write() as session:
            close_run(session, run.id, "interrupted")
        run.finish(some_ranks(shop), 0, 0)
    assert store.get(run.id).status == "done"
    np.testing.assert_array_equal(store.ranks(run.id), some_ranks(shop))


def test_a_process_is_identified_by_its_id_and_start_time():
    now = datetime.now(UTC)
    assert is_running(os.getpid(), now)
    assert not is_running(os.getpid(), now - timedelta(days=365))  # its number was another's then
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_running(child.pid, now)
    assert is_running(-1, now)  # a damaged row says nothing


def test_a_process_that_is_not_shown_counts_as_running(monkeypatch):
    """Linux can hide the processes of other users; a signal then still finds them."""

    def hidden(process):
        raise psutil.NoSuchProcess(process)

    def refused(process, signal):
        raise PermissionError

    monkeypatch.setattr(psutil, "Process", hidden)
    assert not is_running(os.getpid(), datetime.now(UTC))  # a signal finds it, so it is not hidden
    monkeypatch.setattr(os, "kill", refused)
    assert is_running(os.getpid(), datetime.now(UTC))


def test_two_open_runs_of_one_database_do_not_disturb_each_other(store):
    other, shop = Store(store.target), tiny_shop()
    with open_run(store, shop, "a") as first, open_run(other, shop, "b") as second:
        first.finish(some_ranks(shop, 1), 0, 0)
        second.finish(some_ranks(shop, 2), 0, 0)
    assert [row.status for row in store.runs()] == ["done", "done"]
    np.testing.assert_array_equal(store.ranks(second.id), some_ranks(shop, 2))
    other.close()


def test_a_locked_database_is_waited_for(store):
    shop, other = tiny_shop(), Store(store.target)
    with open_run(store, shop) as run:
        with other.write() as session:
            session.execute(text("UPDATE run SET seed = 5"))  # holds a lock until the block ends
            thread = threading.Thread(target=run.finish, args=(some_ranks(shop), 0, 0))
            thread.start()
        thread.join()
    assert (store.get(run.id).status, store.get(run.id).seed) == ("done", 5)
    other.close()


def test_a_database_that_stays_locked_is_reported(target):
    shop, store, other = tiny_shop(), Store(target, wait=0.1), Store(target)
    with open_run(store, shop) as run:
        with other.write() as session:
            session.execute(text("UPDATE run SET seed = 5"))
            with pytest.raises(DataError, match=r"another program kept it locked for 0\.1 s"):
                run.finish(some_ranks(shop), 0, 0)
        run.finish(some_ranks(shop), 0, 0)  # what was computed is not lost
    assert store.get(run.id).status == "done"
    other.close()
    store.close()


def limit(store, pages):
    """Lets the database grow to a number of pages, from now on."""
    with store.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_reported_and_nothing_is_half_written(file):
    shop = tiny_shop()
    with open_run(file, shop, key="whole") as whole:
        whole.finish(some_ranks(shop), 0, 0)
    figures = count(file, "metric")
    with pytest.raises(DataError, match=FULL), open_run(file, shop) as run:
        limit(file, 1)  # SQLite takes the present size for it
        config = {"long": "x" * 100_000}
        run.finish(some_ranks(shop), 0, 0, config)
    limit(file, 1_000_000)
    assert file.get(run.id).status in ("failed", "running")
    assert file.get(run.id).config == {"a": 1}
    assert (count(file, "rank"), count(file, "metric")) == (1, figures)
    with open_run(file, shop) as run:
        run.finish(some_ranks(shop), 0, 0)
    assert file.get(run.id).status == "done"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB, where one may be made."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command).returncode:
        pytest.skip("No small disk: that needs root and the right to mount.")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up_is_reported_and_earlier_results_are_kept(small_disk):
    shop, store = tiny_shop(), Store(small_disk / "results.db")
    with open_run(store, shop, key="whole") as whole:
        whole.finish(some_ranks(shop), 0, 0)
    figures = count(store, "metric")
    with pytest.raises(DataError, match=r"full.*make room"), open_run(store, shop) as run:
        run.finish(some_ranks(shop), 0, 0, {"long": "x" * 1_200_000})
    store.close()
    store = Store(small_disk / "results.db")
    assert [info.status for info in store.list_runs(status="done")] == ["done"]
    assert (count(store, "rank"), count(store, "metric")) == (1, figures)
    np.testing.assert_array_equal(store.ranks(whole.id), some_ranks(shop))
    store.close()


def test_a_disk_that_is_full_at_the_start_is_reported_and_gets_no_database(small_disk):
    (small_disk / "filler").write_bytes(b"x" * 1024 * 1024)
    with pytest.raises(DataError, match="full"):
        Store(small_disk / "results.db")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
