"""`datasets` on disk: the layout of `save_to_disk`, Parquet, and types that are not text."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from import_tables_read import sessions_of

from tpad.data.dataset import Dataset

CLICKS = pa.table(
    {
        "user_id": pa.array([1, 1, 2, 2], pa.int64()),
        "item_id": pa.array(["a", "b", "b", None]),
        "rating": pa.array([5.0, 4.0, 1.0, 2.0]),
        "timestamp": pa.array(
            [datetime(2020, 1, 1, 10, m, tzinfo=UTC) for m in (0, 5, 0, 1)],
            pa.timestamp("ns", "UTC"),
        ),
    }
)
ITEMS = pa.table(
    {
        "item_id": ["a", "b"],
        "title": ["phone", None],
        "categories": pa.array([["Electronics", "Phones"], []]),
        "price": pa.array([9.5, None]),
        "size": pa.array([3.0, 2.5]),
        "picture": pa.array([{"bytes": b"x", "path": None}, None]),
    }
)


def save_to_disk(table: pa.Table, folder, files: int = 2) -> None:
    """The layout of `Dataset.save_to_disk`: Arrow streams, named by state.json."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05}-of-{files:05}.arrow" for n in range(files)]
    each = -(-table.num_rows // files)
    for n, name in enumerate(names):
        piece = table.slice(n * each, each)
        with (
            pa.OSFile(str(folder / name), "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as to,
        ):
            to.write_table(piece, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))


def test_parquet_files(imported, tmp_path):
    pq.write_table(CLICKS, tmp_path / "clicks.parquet")
    pq.write_table(ITEMS, tmp_path / "items.parquet")
    shop = imported("huggingface", tmp_path / "clicks.parquet", tmp_path / "items.parquet")
    assert sessions_of(shop["clicks"]) == {"1#1": ["a", "b"]}
    assert shop["clicks"]["timestamp"].tolist() == [1577872800, 1577873100]
    items = shop["item_table"].set_index("item_id")
    assert items.loc["a"].tolist() == ["phone", "", "Electronics, Phones", 9.5, "3"]
    assert items.columns[-1] == "size" and items.loc["b", "size"] == "2.5"
    assert shop["notes"] == ["The column 'picture' is ignored: it does not contain plain values."]
    missing = shop["interactions"]["dropped"]["missing item"]
    assert missing["examples"] == ["clicks.parquet row 4"]


def test_what_save_to_disk_writes(imported, tmp_path):
    many = pa.table(
        {
            "session_id": [f"s{n // 2}" for n in range(40)],
            "item_id": ["a", "b"] * 20,
            "timestamp": list(range(40)),
        }
    )
    save_to_disk(many, tmp_path / "clicks" / "train")
    (tmp_path / "clicks" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    save_to_disk(ITEMS, tmp_path / "items", 1)
    shop = imported("huggingface", tmp_path / "clicks", tmp_path / "items", "--limit", 31)
    assert shop["interactions"]["read"] == 31 and shop["sessions"] == 15
    out = tmp_path / "shop"
    assert len(Dataset.load(out / "items.parquet", out / "interactions.parquet")) == 2


def test_an_arrow_file_with_other_names(imported, tmp_path):
    table = CLICKS.rename_columns(["who", "what", "stars", "at"]).slice(0, 2)
    with (
        pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as to,
    ):
        to.write_table(table)
    shop = imported(
        "huggingface",
        tmp_path / "x.arrow",
        "--column",
        "user_id=who",
        "--column",
        "item_id=what",
        "--column",
        "rating=stars",
        "--column",
        "timestamp=at",
        "--min-rating",
        4,
    )
    assert shop["sessions"] == 1


def test_invalid_files_are_refused(refused, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing else")
    assert "damaged" in refused("huggingface", tmp_path / "x.parquet")
    (tmp_path / "x.bin").write_bytes(b"\0\1\2\n")
    assert "not a Parquet, Arrow or CSV file" in refused("huggingface", tmp_path / "x.bin")
    (tmp_path / "folder").mkdir()
    assert "save_to_disk" in refused("huggingface", tmp_path / "folder")
    (tmp_path / "folder" / "state.json").write_text("{")
    assert "state.json is damaged" in refused("huggingface", tmp_path / "folder")
    (tmp_path / "folder" / "state.json").write_text('{"_data_files": [1]}')
    assert "lists no files" in refused("huggingface", tmp_path / "folder")
    save_to_disk(CLICKS, tmp_path / "saved")
    (tmp_path / "saved" / "data-00001-of-00002.arrow").unlink()
    assert "does not exist" in refused("huggingface", tmp_path / "saved")
    pq.write_table(CLICKS.drop_columns(["timestamp"]), tmp_path / "t.parquet")
    assert "timestamp" in refused("huggingface", tmp_path / "t.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "t.parquet")
    assert "item_id" in refused("huggingface", tmp_path / "t.parquet")
    pq.write_table(CLICKS.append_column("rating", CLICKS["rating"]), tmp_path / "t.parquet")
    assert "two columns 'rating'" in refused("huggingface", tmp_path / "t.parquet")


@pytest.mark.parametrize("cut", [-8, 100, 300, 700])
def test_a_stream_that_was_cut_off(refused, tmp_path, cut):
    save_to_disk(CLICKS, tmp_path / "saved", 1)
    path = tmp_path / "saved" / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:cut])
    assert "damaged" in refused("huggingface", tmp_path / "saved")
