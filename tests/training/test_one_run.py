"""Two runs at once on one workspace: the second is refused, and the first loses nothing."""

import pytest

from tpad.embedded.pretraining import PretrainingConfig, pretrain
from tpad.errors import ConfigError
from tpad.training.ablations.sets import train_sets
from tpad.training.pipeline import train
from tpad.training.workspace import Workspace


def train_into(run, folder):
    train(run.dataset, run.base, run.config, folder / "out", quiet=True)


def ablate_into(run, folder):
    train_sets(
        run.dataset,
        run.base,
        run.config,
        folder / "out",
        only=["mine"],
        work=folder / "out.work",
        device="cpu",
        say=lambda _: None,
        quiet=True,
    )


def pretrain_into(run, folder):
    pretrain(PretrainingConfig(), folder / "out", quiet=True)


@pytest.mark.parametrize("begin", [train_into, ablate_into, pretrain_into])
def test_a_second_run_at_once_is_refused(trained, tmp_path, begin):
    first = Workspace(tmp_path / "out.work", quiet=True)
    with first.only_run(), pytest.raises(ConfigError, match=r"Another run writes to .*out\.work "):
        begin(trained, tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["out.work", ".lock"]


def test_a_finished_run_makes_way(tmp_path):
    first = Workspace(tmp_path / "work", quiet=True)
    with pytest.raises(KeyboardInterrupt), first.only_run():
        raise KeyboardInterrupt
    with Workspace(tmp_path / "work", quiet=True).only_run():
        assert first.folder.is_dir()
