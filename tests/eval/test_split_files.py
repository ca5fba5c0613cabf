"""A saved split is the split that is trained on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_bundle import make_fake_dataset

from eval.splits.files import save_split
from eval.splits.leaks import assert_no_leaks
from eval.splits.split import SplitConfig, make_split
from tpad import DataError, Dataset


@pytest.fixture
def split(tmp_path):
    dataset = make_fake_dataset(tmp_path / "shop", n_items=20, n_sessions=60)
    return make_split(dataset, SplitConfig("cold_items", 3))


def read(folder) -> Dataset:
    """As `python -m tpad train` reads it."""
    return Dataset.load(folder / "items.parquet", folder / "sessions.parquet")


def test_a_saved_split_can_be_loaded(tmp_path, split):
    folder = save_split(split, tmp_path / "out")
    again = read(folder)
    assert again.fingerprint == split.dataset.fingerprint  # pictures and all
    assert not again.report.errors
    record = json.loads((folder / "split.json").read_text())
    assert record["fingerprint"] == split.fingerprint and record["name"] == split.name
    assert record["roles"] == dict(split.rows())
    assert_no_leaks(replace(split, dataset=again))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shop"]


def test_histories_are_saved(tmp_path, split):
    dataset = replace(split.dataset, test=split.dataset.test.take(split.dataset.test.lengths > 2))
    whole = make_split(dataset, SplitConfig("leave_one_out"))
    again = read(save_split(whole, tmp_path / "out"))
    for part in ("validation", "test"):
        mine, theirs = (getattr(each, part).prefixes() for each in (whole.dataset, again))
        np.testing.assert_array_equal(mine.targets, theirs.targets)


def test_a_folder_that_is_not_empty_is_an_error(tmp_path, split):
    with pytest.raises(DataError, match="is not empty"):
        save_split(split, tmp_path / "shop")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        save_split(split, tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "shop"]


def test_a_picture_outside_the_shop_is_not_copied_out(tmp_path, split):
    (tmp_path / "secret.png").write_bytes(b"x")
    items = split.dataset.items.copy()
    items.loc[0, "image"] = "../secret.png"
    astray = replace(split, dataset=replace(split.dataset, items=items))
    save_split(astray, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "secret.png").exists()
