"""Encoding in shards: every row once, whatever is lost on the way."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, picture

import tpad
from tpad import Bundle, NewItem
from tpad.encoding import encode_table, read_shards, run as running, workers
from tpad.errors import ConfigError, DataError, ModelError
from tpad.io.locking import only_run


class DeadlyEncoder(FakeEncoder):
    """Kills its own process at a certain item, for as long as a file says so."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def encode(self, items, sets=None):
        lives = int(self.file.read_text())
        if lives and any(item.title == "green shoe 17" for item in items):
            self.file.write_text(str(lives - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(items, sets)


class Interrupted(FakeEncoder):
    """Is interrupted at its third call, as by Ctrl-C."""

    def encode(self, items, sets=None):
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return super().encode(items, sets)


@pytest.fixture
def bundle(fake_bundle) -> Bundle:
    return Bundle.load(fake_bundle, encoder=FakeEncoder())


@pytest.fixture
def table(tmp_path) -> Path:
    """Fifty items, every fifth with a picture."""
    shop = tmp_path / "shop"
    shop.mkdir()
    picture("green", 3).save(shop / "g.png")
    rows = [(f"t-{i:02d}", f"green shoe {i}", 2.5 * i, "" if i % 5 else "g.png") for i in range(50)]
    path = shop / "items.csv"
    pd.DataFrame(rows, columns=["item_id", "title", "price", "image"]).to_csv(path, index=False)
    return path


def expected(table: Path) -> np.ndarray:
    frame = pd.read_csv(table, dtype={"image": str}).fillna({"image": ""})
    items = [
        NewItem(picture("green", 3) if row.image else None, row.title, price=row.price)
        for row in frame.itertuples()
    ]
    return FakeEncoder().encode(items)["tpad"].astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("form", ["parquet", "safetensors"])
def test_shards_hold_what_the_recommender_encodes(bundle, table, tmp_path, form):
    seen = []
    done = encode_table(
        bundle,
        table,
        tmp_path / "out",
        shard_size=16,
        form=form,
        progress=lambda *numbers: seen.append(numbers),
    )
    assert (done.n_rows, done.n_items, done.n_shards, done.n_new) == (50, 50, 4, 4)
    assert seen == [(0, 50), (16, 50), (32, 50), (48, 50), (50, 50)] and not done.report.findings
    shards = read_shards(tmp_path / "out", verify=True)
    assert [len(ids) for ids, _ in shards] == [16, 16, 16, 2]
    ids, vectors = shards.load()
    assert ids == [f"t-{i:02d}" for i in range(50)] and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, expected(table))
    shop = tpad.Recommender(bundle)
    shop.add_items(table)
    np.testing.assert_array_equal(shop.encode(ids), vectors)


def test_parquet_tables_and_shards_are_read_by_others(bundle, table, tmp_path):
    pd.read_csv(table).to_parquet(table.with_suffix(".parquet"), row_group_size=7)
    encode_table(bundle, table.with_suffix(".parquet"), tmp_path / "out", shard_size=20)
    found = pd.read_parquet(tmp_path / "out" / "shard-00001.parquet")
    assert found["item_id"].tolist() == [f"t-{i:02d}" for i in range(20, 40)]
    np.testing.assert_array_equal(np.stack(found["vector"]), expected(table)[20:40])


def test_invalid_rows_are_counted_and_reported(bundle, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    table = tmp_path / "items.csv"
    table.write_text(
        "item_id,title,description,price,image\n"
        "a,red case,,3,\nb,,,1,\n,nameless,,1,\na,again,,1,\nc,too,many,1,,,\n"
        "d,blue cap,,dear,bad.png\ne,,,2,bad.png\nf,,only described,1,nowhere.png\na,third,,1,\n"
    )
    done = encode_table(bundle, table, tmp_path / "out", shard_size=3)
    ids, _ = read_shards(tmp_path / "out").load()
    assert ids == ["a", "d", "f"] and (done.n_rows, done.n_items, done.n_shards) == (8, 3, 3)
    reported = done.report.as_dict()
    assert {reason: fault["count"] for reason, fault in reported.items()} == {
        "row with too many or too few fields": 1,
        "duplicate item_id": 2,
        "missing item_id": 1,
        "price is not a number": 1,
        "missing image": 1,
        "unreadable image": 2,
        "item without picture and text": 2,
    }
    assert "items.csv row 4" in reported["missing item_id"]["examples"][0]
    assert "items.csv row 7" in reported["price is not a number"]["examples"][0]
    assert reported["duplicate item_id"]["examples"] == ["items.csv row 5", "items.csv row 10"]
    again = encode_table(bundle, table, tmp_path / "out", shard_size=3)
    assert again.report == done.report and again.n_new == 0


def test_an_interrupted_run_is_resumed(fake_bundle, table, tmp_path):
    first = Bundle.load(fake_bundle, encoder=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        encode_table(first, table, tmp_path / "out", shard_size=10)
    with pytest.raises(DataError, match="incomplete: 3 of its 5 shards are missing"):
        read_shards(tmp_path / "out")
    (tmp_path / "out" / ".shard-00003.parquet.part-1").write_text("what a killed run leaves")
    encoder = FakeEncoder()
    second = Bundle.load(fake_bundle, encoder=encoder)
    done = encode_table(second, table, tmp_path / "out", shard_size=10)
    assert done.n_new == 3 and sum(n for n, _ in encoder.calls) == 30
    np.testing.assert_array_equal(read_shards(tmp_path / "out").load()[1], expected(table))
    assert not list((tmp_path / "out").glob(".*.part-*"))


def test_a_changed_shard_is_encoded_again(bundle, table, tmp_path):
    out = tmp_path / "out"
    encode_table(bundle, table, out, shard_size=10)
    (out / "shard-00001.parquet").unlink()
    changed = (out / "shard-00003.parquet").read_bytes()
    (out / "shard-00003.parquet").write_bytes(changed[:-1] + b"x")
    with pytest.raises(DataError, match=r"shard-00001\.parquet is missing or was changed"):
        read_shards(out)
    assert encode_table(bundle, table, out, shard_size=10).n_new == 2
    assert (out / "shard-00003.parquet").read_bytes() == changed


def test_workers_share_the_shards_and_a_killed_one_is_replaced(bundle, table, tmp_path):
    lives = tmp_path / "lives"
    lives.write_text("1")
    done = encode_table(
        bundle,
        table,
        tmp_path / "out",
        shard_size=10,
        workers=2,
        make_encoder=partial(DeadlyEncoder, lives),
    )
    assert done.n_new == 5 and done.n_lost == 1 and lives.read_text() == "0"
    ids, vectors = read_shards(tmp_path / "out", verify=True).load()
    assert ids == [f"t-{i:02d}" for i in range(50)]
    np.testing.assert_array_equal(vectors, expected(table))


def test_a_shard_that_kills_every_worker_is_named(bundle, table, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "ATTEMPTS", 1)
    (tmp_path / "lives").write_text("9")
    with pytest.raises(ModelError, match="encodes shard 1 failed 1 times"):
        encode_table(
            bundle,
            table,
            tmp_path / "out",
            shard_size=10,
            workers=2,
            make_encoder=partial(DeadlyEncoder, tmp_path / "lives"),
        )


def test_a_workers_own_error_is_raised(bundle, table, tmp_path):
    with pytest.raises(ModelError, match="not finite or not of shape"):
        encode_table(
            bundle,
            table,
            tmp_path / "out",
            shard_size=25,
            workers=2,
            model="vision",
            make_encoder=BrokenEncoder,
        )
    assert not list((tmp_path / "out").glob("shard-*"))


class BrokenEncoder(FakeEncoder):
    def encode(self, items, sets=None):
        return {name: np.full((len(items), 12), np.nan) for name in sets}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shard_size": 11}, "--shard-size 10, not 11"),
        ({"form": "safetensors"}, "--format 'parquet', not 'safetensors'"),
        ({"model": "vision"}, "--model 'tpad', not 'vision'"),
    ],
)
def test_other_settings_are_refused(bundle, table, tmp_path, options, words):
    encode_table(bundle, table, tmp_path / "out", shard_size=10)
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[!.]*"))
    with pytest.raises(ConfigError, match=words):
        encode_table(bundle, table, tmp_path / "out", **{"shard_size": 10, **options})
    assert before == sorted(path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[!.]*"))


def test_another_table_or_bundle_is_refused(bundle, table, tmp_path):
    encode_table(bundle, table, tmp_path / "out", shard_size=10)
    bundle.info["checksums"]["encoder.json"] = "0" * 64
    with pytest.raises(ConfigError, match="started with another bundle"):
        encode_table(bundle, table, tmp_path / "out", shard_size=10)
    table.write_text(table.read_text().replace("shoe 3", "hat 3"))
    with pytest.raises(ConfigError, match="started with a table of other content"):
        encode_table(bundle, table, tmp_path / "out", shard_size=10)


def test_invalid_arguments_are_refused(bundle, table, tmp_path):
    out = tmp_path / "out"
    for options, words in (
        ({"shard_size": 0}, "--shard-size must be"),
        ({"workers": 0}, "--workers must be"),
        ({"form": "csv"}, "no format 'csv'"),
        ({"model": "gpt"}, "no embedding set 'gpt'"),
    ):
        with pytest.raises(ConfigError, match=words):
            encode_table(bundle, table, out, **options)
    assert not out.exists()
    with pytest.raises(ConfigError, match="holds other files"):
        encode_table(bundle, table, table.parent)
    with pytest.raises(DataError, match=r"holds no manifest\.json"):
        read_shards(table.parent)
    out.mkdir()
    with only_run(out), pytest.raises(ConfigError, match="Another run writes to"):
        encode_table(bundle, table, out)
    (out / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json cannot be read"):
        read_shards(out)
    (out / "manifest.json").write_text(json.dumps({"format_version": 9, "plan": {}, "shards": {}}))
    with pytest.raises(DataError, match="format version 9"):
        encode_table(bundle, table, out)


def test_a_shard_whose_picture_changed_is_encoded_again(bundle, table, tmp_path):
    out = tmp_path / "out"
    frame = pd.read_csv(table).assign(image=["g.png"] + [""] * 29 + ["h.png"] + [""] * 19)
    frame.to_csv(table, index=False)
    picture("blue", 3).save(table.parent / "h.png")
    encode_table(bundle, table, out, shard_size=10)
    before = read_shards(out).load()[1]
    assert encode_table(bundle, table, out, shard_size=10).n_new == 0
    picture("red", 8).resize((90, 90)).save(table.parent / "h.png")
    assert encode_table(bundle, table, out, shard_size=10).n_new == 1
    after = read_shards(out).load()[1]
    assert np.flatnonzero((before != after).any(1)).tolist() == [30]


class VectorEncoder(FakeEncoder):
    """Reads nothing but a vector `clip` of each item, and refuses an item that has none."""

    def encode(self, items, sets=None):
        if any(not item.vectors for item in items):
            raise DataError("The item has no vector 'clip'.")
        rows = np.stack([item.vectors["clip"] for item in items])  # (n, 2)
        return {name: np.tile(rows, 12) for name in sets}


@pytest.mark.parametrize(
    ("with_ids", "workers"), [(True, 1), (False, 1), pytest.param(False, 2, marks=pytest.mark.slow)]
)
def test_items_have_given_vectors(bundle, table, tmp_path, with_ids, workers):
    bundle.info["config"]["features"] = ["clip", "tfidf"]
    values = np.arange(100, dtype=np.float32).reshape(50, 2)
    present = np.arange(50) != 17
    ids = np.array([f"t-{i:02d}" for i in range(50)])
    file = tmp_path / "clip.npz"
    if with_ids:
        back = np.arange(49, -1, -1)
        np.savez(file, features=values[back], present=present[back], item_id=ids[back])
    else:
        np.savez(file, features=values, present=present)
    done = encode_table(
        bundle,
        table,
        tmp_path / "out",
        shard_size=20,
        features={"clip": file},
        workers=workers,
        make_encoder=VectorEncoder,
    )
    found, vectors = read_shards(tmp_path / "out").load()
    assert found == ids[present].tolist() and done.n_items == 49
    np.testing.assert_array_equal(vectors[:, :2], values[present])
    rejected = done.report.as_dict()["item that cannot be encoded"]
    assert rejected["count"] == 1 and rejected["examples"] == [
        "item 't-17': The item has no vector 'clip'"
    ]
    missing = done.report.as_dict()["item without a vector 'clip'"]
    assert missing["count"] == 1 and missing["examples"] == ["item 't-17'"]


def test_vectors_that_do_not_fit_the_table_are_refused(bundle, table, tmp_path):
    out, file = tmp_path / "out", tmp_path / "clip.npz"
    np.savez(file, features=np.ones((49, 2), np.float32))
    with pytest.raises(ConfigError, match="does not use item vectors 'clip'; leave out"):
        encode_table(bundle, table, out, features={"clip": file})
    bundle.info["config"]["features"] = ["clip"]
    with pytest.raises(ConfigError, match="does not use item vectors 'clap'; it uses clip"):
        encode_table(bundle, table, out, features={"clap": file})
    with pytest.raises(ConfigError, match="give --features clip=FILE"):
        encode_table(bundle, table, out)
    with pytest.raises(DataError, match="49 rows in the order of the item table, which has 50"):
        encode_table(bundle, table, out, features={"clip": file})
    assert not out.exists()
    np.savez(file, features=np.ones((50, 2), np.float32))
    encode_table(bundle, table, out, features={"clip": file}, make_encoder=VectorEncoder)
    np.savez(file, features=np.zeros((50, 2), np.float32))
    with pytest.raises(ConfigError, match="was started with other files of --features"):
        encode_table(bundle, table, out, features={"clip": file}, make_encoder=VectorEncoder)


def test_each_worker_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert running._devices("auto", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert running._devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert running._devices("cpu", 2) == ["cpu", "cpu"]
