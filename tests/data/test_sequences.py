"""Leave-one-out datasets: sequences of users in a text file, and users of an interaction table."""

import numpy as np
import pandas as pd
import pytest

from tpad.data import Dataset, sequences
from tpad.data.sessions import Sessions
from tpad.data.splits import hold_out_items
from tpad.errors import ConfigError, DataError

ITEMS = "item_id\tasin\ttitle\n1\tB1\tred case\n2\tB2\tphone\n3\tB3\tcharger\n4\tB4\tcable\n5\tB5\tbag\n"
LINES = "u 1 2 3 4\nv 2 3 5\nw 5 4 3 2 1\n"


@pytest.fixture
def load(tmp_path):
    """Writes a file of sequences and a tab-separated item table, and loads them."""

    def run(lines: str | bytes, items: str | None = ITEMS, **options) -> Dataset:
        path, table = tmp_path / "sequences.txt", tmp_path / "items.tsv"
        path.write_bytes(lines.encode() if isinstance(lines, str) else lines)
        if items is not None:
            table.write_text(items)
        return Dataset.load(None if items is None else table, path, **options)

    return run


def cases(dataset: Dataset, part: str) -> dict[str, tuple[str, str]]:
    """User -> (the prefix, the target) of the only case of a user, as ids joined by spaces."""
    sessions: Sessions = getattr(dataset, part)
    found, ids = sessions.prefixes(), dataset.items["item_id"].to_numpy()
    users = [str(sessions.ids[row]).removesuffix(f":{part}") for row in found.session]
    assert len(set(users)) == len(users)
    return {
        user: (" ".join(ids[prefix]), ids[target])
        for user, prefix, target in zip(users, found.prefixes, found.targets, strict=True)
    }


def training(dataset: Dataset) -> dict[str, str]:
    ids = dataset.items["item_id"].to_numpy()
    return {
        str(name).removesuffix(":train"): " ".join(ids[items])
        for name, items in zip(dataset.train.ids, dataset.train.items, strict=True)
    }


@pytest.mark.parametrize("split", [None, "leave_one_out"])
def test_the_last_click_tests_and_the_one_before_validates(load, split):
    dataset = load(LINES, split=split)
    assert training(dataset) == {"u": "1 2", "v": "2", "w": "5 4 3"}
    assert cases(dataset, "validation") == {
        "u": ("1 2", "3"),
        "v": ("2", "3"),
        "w": ("5 4 3", "2"),
    }
    assert cases(dataset, "test") == {
        "u": ("1 2 3", "4"),
        "v": ("2 3", "5"),
        "w": ("5 4 3 2", "1"),
    }
    assert dataset.items["title"].tolist() == ["red case", "phone", "charger", "cable", "bag"]
    assert dataset.report.findings == ()
    assert dataset.popularity.tolist() == [1, 2, 1, 1, 1]  # training clicks alone


def test_a_saved_dataset_comes_back(load, tmp_path):
    dataset = load(LINES)
    dataset.save(tmp_path / "saved")
    again = Dataset.load_saved(tmp_path / "saved", image_root=dataset.image_root)
    assert again.fingerprint == dataset.fingerprint
    assert cases(again, "test") == cases(dataset, "test")


@pytest.mark.parametrize(
    "lines",
    [
        "\ufeff" + LINES,
        LINES.replace("\n", "\r\n"),
        "\n\n" + LINES.replace("\n", "\n  \n").rstrip(),
        LINES.replace(" ", "   "),
        LINES.replace("2", "2.0"),
    ],
    ids=["byte order mark", "Windows", "blank lines", "several spaces", "ids such as 2.0"],
)
def test_forms_of_the_same_file(load, lines):
    assert load(lines).fingerprint == load(LINES).fingerprint


def test_lines_longer_than_a_block_are_joined(load, monkeypatch):
    expected = load(LINES).fingerprint
    monkeypatch.setattr(sequences, "BLOCK", 13)
    assert load(LINES).fingerprint == expected


def test_items_without_a_row_are_kept_and_reported(load):
    dataset = load("u 1 2 9 4\nv 2 3 9\nw 5 4 3 8 1\n")
    assert dataset.items["item_id"].tolist() == ["1", "2", "3", "4", "5", "9", "8"]
    assert dataset.items["title"].tolist()[5:] == ["", ""] and np.isnan(dataset.items["price"][6])
    assert dataset.report.count("item without a row in the item table") == 2
    assert "sequences.txt row 1 ('9')" in str(dataset.report)
    assert cases(dataset, "test")["v"] == ("2 3", "9")
    with pytest.raises(DataError, match=r"row 1 \('9'\): item without a row in the item table"):
        load("u 1 2 9 4\nv 2 3 1\n", strict=True)


def test_the_items_can_be_made_of_the_clicks(load):
    dataset = load(LINES, items=None)
    assert dataset.items["item_id"].tolist() == ["1", "2", "3", "4", "5"]
    assert set(dataset.items["title"]) == {""}
    assert dataset.report.count("item known only by its clicks") == 5 and not dataset.report.errors
    assert cases(dataset, "test") == cases(load(LINES), "test")


