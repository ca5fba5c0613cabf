"""session-rec's files and the raw yoochoose log, and what any text file may get wrong."""

from pathlib import Path

import pytest
from import_tables_read import sessions_of

from tpad.data.dataset import Dataset

HEADER = "SessionId\tItemId\tTime\n"
YOOCHOOSE = Path(__file__).parents[2] / ".." / "shared" / "data" / "yoochoose-100k"


@pytest.fixture
def log(tmp_path):
    """Writes a session-rec file."""

    def write(body: str, name: str = "log.txt", header: str = HEADER) -> Path:
        (tmp_path / name).write_text(header + body)
        return tmp_path / name

    return write


def test_sessions_as_given_sorted_by_the_full_time(imported, log):
    shop = imported("session-rec", log("1\tb\t10.9\n2\tx\t5\n1\ta\t10.2\n2\ty\t6\n3\ta\t7\n"))
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"], "2": ["x", "y"]}
    assert sorted(shop["clicks"]["timestamp"]) == [5, 6, 10, 10]
    assert shop["item_table"]["item_id"].tolist() == ["a", "b", "x", "y"]
    assert shop["items"]["added"] == 4 and "neither title nor image" in shop["told"]
    short = shop["interactions"]["dropped"]["click in a session of fewer than 2 clicks"]
    assert short["count"] == 1 and short["examples"] == ["session '3'"]


def test_columns_in_any_order_and_line_ends_of_windows(imported, tmp_path):
    body = "Time\tX\tItemId\tSessionId\r\n5\t\ta\t1\r\n\r\n6\tq\tb\t1\r\n"
    (tmp_path / "log.txt").write_bytes(b"\xef\xbb\xbf" + body.encode())
    shop = imported("session-rec", tmp_path / "log.txt")
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"]}


def test_rare_items_and_short_sessions_are_dropped(imported, log):
    path = log("1\ta\t1\n1\tb\t2\n2\ta\t3\n2\tc\t4\n3\tb\t5\n3\ta\t6\n4\td\t7\n4\te\t8\n")
    shop = imported("session-rec", path, "--min-clicks", 2)
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"], "3": ["b", "a"]}
    dropped = shop["interactions"]["dropped"]
    assert dropped["item with fewer than 2 clicks"]["count"] == 3
    assert dropped["click in a session of fewer than 2 clicks"]["examples"] == ["session '2'"]
    assert shop["item_table"]["item_id"].tolist() == ["a", "b"]


def test_a_limit_counts_rows_over_all_files(imported, log):
    first, second = log("1\ta\t1\n1\tb\t2\n"), log("2\ta\t1\n2\tb\t2\n2\tc\t2\n", "more.txt")
    shop = imported("session-rec", first, second, "--limit", 4)
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"], "2": ["a", "b"]}
    assert shop["interactions"]["read"] == 4


def test_splits_by_file(imported, log, tmp_path):
    train = log("".join(f"{s}\t{i}\t{s}\n" for s in range(5) for i in "ab"), "train.txt")
    test = log("9\ta\t1\n9\tb\t2\n4\tb\t1\n4\ta\t2\n", "test.txt")
    shop = imported("session-rec", train, test, "--splits", "train", "test")
    of = shop["clicks"].groupby("session_id")["split"].agg(set)
    assert of["9"] == {"test"} and of["0"] == {"train"}
    assert of["4@test"] == {"test"} and of["4@train"] == {"train"}
    folder = tmp_path / "shop"
    loaded = Dataset.load(folder / "items.parquet", folder / "interactions.parquet")
    assert (len(loaded.train), len(loaded.test)) == (5, 2)


def test_the_raw_log(imported, tmp_path):
    (tmp_path / "clicks.dat").write_text(
        "1,2014-04-07T10:51:09.277Z,a,0\n1,2014-04-07T10:54:46.998Z,b,S\n"
        "2,2014-04-07T13:56:37.614Z,b,7\n2,2014-04-07T13:57:19.373Z,a,54321\n"
        "2,2014-04-07,c\n3,yesterday,a,0\n3,2014-04-07T13:57:19.373Z,a,0,0\n"
    )
    shop = imported("yoochoose", tmp_path / "clicks.dat")
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"], "2": ["c", "b", "a"]}
    assert shop["clicks"]["timestamp"].max() == 1396879039
    assert shop["item_table"]["category"].tolist() == ["", "7", ""]
    dropped = shop["interactions"]["dropped"]
    assert dropped["unreadable timestamp"]["examples"] == ["clicks.dat line 6 ('yesterday')"]
    assert dropped["row with too many or too few fields"]["examples"] == ["clicks.dat line 7"]


