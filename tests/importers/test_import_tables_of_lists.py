"""Rows that hold a list of items each, as Transformers4Rec has them."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from import_tables_read import sessions_of

from tpad.importers import run as run_module
from tpad.importers.run import import_tables

SESSIONS = {
    "session_id": [7, 8, 9],
    "item_id": [[1, 2, 3], [3, None], [1, 2]],
    "timestamp": [[10, 30, 20], [5, 6], [50, 51]],
    "category": [[4, 4, 4], [4, 5], [4, 4]],
}


@pytest.fixture
def parquet(tmp_path):
    """Writes a Parquet file."""

    def write(columns: dict, name: str = "x.parquet"):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return write


def test_each_item_of_a_list_is_a_click(imported, parquet):
    shop = imported("huggingface", parquet(SESSIONS))
    assert sessions_of(shop["clicks"]) == {"7": ["1", "3", "2"], "9": ["1", "2"]}
    assert shop["interactions"]["read"] == 7
    assert shop["interactions"]["dropped"]["missing item"]["examples"] == ["x.parquet row 2"]
    assert shop["notes"] == ["Each row of x.parquet is a list of items; each is a click."]


def test_one_time_for_a_row_keeps_the_order_of_its_list(imported, parquet):
    shop = imported(
        "huggingface",
        parquet({"session_id": ["s"], "item_id-list": [["b", "a", "c"]], "day-first": [86_400.0]}),
        "--column",
        "item_id=item_id-list",
        "--column",
        "timestamp=day-first",
    )
    assert sessions_of(shop["clicks"]) == {"s": ["b", "a", "c"]}
    assert set(shop["clicks"]["timestamp"]) == {86_400}


def test_sessions_without_times_keep_their_order(imported, parquet):
    columns = {name: SESSIONS[name] for name in ("session_id", "item_id")}
    second = {"session_id": [1], "item_id": [[1, 2]]}
    shop = imported("huggingface", parquet(columns), parquet(second, "y.parquet"))
    times = shop["clicks"].groupby("session_id")["timestamp"].agg(["min", "max"])
    assert times.loc["7"].tolist() == [1, 1] and times.loc["9"].tolist() == [3, 3]
    assert times.loc["1", "min"] > 3
    assert any("no times" in note for note in shop["notes"])


def test_users_with_lists_are_cut_by_time(imported, parquet):
    shop = imported(
        "huggingface",
        parquet({"user_id": [1], "item_id": [[1, 2, 3, 4]], "timestamp": [[0, 60, 9000, 9060]]}),
    )
    assert sessions_of(shop["clicks"]) == {"1#1": ["1", "2"], "1#2": ["3", "4"]}


def test_rows_that_do_not_fit_are_counted(imported, parquet):
    shop = imported(
        "huggingface",
        parquet(
            {
                "session_id": [1, 2, 3, 4],
                "item_id": [[1, 2], [], [1, 2, 3], None],
                "timestamp": [[1, 2], [], [1], [1]],
            }
        ),
    )
    dropped = shop["interactions"]["dropped"]
    assert dropped["row with lists of different lengths"]["count"] == 3
    assert dropped["row without items"]["count"] == 2


def test_a_limit_counts_clicks(imported, parquet):
    shop = imported("huggingface", parquet(SESSIONS), "--limit", 2)
    assert shop["interactions"]["read"] == 2


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"user_id": [[1], [2]], "item_id": [1, 2], "timestamp": [1, 2]}, "'user_id'"),
        ({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [[1], [2]]}, "'timestamp'"),
        ({"user_id": [[1], [2]], "item_id": [[1], [2]], "timestamp": [1, 2]}, "'user_id'"),
        ({"user_id": [1], "item_id": [[[1]]], "timestamp": [1]}, "'item_id'"),
        ({"user_id": [1], "item_id": [{"a": 1}], "timestamp": [1]}, "'item_id'"),
        ({"item_id": [[1, 2]], "title": ["x"]}, "--column session_id=NAME"),
        ({"user_id": [1], "item_id": [[1, 2]]}, "no column for timestamp"),
        ({"user_id": [1], "item_id": ["[1, 2]"], "timestamp": [1]}, "item id is a list"),
    ],
)
def test_lists_whose_meaning_is_not_clear_are_refused(refused, parquet, columns, named):
    assert named in refused("huggingface", parquet(columns))


def test_an_item_table_whose_id_is_a_list_as_text(imported, parquet):
    clicks = parquet(
        {"session_id": [1, 1], "item_id": ["a", "b"], "timestamp": [1, 2]}, "c.parquet"
    )
    shop = imported(
        "huggingface", clicks, parquet({"item_id": ["a", "['b']"], "title": ["x", "y"]})
    )
    assert shop["items"]["dropped"]["item id is a list; write one row for each item"]["count"] == 1


def test_memory_holds_few_rows_of_lists(monkeypatch, parquet, tmp_path):
    """A batch is bounded, however many rows the file has."""
    monkeypatch.setattr("tpad.importers.huggingface.SESSION_ROWS", 4)
    most = []
    pack = pa.record_batch
    monkeypatch.setattr(
        run_module.pa,
        "record_batch",
        lambda arrays, **of: (most.append(len(arrays[0])), pack(arrays, **of))[1],
    )
    path = parquet(
        {
            "session_id": list(range(100)),
            "item_id": [[1, 2, 3]] * 100,
            "timestamp": [[1, 2, 3]] * 100,
        }
    )
    import_tables("huggingface", [path], tmp_path / "out", say=lambda _: None)
    assert max(most) == 12 and sum(most) == 300
    assert len(pd.read_parquet(tmp_path / "out" / "interactions.parquet")) == 300


@pytest.mark.parametrize("text", ["[1, 2, 3]", "(1, 2)", "{'a', 'b'}", "1, 2, 3", "1,2,3", "[1 2]"])
@pytest.mark.parametrize("column", ["item_id", "session_id"])
def test_a_list_that_is_written_as_text_is_no_id(imported, parquet, column, text):
    columns = {"session_id": ["s"] * 4, "item_id": ["a", "b", "c", "d"], "timestamp": [1, 2, 3, 4]}
    columns[column][1] = text
    shop = imported("huggingface", parquet(columns))
    [reason] = shop["interactions"]["dropped"]
    assert "is a list; write one row for each item" in reason
    assert shop["interactions"]["kept"] == 3


@pytest.mark.parametrize("text", ["a, b", "1,234", "1,234,567", "(new) mug", "12-3"])
def test_an_id_that_only_looks_like_a_list_is_kept(imported, parquet, text):
    columns = {"session_id": ["s", "s"], "item_id": ["a", text], "timestamp": [1, 2]}
    assert sessions_of(imported("huggingface", parquet(columns))["clicks"]) == {"s": ["a", text]}