def test_odd_lines_are_reported(load):
    dataset = load("a\n" + LINES + "b 1\nc 1 2\nu 5 5 5 5\n")
    assert cases(dataset, "test") == cases(load(LINES), "test")
    assert training(dataset)["c"] == "1 2" and "b" not in training(dataset)
    report = {one.reason: str(one) for one in dataset.report.findings}
    assert "sequences.txt row 1 ('a')" in report["user without items"]
    assert "sequences.txt row 7 ('u')" in report["user with a second line"]
    assert "the first line is kept" in report["user with a second line"]
    assert "session 'b'" in report["single-click session"]
    assert "user 'c'" in report["user with fewer than 3 clicks"]
    assert dataset.report.errors == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("u 10 20 30\nv 10 20 30\n", "no click on a known item .it has '10', the item table '1'"),
        ("u \nv 1 \nw 2\n", "no user with 3 clicks or more .*single-click session"),
        ("u 1 2\nv 2 3\n", "no user with 3 clicks or more"),
        ("u 1 2 3\nv 2 3 1\n", "no training session of 2 clicks or more"),
        (b"u 1 2 3\nv 2 \x00 3\n", "sequences.txt is not a text file .line 2 contains a zero byte"),
        (b"u 1 2 3\nv 2 \xff 3\n", "sequences.txt is not UTF-8 .line 2"),
        (LINES.encode("utf-16"), "UTF-16"),
        ("u 1 1.5e+30 2 3\n", "lost digits"),
    ],
)
def test_files_that_cannot_be_used(load, lines, words):
    with pytest.raises(DataError, match=words) as caught:
        load(lines)
    assert "\n" not in str(caught.value)


def test_an_endless_line_is_refused(load, monkeypatch):
    monkeypatch.setattr(sequences, "BLOCK", 1 << 10)
    with pytest.raises(DataError, match=r"a line of more than 0 MiB \(after row 3\)"):
        load(LINES + "x" + " 1" * 2_000)


def test_held_out_items_are_cold_and_test_prefixes_keep_them(load):
    rng = np.random.default_rng(0)
    lines = "".join(
        f"u{user} {' '.join(map(str, rng.integers(1, 31, rng.integers(3, 9))))}\n"
        for user in range(200)
    )
    table = "item_id,title\n" + "".join(f"{item},Item {item}\n" for item in range(1, 31))
    whole, dataset = load(lines, table), load(lines, table, cold_fraction=0.1, seed=3)
    held_out = hold_out_items(30, 0.1, 3)
    assert held_out.sum() == 3 and dataset.cold[held_out].all()
    assert not held_out[dataset.train.clicks].any()
    assert not held_out[dataset.validation.clicks].any()
    assert cases(dataset, "test") == cases(whole, "test")
    ids = set(dataset.items["item_id"][held_out])
    kept = [user for user, case in cases(whole, "validation").items() if case[1] not in ids]
    left = cases(dataset, "validation")
    assert set(left) <= set(kept) and len(left) > 0.9 * len(kept)
    for user, (prefix, target) in left.items():
        before = cases(whole, "validation")[user]
        assert prefix.split() == [item for item in before[0].split() if item not in ids]
        assert target == before[1]
    assert dataset.report.count("click on a held-out item") > 0


CLICKS = pd.DataFrame(
    [
        ("u", "1", 1_700_000_000),
        ("v", "2", 1_700_000_000),
        ("u", "4", 1_700_900_000),  # days after the others, and out of order in the table
        ("u", "2", 1_700_000_010),
        ("v", "3", 1_700_200_000),
        ("u", "3", 1_700_500_000),
        ("v", "5", 1_700_400_000),
        ("x", "5", 1_700_400_000),
        ("x", "9", 1_700_400_001),
    ],
    columns=["user_id", "item_id", "timestamp"],
)


@pytest.fixture
def load_table(tmp_path):
    def run(clicks: pd.DataFrame, **options) -> Dataset:
        (tmp_path / "items.tsv").write_text(ITEMS)
        clicks.to_csv(tmp_path / "clicks.csv", index=False)
        return Dataset.load(tmp_path / "items.tsv", tmp_path / "clicks.csv", **options)

    return run


@pytest.mark.parametrize("owner", ["user_id", "session_id", "both"])
def test_all_clicks_of_a_user_in_a_table_are_one_sequence(load_table, owner):
    clicks = CLICKS.rename(columns={"user_id": owner})
    if owner == "both":
        clicks = CLICKS.assign(session_id=[f"s{row}" for row in range(len(CLICKS))])
    dataset = load_table(clicks, split="leave_one_out")
    assert training(dataset) == {"u": "1 2", "v": "2"}
    assert cases(dataset, "validation") == {"u": ("1 2", "3"), "v": ("2", "3")}
    assert cases(dataset, "test") == {"u": ("1 2 3", "4"), "v": ("2 3", "5")}
    # As in every table, a click on an unknown item is skipped, and x is left with one click.
    assert dataset.report.count("unknown item in a click") == 1
    assert dataset.report.count("single-click session") == 1


def test_splits_that_do_not_fit_the_files(load, load_table):
    with pytest.raises(DataError, match=r"sequences\.txt has sequences without times"):
        load(LINES, split="time")
    with pytest.raises(ConfigError, match="split must be one of time, leave_one_out, not 'last'"):
        load(LINES, split="last")
    with pytest.raises(DataError, match="column 'split', which does not go with the split leave_o"):
        load_table(CLICKS.assign(split="train"), split="leave_one_out")
