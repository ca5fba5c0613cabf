"""Embedding sets from files: every format gives the same table, and every fault one sentence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

from eval.models import embeddings
from eval.models.embeddings import load_ablations
from tpad import ConfigError, DataError
from tpad.data import parquet_table
from tpad.data.vectors import load_vectors, parse_named_file

IDS = ["a", "b", "c", "d"]
VECTORS = np.arange(8, dtype=np.float32).reshape(4, 2)
WARM = np.array([True, True, True, False])


def load_embeddings(path: Path, ids, warm=None, say=lambda told: None) -> np.ndarray:
    warm = np.ones(len(ids), bool) if warm is None else np.array(warm, bool)
    return embeddings.load_embeddings(path, ids, warm, say)


def in_order(path: Path, order: list[int], present: list[int] | None = None) -> Path:
    """The vectors in one of the forms, chosen by the file's name."""
    ids, vectors = [IDS[i] for i in order], VECTORS[order]
    more = {} if present is None else {"present": np.array(present, np.uint8)}
    if path.name == "named.safetensors":
        save_file(dict(zip(ids, vectors, strict=True)), path)
    elif path.name == "exported.safetensors":
        save_file({"x": vectors, **more}, path, {"item_ids": json.dumps(ids)})
    elif path.suffix == ".safetensors":
        save_file({"features": vectors, **more}, path)
    elif path.suffix == ".npz":
        np.savez(path, features=vectors, item_id=np.array(ids), **more)
    elif path.name == "lists.parquet":
        pd.DataFrame({"item_id": ids, "vector": list(vectors), **more}).to_parquet(path)
    else:
        columns = {f"x{i}": vectors[:, i] for i in range(2)}
        pd.DataFrame({"item_id": ids, **columns, **more}).to_parquet(path)
    return path


FORMS = [
    "rows.safetensors",
    "named.safetensors",
    "exported.safetensors",
    "all.npz",
    "lists.parquet",
    "wide.parquet",
]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_table(tmp_path, name):
    order = [0, 1, 2, 3] if name == "rows.safetensors" else [2, 0, 3, 1]
    assert np.array_equal(load_embeddings(in_order(tmp_path / name, order), IDS, WARM), VECTORS)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "rows.safetensors"])
def test_an_item_without_a_vector_gets_the_mean_and_a_mark(tmp_path, name):
    table = load_embeddings(in_order(tmp_path / name, [3, 0, 1]), IDS, WARM)
    assert table[:, 2].tolist() == [1, 1, 0, 1]
    assert np.allclose(table[2, :2], VECTORS[[0, 1]].mean(0))  # of the training items
    assert np.array_equal(table[[0, 1, 3], :2], VECTORS[[0, 1, 3]])


@pytest.mark.parametrize("name", [name for name in FORMS if name != "named.safetensors"])
def test_masked_rows_are_ignored(tmp_path, name):
    table = load_embeddings(in_order(tmp_path / name, [0, 1, 2, 3], [1, 0, 1, 1]), IDS, WARM)
    assert table[:, 2].tolist() == [1, 0, 1, 1]
    assert np.allclose(table[1, :2], VECTORS[[0, 2]].mean(0))


def test_a_file_without_a_vector_of_a_training_item_is_refused(tmp_path):
    path = in_order(tmp_path / "all.npz", [3])
    with pytest.raises(
        DataError, match=r"No item of the training sessions has a vector in .*all\.npz"
    ):
        load_embeddings(path, IDS, WARM)


def test_vectors_of_other_items_do_not_matter(tmp_path):
    path = in_order(tmp_path / "all.npz", [2, 0, 3, 1])
    assert np.array_equal(load_embeddings(path, ["d", "a"], WARM[:2]), VECTORS[[3, 0]])


def test_an_item_id_may_equal_a_tensor_name(tmp_path):
    save_file({"x": VECTORS[0], "y": VECTORS[1]}, tmp_path / "named.safetensors")
    assert np.array_equal(
        load_embeddings(tmp_path / "named.safetensors", ["y", "x"], WARM[:2]), VECTORS[1::-1]
    )


