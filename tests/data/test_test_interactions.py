"""Click logs in two files, of which the second has the test sessions."""

from pathlib import Path

import pytest

from tpad.data import Dataset
from tpad.errors import ConfigError, DataError

HEADER = "SessionId\tItemId\tTime\n"


def write(path: Path, first: int, count: int, items: str = "abcd", shift: int = 0) -> Path:
    """A log in the form of session-rec: sessions of consecutive items, one per day."""
    rows = [
        f"{session}\t{items[(session + place) % len(items)]}\t{1_400_000_000.5 + 86_400 * day + place}\n"
        for day, session in enumerate(range(first, first + count), shift)
        for place in range(3)
    ]
    path.write_text(HEADER + "".join(rows))
    return path


@pytest.fixture
def logs(tmp_path) -> tuple[Path, Path]:
    train = write(tmp_path / "train_full.txt", 1, 20)
    return train, write(tmp_path / "test.txt", 21, 5, shift=20)


def test_the_second_file_tests_and_the_latest_of_the_first_validate(logs):
    train, test = logs
    dataset = Dataset.load(None, train, test_interactions=test)
    assert dataset.train.ids.tolist() == [str(n) for n in range(1, 19)]
    assert dataset.validation.ids.tolist() == ["19", "20"]
    assert dataset.test.ids.tolist() == [str(n) for n in range(21, 26)]
    assert dataset.items["item_id"].tolist() == ["b", "c", "d", "a"]
    assert dataset.report.count("item known only by its clicks") == 4
    assert dataset.report.errors == 0
    assert (
        len(Dataset.load(None, train, test_interactions=test, validation_fraction=0.25).train) == 15
    )


def test_items_of_the_test_sessions_alone_are_cold(logs):
    train, test = logs
    write(test, 21, 5, items="abxy", shift=20)
    dataset = Dataset.load(None, train, test_interactions=test)
    assert set(dataset.items["item_id"][dataset.cold]) == {"x", "y"}


def test_an_item_table_can_be_given(logs, tmp_path):
    train, test = logs
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\nc,C\n")
    dataset = Dataset.load(tmp_path / "items.csv", train, test_interactions=test, cold_fraction=0.4)
    assert dataset.report.count("unknown item in a click") > 0
    assert dataset.cold.sum() == 1 and dataset.cold[dataset.test.clicks].any()


def test_files_that_both_number_their_sessions_from_1(logs):
    train, test = logs
    write(test, 19, 4, shift=20)
    dataset = Dataset.load(None, train, test_interactions=test)
    assert dataset.validation.ids.tolist() == ["19", "20"]
    assert dataset.test.ids.tolist() == ["19@test", "20@test", "21", "22"]


def test_what_does_not_go_with_test_interactions(logs, tmp_path):
    train, test = logs
    with pytest.raises(ConfigError, match="leave out the test interactions"):
        Dataset.load(None, train, test_interactions=test, split="leave_one_out")
    text = test.read_text().replace("Time\n", "Time\tsplit\n", 1)
    head, *rows = text.splitlines()
    test.write_text("\n".join([head, *(f"{row}\ttest" for row in rows)]))
    with pytest.raises(
        DataError, match=r"test\.txt has a column 'split', which does not go with te"
    ):
        Dataset.load(None, train, test_interactions=test)
    sequences = tmp_path / "sequences.txt"
    sequences.write_text("u 1 2 3\n")
    for files in ((train, sequences), (sequences, train)):
        with pytest.raises((DataError, ConfigError), match=r"without times|leave out the test"):
            Dataset.load(None, files[0], test_interactions=files[1])
    with pytest.raises(DataError, match=r"nowhere\.txt does not exist"):
        Dataset.load(None, train, test_interactions=tmp_path / "nowhere.txt")


def test_clicks_without_the_column_of_the_items(tmp_path):
    (tmp_path / "clicks.csv").write_text("session_id,item,timestamp\ns,a,1700000000\n")
    with pytest.raises(DataError, match=r"clicks\.csv has no column 'item_id' .it has: session_id"):
        Dataset.load(None, tmp_path / "clicks.csv")


def test_one_item_is_too_few(tmp_path):
    train = write(tmp_path / "train.txt", 1, 3, items="a")
    with pytest.raises(DataError, match=r"train\.txt has a single item, 'a'"):
        Dataset.load(None, train)
