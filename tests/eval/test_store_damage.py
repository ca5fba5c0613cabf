"""Deleted, replaced or damaged databases: errors are one sentence that names the file."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from store_runs import open_run, some_ranks, tiny_shop

from eval.__main__ import main
from eval.database.store import Store
from eval.protocol import TestCases
from eval.runs.selection import results_of, select_runs
from tpad.errors import DataError

SETTLED = {"tuned": {"settings": {"width": 8}}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database with something in every table."""
    path, shop = tmp_path_factory.mktemp("whole") / "results.db", tiny_shop()
    cases = TestCases.of(shop)
    with Store(path) as store:
        for model in ("tpad", "markov"):
            with open_run(store, shop, model, key=model) as run:
                run.finish(some_ranks(shop), 1, 1, SETTLED)
        store.add_slices(shop, "shop", cases, {"length 1": np.arange(len(cases)) % 2 == 0})
        store.add_verdict(run.id, 0, "good", note="fits", who="ann")
        store.add_split(
            shop,
            "shop",
            name="x",
            kind="k",
            seed=0,
            params={"a": 1},
            fingerprint="f",
            rows=[("i1", "held_out")],
        )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return path


@pytest.fixture
def path(whole, tmp_path):
    return Path(shutil.copy(whole, tmp_path / "results.db"))


def read_all(path) -> None:
    """Reads what reports, the dashboard and the commands read."""
    with Store(path, read_only=True) as store:
        for run in store.list_runs():
            store.slices(run.id)
        store.runs()
        store.figures()
        selection = select_runs(store)
        results_of(store, selection)
        selection.masks()
        store.verdicts()
        for split in store.splits():
            store.split_items(split.id)


def change(path, *statements) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        for statement, *values in statements:
            connection.execute(statement, values)
        connection.commit()


@pytest.fixture
def store(path):
    with Store(path) as made:
        yield made


def remove(path):
    path.unlink()


def replace(path):
    shutil.copy(path, path.with_name("other.db"))
    path.with_name("other.db").replace(path)


def overwrite(path):
    other = path.with_name("other.db")
    with Store(other):
        pass
    path.write_bytes(other.read_bytes())  # as `cp` does


def overwrite_with_noise(path):
    path.write_bytes(bytes(range(256)) * 100)


def truncate(path):
    path.write_bytes(b"")


def remove_log(path):
    path.with_name("results.db-wal").unlink()


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (remove, "results.db was deleted after"),
        (replace, "results.db was replaced after"),
        (overwrite, "results.db was overwritten after"),
        (overwrite_with_noise, "results.db was overwritten after"),
        (truncate, "results.db was overwritten after"),
        (remove_log, "results.db-wal, which holds the latest changes, was deleted after"),
    ],
)
def test_a_verdict_that_would_be_lost_is_an_error(store, path, act, says):
    run = store.list_runs()[0].id
    store.add_verdict(run, 0, "good")
    act(path)
    with pytest.raises(DataError, match=f"{says} it was opened. Nothing was read or stored"):
        store.add_verdict(run, 0, "bad")
    with pytest.raises(DataError, match=says):
        store.list_runs()


def test_a_file_deleted_during_a_transaction_is_reported(store, path):
    with (
        pytest.raises(DataError, match=r"deleted after it was opened\. The last results were lost"),
        store.write() as session,
    ):
        session.execute(text("UPDATE model SET role = 'baseline'"))
        path.unlink()


def test_a_reader_reports_that_its_file_was_replaced(path):
    with Store(path, read_only=True) as reader:
        assert reader.list_runs()
        replace(path)
        with pytest.raises(DataError, match=r"results\.db was replaced"):
            reader.verdicts()


def test_other_readers_and_writers_do_not_disturb_a_store(store, path):
    run = store.list_runs()[0].id
    with Store(path) as other, Store(path, read_only=True) as reader:
        other.add_verdict(run, 0, "good")
        store.add_verdict(run, 1, "bad")
        assert len(reader.verdicts()) == 3
    store.add_verdict(run, 1, "good")
    assert len(store.verdicts()) == 4


