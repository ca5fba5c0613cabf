"""MMSBR's pickles: what is admitted, and that nothing else ever runs."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from tpad.data.dataset import Dataset
from tpad.errors import DataError
from tpad.importers.unpickling import _PlainUnpickler, load_plain_pickle

SPORTS = Path(__file__).parents[2] / ".." / "shared" / "data" / "mmsbr-sports" / "test.txt"
PREFIXES, LABELS = [[1, 2], [3], [2]], [3, 1, 3]


@pytest.fixture
def pickled(tmp_path):
    """Pickles a value into a file."""

    def write(value: object, protocol: int = 2, name: str = "train.txt") -> Path:
        data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def six(prefixes=PREFIXES, labels=LABELS):
    return prefixes, prefixes, prefixes, [5, 6, 7], [10, 20, 30], labels


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_case_becomes_a_session_with_one_target(imported, pickled, tmp_path, protocol):
    shop = imported("mmsbr", pickled(six(), protocol))
    first = shop["clicks"][shop["clicks"]["session_id"] == "train-1"]
    assert first["item_id"].tolist() == ["1", "2", "3"]
    assert first["is_history"].tolist() == [True, True, False]
    items = shop["item_table"].set_index("item_id")
    assert items.loc["2", ["category", "price_level"]].tolist() == ["20", "6"]
    loaded = Dataset.load(
        tmp_path / "shop" / "items.parquet", tmp_path / "shop" / "interactions.parquet"
    )
    cases = [getattr(loaded, name).prefixes() for name in ("train", "validation", "test")]
    assert [len(of) for of in cases] == [1, 1, 1]
    assert [p.tolist() for p in cases[0].prefixes] == [[0, 1]] and cases[0].targets == [2]


def test_train_and_test_keep_their_split(imported, pickled):
    shop = imported(
        "mmsbr",
        pickled(six()),
        pickled((PREFIXES, LABELS), name="test.txt"),
        "--splits",
        "train",
        "test",
    )
    times = shop["clicks"].groupby("split")["timestamp"]
    assert times.max()["train"] < times.min()["test"]
    assert len(shop["item_table"]) == 3


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_never_runs(refused, pickled, tmp_path, protocol):
    target = tmp_path / "owned"
    path = pickled(([[1, Hostile(target)]], [2]), protocol)
    told = refused("mmsbr", path)
    assert "was not run" in told and "train.txt" in told and not target.exists()
    pickle.loads(path.read_bytes())  # it is hostile indeed
    assert target.exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        {1, 2},
        [None],
        [b"bytes"],
        np.arange(3),
        [np.int64(3)],
        os.getcwd,
        Path("x"),
        pickle.PickleBuffer(bytearray(b"x")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_refused(pickled, value):
    with pytest.raises(DataError, match="was not run"):
        load_plain_pickle(pickled(value, pickle.HIGHEST_PROTOCOL))


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x82\x01.",
        b"\x83\x01\x00.",
        b"\x84\x01\x00\x00\x00.",
        b"Pid\n.",
        b"I1\nQ.",
        b"]}b.",
        b"\x80\x02]q\x00(cos\nsystem\n\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    ],
    ids=repr,
)
def test_instructions_that_do_more_than_hold_values(pickled, program):
    with pytest.raises(DataError, match="was not run"):
        load_plain_pickle(pickled(program))


def test_the_reader_itself_refuses_names_as_well(tmp_path):
    """Even without the first look at the instructions, nothing outside is reached."""
    path = tmp_path / "x"
    for program in (b"cos\nsystem\n.", b"Pid\n."):
        path.write_bytes(program)
        with path.open("rb") as file, pytest.raises(pickle.UnpicklingError):
            _PlainUnpickler(file).load()


@pytest.mark.parametrize(
    "program",
    [
        b"no pickle",
        b"]",
        b"\x80\x02](",
        b"]]a]a",
        pickle.dumps(six())[:-20],
        b"]r" + struct.pack("<I", 2**32 - 1) + b".",  # a table of 64 GB
        b"X" + struct.pack("<I", 2**32 - 1) + b"x.",  # a text of 4 GB
        b"\x8a\xff\x01.",
        b"h\x05.",
        b"a.",
        b"I" + b"9" * 5000 + b"\n.",
    ],
    ids=lambda program: repr(program)[:20],
)
def test_damaged_pickles(pickled, program):
    with pytest.raises(DataError, match=r"train\.txt.*pickle"):
        load_plain_pickle(pickled(program))


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        5,
        "text",
        (PREFIXES, [1]),
        ([1, 2], [1, 2]),
        (1, 2),
        (PREFIXES, 1, 2, [1], [2], LABELS),
        (PREFIXES, [], [], [1], [2, 3], LABELS),
    ],
    ids=repr,
)
def test_lists_of_another_shape(refused, pickled, value):
    assert "not an MMSBR file" in refused("mmsbr", pickled(value))


def test_a_list_that_is_repeated_without_end(refused, pickled):
    prefix = list(range(200))
    assert "repeats its lists" in refused("mmsbr", pickled(([prefix] * 500, [1] * 500)))


def test_settings_and_names_that_do_not_fit(refused, pickled, tmp_path):
    path = pickled(six())
    assert "--min-clicks" in refused("mmsbr", path, "--min-clicks", 5)
    assert "--sessions user" in refused("mmsbr", path, "--sessions", "user")
    (tmp_path / "b").mkdir()
    again = pickled(six(), name="b/train.txt")
    assert "same name" in refused("mmsbr", path, again)


def test_cases_with_invalid_items(imported, pickled):
    shop = imported("mmsbr", pickled(([[1], [[2]], [3]], [2, 2, 1])))
    dropped = shop["interactions"]["dropped"]["case with an item that is not a valid id"]
    assert dropped["count"] == 2 and dropped["examples"] == ["train.txt case 2"]


@pytest.mark.skipif(not SPORTS.is_file(), reason="../shared/data is not here")
def test_the_published_sports_dataset(imported):
    shop = imported("mmsbr", SPORTS, "--items", "all")
    assert shop["sessions"] == 21_119 and len(shop["item_table"]) == 18_796
