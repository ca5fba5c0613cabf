"""`--merge-repeats` of `train` and of `eval`."""

from argparse import ArgumentParser, Namespace

import pytest

from eval.cli.sources import add_source, load_source
from tpad.cli.job import read_job
from tpad.cli.training_options import add_training_options
from tpad.errors import ConfigError

CLICKS = "".join(
    f"s{n},{item},{1_700_000_000 + 100 * n + place}\n"
    for n in range(12)
    for place, item in enumerate("aabb")
)


@pytest.fixture
def tables(tmp_path) -> list[str]:
    (tmp_path / "items.csv").write_text("item_id,title\na,x\nb,y\n")
    (tmp_path / "clicks.csv").write_text("session_id,item_id,timestamp\n" + CLICKS)
    return ["--items", f"{tmp_path / 'items.csv'}", "--interactions", f"{tmp_path / 'clicks.csv'}"]


def training(options: list[str]):
    parser = ArgumentParser()
    add_training_options(parser)
    args = parser.parse_args(options)
    return read_job(Namespace(**vars(args), out=None, ablation=[]))


def evaluation(options: list[str]):
    parser = ArgumentParser()
    add_source(parser)
    return load_source(parser.parse_args(options))


@pytest.mark.parametrize("command", [training, evaluation])
def test_repeats_are_merged_where_that_is_asked_for(tables, tmp_path, command, capsys):
    work = ["--work", str(tmp_path / "work")] if command is training else []
    kept = command([*tables, *work]).dataset
    assert kept.train.lengths.tolist() == [4] * len(kept.train)
    merged = command([*tables, *work, "--merge-repeats"]).dataset
    assert merged.train.lengths.tolist() == [2] * len(merged.train)
    assert "repeated click in a row: merged into one" in "".join(capsys.readouterr())


@pytest.mark.parametrize("command", [training, evaluation])
def test_repeats_are_merged_in_tables_alone(tmp_path, command):
    work = ["--work", str(tmp_path / "work")] if command is training else []
    with pytest.raises(ConfigError, match="--merge-repeats needs --interactions"):
        command(["--world", str(tmp_path), *work, "--merge-repeats"])