def test_missing_vectors_are_filled_from_training_items_only(tmp_path):
    path = in_order(tmp_path / "all.npz", [3, 0, 1])
    table = load_embeddings(path, IDS, [1, 1, 1, 0])
    assert np.allclose(table[2, :2], VECTORS[[0, 1]].mean(0))  # not that of the cold "d"
    with pytest.raises(DataError, match="No item of the training sessions"):
        load_embeddings(path, IDS, [0, 0, 1, 0])


def test_a_partial_match_is_reported(tmp_path):
    told = []
    path = in_order(tmp_path / "all.npz", [2, 0, 3, 1])
    load_embeddings(path, IDS, say=told.append)
    assert told == []
    load_embeddings(path, ["a", "b", "y", "z"], say=told.append)
    assert told == [
        f"2 of 4 items have no vector in {path}, such as 'y'; 2 vectors in {path} belong to no item, "
        "such as that of 'c'."
    ]
    with pytest.warns(UserWarning, match="2 of 3 items"):
        load_vectors(path, ["a", "y", "z"])


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_numbers_are_read(tmp_path, kind):
    rows = {"features": torch.from_numpy(VECTORS).to(getattr(torch, kind))}
    safetensors.torch.save_file(rows, tmp_path / "rows.safetensors")
    assert np.array_equal(load_embeddings(tmp_path / "rows.safetensors", IDS), VECTORS)
    named = {name: rows["features"][at].clone() for at, name in enumerate(IDS)}
    safetensors.torch.save_file(named, tmp_path / "named.safetensors")
    assert np.array_equal(load_embeddings(tmp_path / "named.safetensors", IDS), VECTORS)


def test_an_array_in_the_order_of_the_table(tmp_path):
    np.save(tmp_path / "rows.npy", VECTORS)
    assert np.array_equal(load_embeddings(tmp_path / "rows.npy", IDS), VECTORS)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_table, "FREE_BYTES", 1 << 16)
    np.savez_compressed(tmp_path / "x.npz", features=np.zeros((10_000, 16)))
    with pytest.raises(DataError, match="unpacks to"):
        load_embeddings(tmp_path / "x.npz", IDS)


def damaged(path: Path) -> None:
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00nonsense")


def pickled(path: Path) -> None:
    np.savez(path, features=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize(
    ("name", "write", "named"),
    [
        ("x.pkl", damaged, "not an embedding file"),
        ("x.npz", None, "does not exist"),
        ("x.npz", damaged, "damaged"),
        ("x.safetensors", damaged, "damaged"),
        ("x.parquet", damaged, "damaged"),
        (
            "x.npz",
            pickled,
            "Python objects .dtype=object., which are not read; save it with .astype",
        ),
        ("x.npy", lambda p: np.save(p, np.array([{}], object)), "Python objects"),
        (
            "x.npz",
            lambda p: np.savez(p, features=VECTORS, item_id=np.array(IDS, object)),
            r"`item_id` in .*x.npz holds Python objects .*\.astype\(str\)",
        ),
        ("x.npy", lambda p: np.save(p, VECTORS[:3]), "add an item_id"),
        ("x.npy", damaged, "damaged"),
        (
            "x.parquet",
            lambda p: pd.DataFrame({"item_id": IDS, "title": IDS, "x": 1.0}).to_parquet(p),
            "column title of .* holds no numbers",
        ),
        (
            "x.npz",
            lambda p: np.savez(p, features=VECTORS, present=["yes", "no", "maybe", ""]),
            "row 0 has 'yes' in the column present",
        ),
        ("x.npz", lambda p: np.savez(p, vectors=VECTORS), "no array `features`"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS[:3]), "add an item_id"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS[:, 0]), "one row per item"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS, item_id=["a"]), "1 item ids"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS, item_id=list("aabc")), "item 'a'"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS, item_id=list("wxyz")), "for any item"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS, present=[1]), "one value for each row"),
        ("x.npz", lambda p: np.savez(p, features=VECTORS * np.nan), "item 'a'"),
        ("x.parquet", lambda p: pd.DataFrame({"x": [1.0]}).to_parquet(p), "no column item_id"),
        (
            "x.safetensors",
            lambda p: save_file({"x": VECTORS}, p, {"item_ids": '["a"]'}),
            "1 item ids but 4 vectors",
        ),
        (
            "x.safetensors",
            lambda p: save_file({"x": VECTORS}, p, {"item_ids": "a, b"}),
            "damaged",
        ),
        (
            "x.safetensors",
            lambda p: save_file({"a": np.ones(2), "b": np.ones(3)}, p),
            "differ in shape",
        ),
        (
            "x.safetensors",
            lambda p: save_file({"x": VECTORS}, p),
            "no item ids, as the files inside",
        ),
    ],
)
def test_an_invalid_file_is_an_error(tmp_path, name, write, named):
    if write is not None:
        write(tmp_path / name)
    with pytest.raises(DataError, match=named):
        load_embeddings(tmp_path / name, IDS, WARM)


