"""The files that `train` and `eval` take: sequences of users, test interactions, clicks alone."""

from argparse import ArgumentParser, Namespace

import pytest

from eval.cli.sources import add_source, load_source
from eval.protocol import TestCases
from tpad.cli.job import read_job
from tpad.cli.training_options import add_training_options
from tpad.data import Dataset

SPELLINGS = ("leave_one_out", "leave-one-out")


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    """Option -> a small file for it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    texts = {
        "items": "item_id\ttitle\n" + "".join(f"{item}\tItem {item}\n" for item in range(20)),
        "sequences": "".join(
            f"u{n} {' '.join(str((n + 3 * place) % 20) for place in range(5))}\n" for n in range(40)
        ),
        "clicks": "user_id,item_id,timestamp\n"
        + "".join(
            f"u{n},{(n + 3 * place) % 20},{1_700_000_000 + 86_400 * place + n}\n"
            for n in range(40)
            for place in range(5)
        ),
    }
    for name in ("train", "test"):
        first = 0 if name == "train" else 40
        texts[name] = "SessionId\tItemId\tTime\n" + "".join(
            f"{n}\t{(n + place) % 20}\t{1_700_000_000 + 100 * n + place}.5\n"
            for n in range(first, first + (40 if name == "train" else 8))
            for place in range(3)
        )
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return {name: str(folder / f"{name}.txt") for name in texts}


def both(options: list[str], tmp_path) -> Dataset:
    """The dataset that `train` and `eval` read, which must be the same."""
    parser = ArgumentParser()
    add_training_options(parser)
    options = [*options, "--cold-fraction", "0.1"]
    args = parser.parse_args([*options, "--seed", "3", "--work", str(tmp_path / "work")])
    trained = read_job(Namespace(**vars(args), out=None, ablation=[])).dataset
    parser = ArgumentParser()
    add_source(parser)
    evaluated = load_source(parser.parse_args([*options, "--cold-seed", "3"]))
    assert evaluated.dataset.fingerprint == trained.fingerprint
    assert evaluated.name == "shop"
    return trained


@pytest.mark.parametrize("interactions", ["sequences", "clicks"])
@pytest.mark.parametrize("split", SPELLINGS)
def test_users_leave_one_click_out(files, tmp_path, interactions, split):
    dataset = both(
        ["--items", files["items"], "--interactions", files[interactions], "--split", split],
        tmp_path,
    )
    assert len(dataset) == 20 and dataset.cold.sum() == 2
    assert len(TestCases.of(dataset)) == len(dataset.test) == 40
    assert dataset.test.lengths.tolist() == [5] * 40


def test_sequences_need_no_option(files, tmp_path):
    dataset = both(["--items", files["items"], "--interactions", files["sequences"]], tmp_path)
    assert len(TestCases.of(dataset)) == 40


def test_clicks_in_two_files_need_no_items(files, tmp_path, capsys):
    options = ["--interactions", files["train"], "--test-interactions", files["test"]]
    dataset = both(options, tmp_path)
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [36, 4, 8]
    assert dataset.n_items == 20 and dataset.cold.sum() == 2
    printed = capsys.readouterr()
    assert "item known only by its clicks" in printed.out  # of train
    assert "item known only by its clicks" in printed.err  # of eval


def test_a_split_with_its_roles_can_be_made_of_sequences(files):
    parser = ArgumentParser()
    add_source(parser)
    options = ["--items", files["items"], "--interactions", files["sequences"]]
    whole = load_source(parser.parse_args([*options, "--split", "leave-one-out"]))
    assert whole.split.name == "leave_one_out:seed=0"
    assert whole.dataset.fingerprint == load_source(parser.parse_args(options)).dataset.fingerprint
    cold = load_source(parser.parse_args([*options, "--split", "cold_items:fraction=0.2"]))
    assert cold.split.held_out.sum() == 4
    assert len(cold.dataset.test.prefixes()) == 40