@pytest.mark.parametrize(
    ("header", "body", "named"),
    [
        ("SessionId,ItemId,Time\n", "1,a,1\n", "tabs"),
        ("SessionId\tItem\tTime\n", "1\ta\t1\n", "'ItemId'"),
        (HEADER, "", "No interaction is left of 0"),
        (HEADER, "1\ta\n", "1 × row with too many or too few fields (such as log.txt line 2)"),
        (HEADER, "1\ta\t1\n2\tb\t1\n", "fewer than 2 clicks"),
        ("\n\n", "\n", "blank"),
        ("", "", "empty"),
        ("PK\x03\x04", "", "zip archive"),
    ],
)
def test_files_that_are_refused(refused, log, header, body, named):
    told = refused("session-rec", log(body, header=header))
    assert named in told


def test_paths_that_are_refused(refused, log, tmp_path):
    assert "does not exist" in refused("session-rec", tmp_path / "none.txt")
    assert "is a folder" in refused("session-rec", tmp_path)
    path = log("1\ta\t1\n1\tb\t2\n")
    assert "given twice" in refused("session-rec", path, path)
    assert "session-rec" in refused("yoochoose", path)
    (tmp_path / "raw.dat").write_text("1;2;3\n")
    assert "separated by commas" in refused("yoochoose", tmp_path / "raw.dat")
    path.write_bytes("SessionId\n".encode("utf-16"))
    assert "UTF-16" in refused("session-rec", path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--sessions", "day"), "--sessions day needs a user"),
        (("--sessions", "gap", "soon"), "minutes"),
        (("--sessions", "gap", "-1"), "above 0"),
        (("--sessions", "week"), "'day', 'gap', 'user' or 'given'"),
        (("--sessions", "given", "day"), "put the files before it"),
        (("--min-clicks", "0"), "min_clicks must be at least 1"),
        (("--min-session", "0"), "min_session must be at least 1"),
        (("--limit", "0"), "limit must be at least 1"),
        (("--min-rating", "3"), "needs ratings"),
        (("--items", "known"), "needs a file of items"),
        (("--splits", "train", "test"), "2 splits for 1"),
        (("--splits", "test"), "train"),
        (("--splits", "half"), "'half'"),
        (("--column", "item_id=ItemId"), "--column works with recbole and huggingface"),
        (("--column", "item_id"), "ROLE=NAME"),
        (("--column", "colour=x"), "'colour'"),
    ],
)
def test_settings_that_are_refused(refused, log, options, named):
    assert named in refused("session-rec", log("1\ta\t1\n1\tb\t2\n"), *options)


def test_a_folder_with_other_files_does_not_change(refused, imported, log, tmp_path):
    path = log("1\ta\t1\n1\tb\t2\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    assert "does not hold an import" in refused("session-rec", path, out=tmp_path / "mine")
    assert "does not hold an import" in refused("session-rec", path, out=path)
    imported("session-rec", path)
    before = (tmp_path / "shop" / "interactions.parquet").stat().st_mtime_ns
    assert "already holds this import" in imported("session-rec", path)["told"]
    assert (tmp_path / "shop" / "interactions.parquet").stat().st_mtime_ns == before
    told = refused("session-rec", path, "--limit", 1, out=tmp_path / "shop")
    assert "another import (session-rec)" in told


def test_an_empty_folder_is_accepted(imported, log, tmp_path):
    (tmp_path / "shop").mkdir()
    assert imported("session-rec", log("1\ta\t1\n1\tb\t2\n"))["sessions"] == 1


@pytest.mark.skipif(not YOOCHOOSE.is_dir(), reason="../shared/data is not here")
def test_the_sample_of_session_rec(imported):
    shop = imported(
        "session-rec",
        YOOCHOOSE / "yoochoose-clicks-100k_train_full.txt",
        YOOCHOOSE / "yoochoose-clicks-100k_test.txt",
        "--splits",
        "train",
        "test",
    )
    sessions = shop["clicks"].drop_duplicates("session_id")["split"].value_counts()
    assert sessions.to_dict() == {"train": 17_794, "test": 3_416}
    assert len(shop["item_table"]) == 2_933
    assert (shop["clicks"]["split"] == "train").sum() == 70_278
