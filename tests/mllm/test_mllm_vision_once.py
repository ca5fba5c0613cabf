"""The frozen vision tower runs once over each picture, whatever stages and epochs follow."""

from dataclasses import replace

import pytest
import torch
from fake_bundle import make_fake_dataset
from mllm_models import seeing

from tpad.mllm import MLLM, ModelSettings
from tpad.training import pipeline
from tpad.training.base import Base
from tpad.training.config import KnowledgeConfig, TrainingConfig, TransferConfig
from tpad.training.workspace import Workspace

CONFIG = TrainingConfig(
    knowledge=KnowledgeConfig(adapt_epochs=1, max_new_tokens=8),
    transfer=TransferConfig(epochs=2, batch_size=4, max_sessions=8, rank=2, width=8),
)


def counted(mllm) -> list[int]:
    """Grows by one with each forward pass of the vision tower."""
    tower = next(
        getattr(mllm.model.model, name)
        for name in ("vision_model", "vision_tower", "visual")
        if hasattr(mllm.model.model, name)
    )
    calls: list[int] = []
    tower.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def stages(folder, dataset, workspace, config=CONFIG):
    """Knowledge and transfer with a fresh model; the pictures, and the tower's passes."""
    mllm = MLLM.load(folder, config.model, device="cpu")
    calls = counted(mllm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "load_base", lambda *_: mllm)
        run = pipeline.Run(dataset, Base(str(folder)), config, device="cpu")
    run.graph.run(run.context, workspace, ["transfer"])
    return run.context["pictures"], len(calls)


@seeing
def test_one_pass_for_two_stages_and_the_runs_after(folder, tmp_path):
    dataset = make_fake_dataset(tmp_path / "shop", n_items=12, n_sessions=16)
    workspace = Workspace(tmp_path / "work", quiet=True)
    images, passes = stages(folder, dataset, workspace)
    assert passes == 1  # twelve pictures are one batch
    assert images.has_image.all()
    if folder.name == "qwen3_vl":
        assert len(images.deepstack) == 2  # what it adds at the first layers is kept, too

    other = replace(CONFIG, transfer=replace(CONFIG.transfer, epochs=1), seed=1)
    again, passes = stages(folder, dataset, workspace, other)
    assert passes == 0
    assert torch.equal(images.flat, again.flat)
    for one, same in zip(images.deepstack, again.deepstack, strict=True):
        assert torch.equal(one, same)

    small, passes = stages(
        folder, dataset, workspace, replace(CONFIG, model=ModelSettings(visual_tokens=1))
    )
    assert passes == 1  # pictures of another size are other pictures
    assert len(small.flat) == 12 < len(images.flat)
