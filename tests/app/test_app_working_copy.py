"""The copy of the demo's database that verdicts are written to."""

import os

import numpy as np
import pytest
from fake_bundle import make_fake_dataset

from app.shell.working_copy import working_copy
from eval.database.store import Store
from eval.protocol import TestCases
from tpad.errors import DataError


@pytest.fixture
def shop(tmp_path):
    return make_fake_dataset(tmp_path / "shop", with_images=False)


def add_run(target, shop, model) -> str:
    cases = TestCases.of(shop)
    with (
        Store(target) as store,
        store.run(shop, "s", cases, (model, "tpad"), 0, {}, model, ("0", "c")) as run,
    ):
        run.finish(np.ones(len(cases), np.float32), 1, 1)
        return run.id


def test_verdicts_go_to_the_copy_and_outlive_an_update(shop, tmp_path):
    shipped, copy = tmp_path / "demo.db", tmp_path / "app.db"
    run = add_run(shipped, shop, "one")
    assert working_copy(shipped, copy) == copy
    with Store(copy) as store:
        store.add_verdict(run, 3, "plausible", note="fine")
    before = copy.stat().st_mtime_ns
    assert working_copy(shipped, copy) == copy and copy.stat().st_mtime_ns == before

    add_run(shipped, shop, "two")
    working_copy(shipped, copy)
    with Store(copy, read_only=True) as store:
        assert [info.model for info in store.list_runs()] == ["one", "two"]
        assert [(v.run_id, v.case, v.verdict, v.note) for v in store.verdicts()] == [
            (run, 3, "plausible", "fine")
        ]
    with Store(shipped, read_only=True) as store:
        assert store.verdicts() == []
    assert not [name for name in os.listdir(tmp_path) if "part" in name]


def test_where_nothing_can_be_written_the_shipped_one_is_opened(shop, tmp_path, monkeypatch):
    shipped = tmp_path / "demo.db"
    add_run(shipped, shop, "one")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert working_copy(shipped, tmp_path / "app.db") == shipped


def test_each_copy_is_another_database(shop, tmp_path):
    shipped = tmp_path / "demo.db"
    run = add_run(shipped, shop, "one")
    first, second = (working_copy(shipped, tmp_path / name) for name in ("a.db", "b.db"))
    with Store(first) as store:
        first.write_bytes(second.read_bytes())
        with pytest.raises(DataError, match=r"a\.db was overwritten after it was opened"):
            store.add_verdict(run, 0, "good")
