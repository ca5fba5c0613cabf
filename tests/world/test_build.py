"""Making the demo shop: its tables, pictures and sessions, and the folder that they go into."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tpad.__main__ import main
from tpad.data.dataset import Dataset
from tpad.errors import ConfigError, DataError
from tpad.world.attributes import looks
from tpad.world.build import World, WorldConfig, write_world
from tpad.world.language import describe
from tpad.world.oracle import Oracle, products_of

SMALL = WorldConfig(
    seed=3, items=48, train_sessions=120, validation_sessions=20, test_sessions=30, arrivals=24
)
SIZES = {"--seed": 3, "--items": 48, "--train": 120, "--validation": 20, "--test": 30}
COMMAND = ["world", "--workers", "1", *(str(part) for pair in SIZES.items() for part in pair)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world") / "shop"
    assert main([*COMMAND, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def big() -> World:
    """A shop of the usual number of items; nothing is drawn."""
    return World(WorldConfig(train_sessions=800, validation_sessions=200, test_sessions=800))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_another_process_makes_the_same_bytes(folder, tmp_path):
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-m", "tpad", *COMMAND, "--out", str(again)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    first, second = contents(folder), contents(again)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert os.listdir(tmp_path) == ["again"]


def test_the_folder_has_all_files(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "arrivals",
        "cold_items.txt",
        "images",
        "interactions.csv",
        "items.csv",
        "world.json",
    ]
    items = pd.read_csv(folder / "items.csv")
    assert len(items) == 48 and items.item_id.is_unique
    for path in items.image:
        with Image.open(folder / path) as picture:
            assert picture.format == "WEBP" and picture.size == (256, 256)
    assert len(list((folder / "images").iterdir())) == 48
    arrivals = pd.read_csv(folder / "arrivals" / "arrivals.csv")
    assert len(arrivals) == 24
    assert all((folder / "arrivals" / path).is_file() for path in arrivals.image)
    world = json.loads((folder / "world.json").read_text())
    assert world["seed"] == 3 and world["version"] == 2 and world["config"]["items"] == 48
    assert world["law"]["noise"] == 0.05 and len(world["popularity"]) == 48
    assert len(world["partners"]["rows"]) == 48
    cold = (folder / "cold_items.txt").read_text().split()
    assert len(cold) == round(0.15 * 48)


def test_the_dataset_and_the_oracle_read_it(folder):
    data = Dataset.from_world(folder)
    assert not data.report.findings
    world = World(SMALL)
    assert (len(data.train), len(data.validation), len(data.test)) == (120, 20, 30)
    for mine, drawn in zip(data.test.items, world.sessions["test"], strict=True):
        assert mine.tolist() == drawn.tolist()
    assert data.cold[world.cold].all()
    assert products_of(data.items) == world.products
    oracle = Oracle.load(data.items, folder / "world.json")
    some = data.test.items[:5]
    assert np.allclose(oracle.scores(some), Oracle(world.law).scores(some), atol=1e-6)
    with pytest.raises(DataError, match="describes 48 items but the item table has 47"):
        Oracle.load(data.items.iloc[1:], folder / "world.json")


def test_clicks_follow_each_other_in_time(folder):
    clicks = pd.read_csv(folder / "interactions.csv")
    sessions = clicks.groupby("session_id").timestamp
    assert sessions.apply(lambda times: times.is_monotonic_increasing).all()
    assert sessions.min().is_monotonic_increasing  # ids count up, and the splits follow
    assert clicks.split.drop_duplicates().tolist() == ["train", "validation", "test"]
    assert clicks.groupby("session_id").split.nunique().max() == 1
    assert clicks.groupby("session_id").size().between(2, 12).all()


def test_seeds_make_different_shops():
    one, other = World(SMALL), World(replace(SMALL, seed=4))
    assert one.products != other.products
    assert one.item_table().title.tolist() != other.item_table().title.tolist()
    assert (one.cold != other.cold).any()
    assert one.sessions["train"][0].tolist() != other.sessions["train"][0].tolist()
    assert (one.law.popularity != other.law.popularity).any()


def test_more_sessions_change_nothing_about_the_items():
    more = World(replace(SMALL, train_sessions=500))
    assert more.item_table().equals(World(SMALL).item_table())
    drawn = more.sessions["train"][:120]
    assert all(
        np.array_equal(a, b) for a, b in zip(drawn, World(SMALL).sessions["train"], strict=True)
    )


def test_cold_items_occur_in_no_training_or_validation_session(big):
    assert big.cold.sum() == round(0.15 * 1200)
    for split in ("train", "validation"):
        assert not big.cold[np.concatenate(big.sessions[split])].any()
    share = big.cold[np.concatenate(big.sessions["test"])].mean()
    assert 0.08 < share < 0.25  # they are clicked like any other


def test_the_shop_owns_reserved_looks_only_and_arrivals_are_none_of_its_own(big):
    reserved = set(looks(reserved=True))
    owned, arriving = {p.look for p in big.products}, {p.look for p in big.arrivals}
    assert owned <= reserved and arriving <= reserved
    assert not owned & arriving
    assert len({p.look.type for p in big.products}) == 24
    assert len(big.arrivals) == len({p.look.type for p in big.arrivals}) == 24


def test_every_type_has_its_share_of_the_items(big):
    counts = pd.Series([p.look.type for p in big.products]).value_counts()
    assert counts.min() == counts.max() == 50


def test_prices_depend_on_the_tier(big):
    table = big.item_table()
    assert (table.price > 0).all()
    ratio = table.groupby(["attr_type", "attr_tier"]).price.median().unstack()
    assert (ratio.budget < ratio.standard).all() and (ratio.standard < ratio.premium).all()


def test_a_row_is_described_by_what_its_picture_and_text_tell(big):
    silent = next(i for i, text in enumerate(big.texts) if not text.tells_spec)
    assert big.describe(silent) == describe(
        big.products[silent], False, big.texts[silent].tells_brand
    )
    assert big.products[silent].spec not in big.describe(silent).split(" emblem")[1]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("dear to me")
    with pytest.raises(DataError, match="not an empty folder"):
        write_world(World(SMALL), tmp_path)
    with pytest.raises(DataError, match="not an empty folder"):
        write_world(World(SMALL), tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "dear to me"


def test_stopped_halfway_nothing_is_left(tmp_path):
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        write_world(World(replace(SMALL, arrivals=0)), tmp_path / "shop", workers=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(tmp_path):
    seen = []
    world = World(replace(SMALL, arrivals=1, train_sessions=5))
    write_world(world, tmp_path, workers=1, progress=lambda *now: seen.append(now))
    assert (tmp_path / "items.csv").is_file()
    assert seen == [(done, 49) for done in range(1, 50)]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"items": 47}, "items must be at least 48"),
        ({"cold_share": 0.6}, "cold_share"),
        ({"cold_share": -0.1}, "cold_share"),
        ({"test_sessions": 0}, "test_sessions"),
        ({"seed": -1}, "seed"),
        ({"arrivals": -1}, "arrivals"),
    ],
)
def test_a_size_that_cannot_work_is_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        WorldConfig(**settings)