def test_names_come_before_the_file():
    assert parse_named_file("clip-b32=some/clip=1.npz") == ("clip-b32", Path("some/clip=1.npz"))
    for text in ("clip.npz", "=clip.npz", "clip=", "a b=c.npz"):
        with pytest.raises(ConfigError, match="name=FILE"):
            parse_named_file(text)


def ablation(folder: Path, name: str, ids=IDS, **facts) -> None:
    """A set as `python -m tpad ablate` writes it; a fact that is None is left out."""
    told = {"item_ids": json.dumps(list(ids)), "dataset": "d1", "base": "b1", "full_config": "{}"}
    told["parts"] = '{"tau": 1, "nu": 1}'
    told = {key: value for key, value in (told | facts).items() if value is not None}
    save_file({"x": VECTORS.astype(np.float16)[: len(ids)]}, folder / f"{name}.safetensors", told)


def test_a_folder_of_ablations_gives_each_set_in_the_order_of_the_items(tmp_path):
    ablation(tmp_path, "no-words", ids=["d", "c", "b", "a"])
    ablation(tmp_path, "full")
    (tmp_path / "notes.txt").write_text("not a set")
    sets, parts = load_ablations(tmp_path, IDS, "d1")
    assert parts == {"full": {"tau": 1, "nu": 1}, "no-words": {"tau": 1, "nu": 1}}
    assert list(sets) == ["full", "no-words"]
    assert sets["full"].dtype == np.float32 and np.array_equal(sets["full"], VECTORS)
    assert np.array_equal(sets["no-words"], VECTORS[::-1])


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"dataset": "d2"}, "trained on another dataset or split"),
        ({"dataset": None}, "does not say what it was trained on"),
        ({"parts": None}, "does not say what it was trained on"),
        ({"full_config": '{"seed": 1}'}, "other settings than the sets before it"),
        ({"base": "b2"}, "another model"),
        ({"ids": ["a", "b", "c"]}, "other items than the dataset"),
        ({"ids": ["a", "b", "c", "z"]}, "other items than the dataset"),
        ({"item_ids": None}, "no item ids"),
    ],
)
def test_ablations_of_other_runs_or_data_are_errors(tmp_path, facts, named):
    ablation(tmp_path, "full")
    ablation(tmp_path, "mine", **facts)
    with pytest.raises(DataError, match=named) as told:
        load_ablations(tmp_path, IDS, "d1")
    assert "mine.safetensors" in str(told.value) and "\n" not in str(told.value)


def test_a_folder_without_ablations_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="tpad ablate"):
            load_ablations(folder, IDS, "d1")
    damaged(tmp_path / "full.safetensors")
    with pytest.raises(DataError, match="damaged"):
        load_ablations(tmp_path, IDS, "d1")