@pytest.mark.parametrize(
    ("statement", "value", "says"),
    [
        ("UPDATE rank SET ranks = ?", 7, "damaged"),
        ("UPDATE rank SET ranks = ?", b"\0\0\0", "has 3 bytes instead of"),
        ("UPDATE rank SET ranks = zeroblob(length(ranks)) WHERE 1 OR ?", 1, "is below 1"),
        ("DELETE FROM rank WHERE 1 OR ?", 1, "the ranks of run .* are missing"),
        ("UPDATE cases SET session = ?", b"", "column session of the cases has 0 bytes"),
        ("UPDATE cases SET n = ?", 10**15, "bytes instead of"),
        ("UPDATE cases SET protocol = ?", b"\xff\0", "a column of str holds"),
        ("UPDATE case_slice SET mask = ?", b"", "slice 'length 1' has 0 bytes"),
        ("UPDATE run SET config = ?", "{", "damaged"),
        ("UPDATE run SET config = ?", "[1]", "a column of dict holds"),
        ("UPDATE run SET config = ?", '{"tuned": 3}', "the settings of run .* are incomplete"),
        ("UPDATE run SET config = ?", '{"imported": {}}', "the settings of run .* are incomplete"),
        ("UPDATE run SET started = ?", 3, "damaged"),
        ("UPDATE run SET status = ?", "dpne", "has the status 'dpne'"),
        ("UPDATE run SET seed = ?", "one", "a column of int holds 'one'"),
        ("UPDATE run SET split_id = ?", 99, "the split of run .* is missing"),
        ("DELETE FROM model WHERE 1 OR ?", 1, "the model, cases or dataset of run .* are missing"),
        ("DELETE FROM cases WHERE 1 OR ?", 1, "the model, cases or dataset of run .* are missing"),
        ("UPDATE model SET name = ?", b"\xff", "damaged"),
        ("UPDATE metric SET value = ?", "high", "a column of float holds 'high'"),
        ("UPDATE metric SET low = ?", float("inf"), "a column of numbers holds inf"),
        ("UPDATE verdict SET time = ?", "soon", "damaged"),
        ("UPDATE split SET params = ?", "3", "a column of dict holds 3"),
    ],
)
def test_content_of_a_wrong_type_or_length(path, statement, value, says):
    limited = statement.replace("UPDATE", "UPDATE OR REPLACE", 1)
    change(path, (limited, value))
    with pytest.raises(DataError, match=says) as caught:
        read_all(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_causes_a_traceback(path, whole, seed):
    """Single bytes, or a whole stretch: never a traceback."""
    rng, content = random.Random(seed), bytearray(whole.read_bytes())
    if seed % 2:
        for _ in range(rng.randint(1, 40)):
            content[rng.randrange(100, len(content))] = rng.randrange(256)
    else:
        size = rng.choice([64, 512, 4096])
        at = rng.randrange(100, len(content) - size)
        content[at : at + size] = rng.randbytes(size)
    path.write_bytes(content)
    try:
        read_all(path)
    except DataError as error:
        assert "\n" not in str(error)


def test_a_report_of_a_damaged_database_is_one_line(path, capsys):
    change(path, ("UPDATE rank SET ranks = ?", b"xyz"))
    assert main(["report", "--database", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path} is damaged (") and told.count("\n") == 1


def test_a_damaged_page_is_reported(path):
    with closing(sqlite3.connect(path)) as connection:
        named = "SELECT rootpage FROM sqlite_master WHERE name = 'run'"
        at = 4096 * (connection.execute(named).fetchone()[0] - 1)
    content = bytearray(path.read_bytes())
    content[at : at + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(DataError, match="the file is damaged or not a database"):
        read_all(path)


def test_half_of_a_surrogate_pair_is_an_error(target):
    shop = tiny_shop()
    with Store(target) as store:
        with open_run(store, shop) as run:
            run.finish(some_ranks(shop), 0, 0)
        for more in ({"note": "x\ud83d"}, {"who": "\ud83d"}):
            with pytest.raises(DataError, match="holds half of a character"):
                store.add_verdict(run.id, 0, "good", **more)
        with (
            pytest.raises(DataError, match=r"half of a character \(U\+D83D\)"),
            open_run(store, shop, model="x\ud83d"),
        ):
            pass
        with pytest.raises(DataError, match="half of a character"):
            store.list_runs(model="x\ud83d")
        assert store.verdicts() == [] and len(store.list_runs()) == 1
