"""A small demo shop and an untrained base model, and a whole training run on them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from stage_runs import context_of
from tiny_base import make_tiny_base

from tpad.data.dataset import Dataset
from tpad.training.base import Base
from tpad.training.config import TrainingConfig, preset
from tpad.training.pipeline import train
from tpad.training.stages import distillation
from tpad.world import build
from tpad.world.build import World, WorldConfig, write_world

SHOP = WorldConfig(
    seed=5, items=96, train_sessions=160, validation_sessions=30, test_sessions=30, arrivals=2
)


def small_config() -> TrainingConfig:
    """The smoke preset, made smaller still; all embedding sets."""
    settings = {
        "knowledge.max_new_tokens": 6,  # an untrained model writes until it is stopped
        "transfer.max_sessions": 32,
        "teacher.sessions": 24,
        "teacher.candidates": 8,
        "distillation.batch_size": 128,
        "distillation.adapter_every": 3,
        "text_components": 16,
        "baselines": ("vision_tfidf", "knowledge", "vision", "tfidf", "transfer", "random"),
    }
    config = preset("smoke")
    for name, value in settings.items():
        config = config.override(name, value)
    return config


@dataclass(frozen=True)
class Run:
    """One whole training run."""

    bundle: Path
    work: Path
    dataset: Dataset
    base: Base
    config: TrainingConfig


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory) -> Path:
    """A drawn shop of 96 items, with small pictures."""
    folder = tmp_path_factory.mktemp("shop") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PICTURE_SIZE", 64)
        write_world(World(SHOP), folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def dataset(shop_folder) -> Dataset:
    return Dataset.from_world(shop_folder)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    folder = make_tiny_base(tmp_path_factory.mktemp("base") / "tiny")
    (folder / "pretraining.json").write_text('{"steps": 0}\n', "utf-8")
    return folder


@pytest.fixture(scope="session")
def config() -> TrainingConfig:
    return small_config()


@pytest.fixture(scope="session")
def trained(dataset, base_folder, config, shop_folder, tmp_path_factory) -> Run:
    """A bundle trained once for all tests; to be read only."""
    folder, base = tmp_path_factory.mktemp("run"), Base(str(base_folder))
    extra = {part: shop_folder / part for part in ("world.json", "arrivals")}
    bundle = train(
        dataset,
        base,
        config,
        folder / "bundle",
        work=folder / "work",
        extra_files=extra,
        device="cpu",
        quiet=True,
    )
    return Run(bundle, folder / "work", dataset, base, config)


@pytest.fixture(scope="module")
def distil_context(trained):
    """What the distillation stage of `trained` works on, with a fresh model."""
    return context_of(trained, distillation.STAGE)
