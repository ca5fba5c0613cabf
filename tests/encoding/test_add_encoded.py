"""Serving embeddings that are known already, without a forward."""

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, picture

import tpad
from tpad import Bundle, NewItem, Recommender
from tpad.encoding import encode_table
from tpad.errors import ConfigError, DataError


@pytest.fixture
def shop(fake_bundle) -> Recommender:
    return tpad.load(fake_bundle, encoder=FakeEncoder())


@pytest.fixture
def table(tmp_path):
    picture("green", 3).save(tmp_path / "g.png")
    rows = [(f"t-{i:02d}", f"green shoe {i}", 2.5 * i, "" if i % 5 else "g.png") for i in range(30)]
    path = tmp_path / "items.csv"
    pd.DataFrame(rows, columns=["item_id", "title", "price", "image"]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", ["parquet", "safetensors"])
def test_shards_rank_as_added_items_do(shop, fake_bundle, table, tmp_path, form):
    encode_table(shop.bundle, table, tmp_path / "out", shard_size=8, form=form)
    other = Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder()))
    other.add_items(table)
    calls = len(shop.bundle.encoder.calls)
    assert shop.add_encoded(tmp_path / "out", table) == 30
    for session in (["item-0001"], ["t-05", "item-0002"], [NewItem(title="red cap"), "t-07"]):
        pd.testing.assert_frame_equal(shop.recommend(session, k=99), other.recommend(session, k=99))
    assert len(shop.bundle.encoder.calls) == calls + 1  # the red cap
    pd.testing.assert_frame_equal(shop.items, other.items)
    assert shop.image("t-05").tobytes() == picture("green", 3).tobytes()
    assert shop.image("t-06") is None


def test_other_models_work_without_them(shop):
    vectors = np.random.default_rng(0).normal(size=(3, 24))
    assert shop.add_encoded((["a", "b", "c"], vectors)) == 3
    assert len(shop.recommend(["a"], k=99)) == 62
    assert len(shop.recommend(["item-0001"], k=99, model="vision")) == 59
    assert np.isneginf(shop.scores(["item-0001"], "vision")[60:]).all()
    with pytest.raises(DataError, match=r"'b' was added with vectors of tpad alone"):
        shop.recommend(["b"], model="vision")
    # Items that every model knows may follow.
    shop.add_items({"d": NewItem(title="blue case")})
    assert len(shop.recommend(["d"], k=99, model="vision")) == 60
    assert shop.items["item_id"].tolist()[-4:] == ["a", "b", "c", "d"]
    assert shop.image("a") is None and shop.items["title"].tolist()[-2:] == ["", "blue case"]
    np.testing.assert_array_equal(
        shop.encode(["b", "item-0003"])[0], vectors[1].astype(np.float16).astype(np.float32)
    )


def test_invalid_embeddings_add_nothing(shop, table, tmp_path):
    good = np.ones((2, 24), np.float32)
    lost = np.where(np.arange(24) == 3, np.nan, good)
    for given, options, error, words in (
        ((["a", "b"], good[:, 1:]), {}, DataError, r"shape \(2, 24\), not \(2, 23\)"),
        ((["a"], good), {}, DataError, r"shape \(1, 24\)"),
        (([], good[:0]), {}, DataError, "no encoded items"),
        ((["a", "a"], good), {}, DataError, "'a' is given twice"),
        ((["a", ""], good), {}, DataError, "item 1 is ''"),
        ((["a", "b"], lost), {}, DataError, "item 'a' is not finite"),
        ((["a", "item-0003"], good), {}, DataError, "'item-0003' is already in the catalogue"),
        ((["a", "b"], good), {"model": "gpt"}, ConfigError, "no model 'gpt'"),
        (tmp_path, {}, DataError, "holds no manifest"),
    ):
        with pytest.raises(error, match=words):
            shop.add_encoded(given, **options)
    encode_table(shop.bundle, table, tmp_path / "out")
    shop.bundle.info["checksums"]["encoder.json"] = "0" * 64
    with pytest.raises(ConfigError, match="by another bundle"):
        shop.add_encoded(tmp_path / "out")
    assert len(shop.items) == 60 and len(shop.recommend(["item-0001"], k=99)) == 59


def test_a_large_catalogue_is_searched_approximately(fake_bundle):
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(60, 24))
    vectors = centres[rng.integers(60, size=3000)] + 0.3 * rng.normal(size=(3000, 24))
    ids = [f"n-{i:04d}" for i in range(3000)]
    sessions = [[f"item-{i:04d}"] for i in range(20)]
    found = {}
    for search in ("exact", "ivf"):
        shop = tpad.load(fake_bundle, encoder=FakeEncoder(), search=search)
        shop.add_encoded((ids, vectors))
        assert shop.recall(sessions) >= (1.0 if search == "exact" else 0.95)
        found[search] = [shop.recommend(each, k=5) for each in sessions]
        with pytest.raises(DataError, match=r"no item 'n-01234'.*did you mean n-1234"):
            shop.recommend(["n-01234"])
    same = [
        len(set(a["item_id"]) & set(b["item_id"])) for a, b in zip(*found.values(), strict=True)
    ]
    assert np.mean(same) >= 4.75
    with pytest.raises(ConfigError, match="choose one of exact"):
        tpad.load(fake_bundle, search="annoy")
    with pytest.raises(ConfigError, match="at least one"):
        shop.recall([])
