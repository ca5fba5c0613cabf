"""The frozen vision tower runs once over each image, regardless of stages and epochs."""

from dataclasses import replace

import torch
from fake_bundle import make_fake_dataset

from tpad.mllm import MLLM, ModelSettings
from tpad.training.base import Base
from tpad.training.config import KnowledgeConfig, TrainingConfig, TransferConfig
from tpad.training.pipeline import read_pictures
from tpad.training.shop import Shop
from tpad.training.stages import knowledge, transfer
from tpad.training.workspace import Workspace

CONFIG = TrainingConfig(
    knowledge=KnowledgeConfig(adapt_epochs=1, max_new_tokens=8),
    transfer=TransferConfig(epochs=2, batch_size=4, max_sessions=8, rank=2, width=8),
)


def count_passes(mllm) -> list[int]:
    """A list that grows by one with each forward pass of the vision tower."""
    tower = next(
        getattr(mllm.model.model, name)
        for name in ("vision_model", "vision_tower", "visual")
        if hasattr(mllm.model.model, name)
    )
    calls: list[int] = []
    tower.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def stages(folder, dataset, workspace, config=CONFIG):
    """Run knowledge and transfer with a new model: the image cache and the passes of the tower."""
    mllm, base = MLLM.load(folder, config.model, device="cpu"), Base(str(folder))
    calls = count_passes(mllm)
    images = read_pictures(dataset, mllm, base, config, workspace)
    shop = Shop.read(dataset, mllm, images, config)
    known = knowledge.run(config.knowledge, shop, workspace.stage("one", "1", config), 0)
    transfer.run(config.transfer, shop, known, workspace.stage("two", "2", config), 0)
    return images, len(calls)


def test_the_tower_runs_once_for_all_stages_and_later_runs(folder, tmp_path):
    dataset = make_fake_dataset(tmp_path / "shop", n_items=12, n_sessions=16)
    workspace = Workspace(tmp_path / "work", quiet=True)
    images, passes = stages(folder, dataset, workspace)
    assert passes == 1  # twelve pictures are one batch
    assert images.has_image.all()
    if folder.name == "qwen3_vl":
        assert len(images.deepstack) == 2  # the tokens for the first layers are cached, too

    other = replace(CONFIG, transfer=replace(CONFIG.transfer, epochs=1), seed=1)
    again, passes = stages(folder, dataset, workspace, other)
    assert passes == 0
    assert torch.equal(images.flat, again.flat)
    for one, same in zip(images.deepstack, again.deepstack, strict=True):
        assert torch.equal(one, same)

    small, passes = stages(
        folder, dataset, workspace, replace(CONFIG, model=ModelSettings(visual_tokens=1))
    )
    assert passes == 1  # another resolution needs another cache
    assert len(small.flat) == 12 < len(images.flat)
