"""MovieLens in both layouts, and sessions by a pause, as the loader itself cuts them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from import_tables_read import sessions_of
from PIL import Image

from tpad.data.dataset import Dataset

MOVIES = 'movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n11,"President, The (1995)",(no genres listed)\n'
RATINGS = "userId,movieId,rating,timestamp\n1,1,4.0,1000\n1,11,3.5,1100\n1,1,2.0,9000\n1,11,5.0,9000\n2,1,1.0,5\n2,11,5.0,5\n"
POSTERS = Path(__file__).parents[2] / ".." / "shared" / "data" / "movielens-posters"


@pytest.fixture
def folder(tmp_path):
    """ml-latest-small, in small."""
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "movies.csv").write_text(MOVIES)
    (tmp_path / "ml" / "ratings.csv").write_text(RATINGS)
    (tmp_path / "ml" / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,fun,7\n")
    return tmp_path / "ml"


def test_a_folder_of_csv_files(imported, folder):
    shop = imported("movielens", folder)
    assert sessions_of(shop["clicks"]) == {
        "1#1": ["1", "11"],
        "1#2": ["1", "11"],
        "2#1": ["1", "11"],
    }
    items = shop["item_table"].set_index("item_id")
    assert items.loc["1", ["title", "description", "category", "genres"]].tolist() == [
        "Toy Story (1995)",
        "Genres: Animation, Comedy",
        "Animation",
        "Animation, Comedy",
    ]
    assert items.loc["11", ["title", "description"]].tolist() == ["President, The (1995)", ""]


def test_the_rules_for_sessions(imported, folder, tmp_path):
    def ids(*rule):
        return set(
            imported("movielens", folder, *rule, out=tmp_path / "-".join(rule))["clicks"][
                "session_id"
            ]
        )

    assert ids("--sessions", "user") == {"1", "2"}
    assert ids("--sessions", "gap", "200") == {"1#1", "2#1"}
    assert ids("--sessions", "day") == {"1@1970-01-01", "2@1970-01-01"}


def test_low_ratings_are_dropped(imported, folder):
    shop = imported("movielens", folder, "--min-rating", 3.5, "--sessions", "user")
    assert sessions_of(shop["clicks"]) == {"1": ["1", "11", "11"]}
    assert shop["interactions"]["dropped"]["rating below 3.5"]["count"] == 2


def test_dat_files_in_latin_1(imported, tmp_path):
    (tmp_path / "movies.dat").write_bytes(
        "1::Léon (1994)::Crime\n2::Heat: II::Crime\n".encode("latin-1")
    )
    (tmp_path / "ratings.dat").write_text("1::1::5::100\n1::2::4::200\n1:2:4:200\n")
    shop = imported("movielens", tmp_path / "movies.dat", tmp_path / "ratings.dat")
    assert sessions_of(shop["clicks"]) == {"1#1": ["1", "2"]}
    assert shop["item_table"]["title"].tolist() == ["Léon (1994)", "Heat: II"]
    wrong = shop["interactions"]["dropped"]["row with too many or too few fields"]
    assert wrong["examples"] == ["ratings.dat line 3"]


def test_rows_that_cannot_be_read(imported, folder):
    with (folder / "movies.csv").open("a") as file:
        file.write('3,"open,x\n4,a,b,c\n,none,x\n1,again,Drama\n')
    shop = imported("movielens", folder)
    dropped = shop["items"]["dropped"]
    assert {reason: found["count"] for reason, found in dropped.items()} == {
        "broken quotes": 1,
        "row with too many or too few fields": 1,
        "missing item_id": 1,
        "duplicate item_id, of which the first is kept": 1,
    }


def test_pictures_of_a_folder(imported, refused, folder, tmp_path):
    pictures = tmp_path / "posters"
    pictures.mkdir()
    assert "holds no picture" in refused("movielens", folder, "--images", pictures)
    assert "is not a folder" in refused("movielens", folder, "--images", tmp_path / "none")
    Image.new("RGB", (20, 30), "red").save(pictures / "1.PNG")
    Image.new("RGB", (20, 30), "red").save(pictures / "7.jpg")
    shop = imported("movielens", folder, "--images", pictures)
    assert shop["item_table"]["image"].tolist() == ["images/1.PNG", ""]
    without = shop["items"]["changed"]["item without a picture in the folder of --images"]
    assert without["examples"] == ["item '11'"]
    out = tmp_path / "shop"
    assert [path.name for path in (out / "images").iterdir()] == ["1.PNG"]
    loaded = Dataset.load(out / "items.parquet", out / "interactions.parquet")
    assert loaded.image(0).size == (20, 30) and loaded.image(1) is None
    assert loaded.report.count("missing image") == 0


def test_files_that_are_refused(refused, folder, tmp_path):
    assert "tags.csv holds neither" in refused("movielens", folder / "tags.csv")
    assert "None of the files contains interactions" in refused("movielens", folder / "movies.csv")
    assert "holds none of movies.csv" in refused("movielens", tmp_path)
    (tmp_path / "ratings.csv").write_text('userId,"movieId\n')
    assert "is not a MovieLens file" in refused("movielens", tmp_path / "ratings.csv")
    (tmp_path / "ratings.csv").write_text(RATINGS.replace(",", ";"))
    assert "userId;movieId" in refused("movielens", tmp_path / "ratings.csv")


@pytest.mark.skipif(not POSTERS.is_dir(), reason="../shared/data is not here")
def test_sessions_are_those_that_the_loader_cuts(imported, tmp_path):
    clicks = pd.read_csv(POSTERS / "interactions.csv", dtype=str)
    clicks.columns = ["userId", "movieId", "rating", "timestamp"]
    clicks.to_csv(tmp_path / "ratings.csv", index=False)
    imported("movielens", tmp_path / "ratings.csv")
    ours = Dataset.load(
        tmp_path / "shop" / "items.parquet", tmp_path / "shop" / "interactions.parquet"
    )
    theirs = Dataset.load(POSTERS / "items.csv", POSTERS / "interactions.csv")
    for name in ("train", "validation", "test"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        order = [np.argsort(of.ids.astype(str)) for of in (mine, other)]
        mine, other = mine.take(order[0]), other.take(order[1])
        assert mine.ids.tolist() == other.ids.tolist()
        assert np.array_equal(mine.click_times, other.click_times)
        rows = [of.items["item_id"].to_numpy() for of in (ours, theirs)]
        assert np.array_equal(rows[0][mine.clicks], rows[1][other.clicks])
