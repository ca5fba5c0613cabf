"""Datasets: loading, splitting, saving, and what may not leak."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from tpad.data import Dataset, Sessions, assert_no_leak, check_images
from tpad.data.report import ReportBuilder
from tpad.data.splits import hold_out_items, split_by_time
from tpad.errors import ConfigError, DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "movielens-posters"


def write_shop(folder: Path, n_items=20, n_sessions=100, seed=0, split=False) -> Path:
    """A shop of random clicks; every second item has a picture."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for i in range(n_items):
        images.append(f"images/{i}.png" if i % 2 == 0 else "")
        if images[-1]:
            Image.new("RGB", (16, 8), (i * 10, 0, 0)).save(folder / images[-1])
    pd.DataFrame(
        {
            "item_id": [f"{i:03d}" for i in range(n_items)],
            "title": [f"Item {i}" for i in range(n_items)],
            "price": np.arange(n_items) + 0.5,
            "image": images,
        }
    ).to_csv(folder / "items.csv", index=False)
    rows = []
    for s in range(n_sessions):
        part = ("train", "validation", "test")[min(2, s * 5 // n_sessions // 2)]
        for click in range(rng.integers(2, 6)):
            rows.append((f"s{s}", f"{rng.integers(n_items):03d}", 1000 * s + click, part))
    table = pd.DataFrame(rows, columns=["session_id", "item_id", "timestamp", "split"])
    (table if split else table.drop(columns="split")).to_csv(
        folder / "interactions.csv", index=False
    )
    return folder


def load(folder: Path, **options) -> Dataset:
    return Dataset.load(folder / "items.csv", folder / "interactions.csv", **options)


def test_temporal_split(tmp_path):
    dataset = load(write_shop(tmp_path), validation_fraction=0.2, test_fraction=0.1)
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [70, 20, 10]
    assert dataset.train.starts.max() < dataset.validation.starts.min()
    assert dataset.validation.starts.max() < dataset.test.starts.min()
    assert not dataset.report.errors
    assert_no_leak(dataset.train, dataset.validation, dataset.test, by_time=True)


def test_the_split_column_is_kept(tmp_path):
    dataset = Dataset.from_world(write_shop(tmp_path, split=True))
    table = pd.read_csv(tmp_path / "interactions.csv")
    for name in ("train", "validation", "test"):
        expected = set(table.loc[table["split"] == name, "session_id"])
        assert set(getattr(dataset, name).ids) == expected


def test_popularity_cold_items_and_rows(tmp_path):
    dataset = load(write_shop(tmp_path, n_items=200))
    expected = np.zeros(200, int)
    for items in dataset.train.items:
        for item in items:
            expected[item] += 1
    np.testing.assert_array_equal(dataset.popularity, expected)
    np.testing.assert_array_equal(dataset.cold, expected == 0)
    assert 0 < dataset.cold.sum() < 200
    assert dataset.rows["007"] == 7 and len(dataset) == dataset.n_items == 200


@pytest.mark.parametrize("split", [False, True])
def test_held_out_items_are_cold_and_test_sessions_do_not_change(tmp_path, split):
    folder = write_shop(tmp_path, split=split)
    whole, dataset = load(folder), load(folder, cold_fraction=0.25, seed=3)
    held_out = hold_out_items(20, 0.25, 3)
    assert held_out.sum() == 5 and dataset.cold[held_out].all()
    assert (
        not held_out[dataset.train.clicks].any() and not held_out[dataset.validation.clicks].any()
    )
    assert held_out[dataset.test.clicks].any()
    assert dataset.test.ids.tolist() == whole.test.ids.tolist()
    np.testing.assert_array_equal(dataset.test.clicks, whole.test.clicks)
    for name in ("train", "validation"):
        before = dict(zip(getattr(whole, name).ids, getattr(whole, name).items, strict=True))
        after = dict(zip(getattr(dataset, name).ids, getattr(dataset, name).items, strict=True))
        left = {s: items[~held_out[items]] for s, items in before.items()}
        left = {s: items for s, items in left.items() if len(items) >= 2}
        assert set(after) == set(left)
        assert all((after[s] == left[s]).all() for s in left)
    lost = len(whole.train) + len(whole.validation) - len(dataset.train) - len(dataset.validation)
    assert dataset.report.count("session too short without its held-out items") == lost > 0
    assert dataset.report.errors == 0


def test_the_draw_follows_the_seed():
    assert (hold_out_items(100, 0.2, 1) == hold_out_items(100, 0.2, 1)).all()
    assert (hold_out_items(100, 0.2, 1) != hold_out_items(100, 0.2, 2)).any()
    assert not hold_out_items(100, 0.0, 1).any()


@given(
    st.lists(st.integers(0, 10_000), min_size=3, max_size=60),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
)
def test_split_by_time_is_a_partition_in_order(starts, validation, test):
    starts = np.array(starts)
    codes = split_by_time(starts, validation, test)
    assert (codes == 0).sum() >= 1
    assert (codes == 1).sum() == (max(1, round(len(starts) * validation)) if validation else 0)
    assert (codes == 2).sum() == (max(1, round(len(starts) * test)) if test else 0)
    assert (np.diff(codes[np.argsort(starts, kind="stable")]) >= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"validation_fraction": -0.1},
        {"validation_fraction": 0.5, "test_fraction": 0.5},
        {"cold_fraction": 1.0},
        {"validation_fraction": float("nan")},
        {"validation_fraction": "0.1"},
        {"min_session": 1},
        {"min_session": 2.5},
        {"session_gap_minutes": 0},
    ],
)
def test_settings_out_of_range(tmp_path, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        load(write_shop(tmp_path), **options)


def test_too_few_sessions_name_what_is_wrong_with_the_table(tmp_path):
    write_shop(tmp_path)
    table = pd.read_csv(tmp_path / "interactions.csv", dtype=str)
    table.loc[4:, "timestamp"] = "soon"
    table.to_csv(tmp_path / "interactions.csv", index=False)
    with pytest.raises(
        DataError, match=r"too few to split \(.*unreadable timestamp.* row 6 \('soon"
    ):
        load(tmp_path)


def test_too_few_sessions(tmp_path):
    with pytest.raises(DataError, match="too few to split"):
        load(write_shop(tmp_path, n_sessions=2))
    write_shop(tmp_path, split=True)
    table = pd.read_csv(tmp_path / "interactions.csv", dtype=str)
    table.assign(split="test").to_csv(tmp_path / "interactions.csv", index=False)
    with pytest.raises(DataError, match="no training session"):
        load(tmp_path)


def one(name: str, items: list[int], start: int = 0) -> Sessions:
    return Sessions(np.array([name], object), [np.array(items, np.int32)], np.array([start]))


def test_leaks_are_found():
    a, b, c = one("a", [0, 1], 1), one("b", [1, 2], 2), one("c", [3, 4], 3)
    assert_no_leak(a, b, c, held_out=np.array([0, 0, 0, 1, 1], bool), by_time=True)
    with pytest.raises(DataError, match="'a' is both in train and in test"):
        assert_no_leak(a, b, one("a", [3]))
    with pytest.raises(DataError, match="row 2 occurs in validation"):
        assert_no_leak(a, b, c, held_out=np.array([0, 0, 1, 0, 0], bool))
    with pytest.raises(DataError, match="of train starts after one of validation"):
        assert_no_leak(b, a, c, by_time=True)


def test_images(tmp_path):
    dataset = load(write_shop(tmp_path))
    assert dataset.image(4).size == (16, 8) and dataset.image(4).getpixel((3, 3)) == (40, 0, 0)
    assert dataset.image(4, size=32).size == (32, 32)
    assert dataset.image(5) is None


@pytest.mark.parametrize("workers", [1, 2])
def test_check_images_counts_unreadable_ones(tmp_path, workers):
    dataset = load(write_shop(tmp_path))
    assert check_images(dataset) is dataset
    (tmp_path / "images" / "4.png").write_bytes(b"not a picture")
    Image.new("RGB", (1, 1)).save(tmp_path / "images" / "6.png")
    assert dataset.image(4) is None
    checked = check_images(dataset, workers)
    assert checked.report.count("unreadable image") == 2
    assert "item '004': 4.png is not a picture" in checked.report.findings[-1].examples[0]
    assert checked.items["image"].iloc[[2, 4, 6]].tolist() == ["images/2.png", "", ""]
    assert dataset.items["image"].iloc[4] == "images/4.png"
    with pytest.raises(DataError, match=r"item '004'.*unreadable image"):
        check_images(dataset, workers, strict=True)


def test_strict_covers_both_tables(tmp_path):
    write_shop(tmp_path)
    load(tmp_path, strict=True)
    with (tmp_path / "interactions.csv").open("a") as table:
        table.write("s0,999,5\n")
    assert load(tmp_path).report.count("unknown item in a click") == 1
    with pytest.raises(DataError, match="unknown item in a click"):
        load(tmp_path, strict=True)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
def test_saving_and_loading_again_changes_nothing(tmp_path_factory, seed, cold_fraction):
    folder = write_shop(tmp_path_factory.mktemp("shop"), n_items=8, n_sessions=12, seed=seed)
    dataset = load(folder, cold_fraction=cold_fraction, seed=seed)
    dataset.save(folder / "saved")
    again = Dataset.load_saved(folder / "saved", image_root=folder)
    pd.testing.assert_frame_equal(again.items, dataset.items)
    for name in ("train", "validation", "test"):
        before, after = getattr(dataset, name), getattr(again, name)
        assert after.ids.tolist() == before.ids.tolist()
        assert [i.tolist() for i in after.items] == [i.tolist() for i in before.items]
        assert [t.tolist() for t in after.times] == [t.tolist() for t in before.times]
        np.testing.assert_array_equal(after.starts, before.starts)
    assert again.fingerprint == dataset.fingerprint
    assert sorted(p.name for p in (folder / "saved").iterdir()) == [
        "items.parquet",
        "sessions.parquet",
    ]


def test_saved_files_are_checked(tmp_path):
    dataset = load(write_shop(tmp_path))
    saved = tmp_path / "saved"
    with pytest.raises(DataError, match="does not exist"):
        Dataset.load_saved(saved)
    dataset.save(saved)
    dataset.items.iloc[:3].to_parquet(saved / "items.parquet")
    with pytest.raises(DataError, match="does not belong"):
        Dataset.load_saved(saved)
    (saved / "items.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(DataError, match="damaged"):
        Dataset.load_saved(saved)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    dataset = load(write_shop(tmp_path))
    saved = tmp_path / "saved"
    dataset.save(saved)
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def half(self, path, **_):
        Path(path).write_bytes(b"PAR1")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", half)
    with pytest.raises(OSError, match="disk full"):
        dataset.save(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before


def test_the_fingerprint_follows_the_content(tmp_path):
    folder = write_shop(tmp_path)
    dataset = load(folder)
    assert dataset.fingerprint == load(folder).fingerprint
    items = dataset.items.copy()
    items.loc[0, "title"] = "Other"
    shorter = dataset.train.take(np.arange(1, len(dataset.train)))
    others = [
        replace(dataset, items=items),
        replace(dataset, train=shorter),
        replace(dataset, validation=dataset.test, test=dataset.validation),
    ]
    assert len({dataset.fingerprint, *(other.fingerprint for other in others)}) == 4
    (folder / "images" / "0.png").write_bytes(b"x" * 999)
    assert load(folder).fingerprint != dataset.fingerprint


def test_sessions_without_times_can_be_saved(tmp_path):
    dataset = load(write_shop(tmp_path))
    bare = replace(dataset, train=replace(dataset.train, times=None))
    bare.save(tmp_path / "saved")
    again = Dataset.load_saved(tmp_path / "saved", tmp_path)
    assert again.fingerprint == dataset.fingerprint


def test_history_is_saved_and_part_of_the_fingerprint(tmp_path):
    plain = load(write_shop(tmp_path))
    known = replace(plain.test, history=plain.test.lengths - 1)
    dataset = replace(plain, test=known)
    assert dataset.fingerprint != plain.fingerprint
    dataset.save(tmp_path / "saved")
    again = Dataset.load_saved(tmp_path / "saved", tmp_path)
    assert again.fingerprint == dataset.fingerprint
    assert again.test.history.tolist() == known.history.tolist()
    assert len(again.test.prefixes()) == len(again.test)
    assert not again.train.history.any()  # the column is there, and says no for every click
    again.save(tmp_path / "again")
    assert Dataset.load_saved(tmp_path / "again", tmp_path).fingerprint == again.fingerprint


def test_strict_is_off_by_default():
    assert inspect.signature(Dataset.load).parameters["strict"].default is False
    assert ReportBuilder().strict is False


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data is not at {REAL}")
def test_real_posters_and_ratings():
    dataset = load(REAL, cold_fraction=0.15)
    assert dataset.n_items == 3971
    assert (dataset.items["image"] != "").sum() == 3888
    assert dataset.report.errors == 0
    ratings = pd.read_csv(REAL / "interactions.csv")
    whole = load(REAL)
    clicks = sum(len(s.clicks) for s in (whole.train, whole.validation, whole.test))
    assert clicks + whole.report.count("single-click session") == len(ratings)
    assert dataset.cold.mean() > 0.15
    assert dataset.image(0).size == (112, 168)
