"""Downstream feedback: into the heads, and now and then into the adapter."""

from dataclasses import replace

import pytest
import torch
from stage_runs import arguments_of, logged, new_stage

from tpad.training.stages import feedback
from tpad.training.stages.feedback import LiveTable


@pytest.fixture(scope="module")
def feedback_arguments(trained):
    return arguments_of(trained, feedback)


def test_without_feedback_nothing_changes(feedback_arguments, tmp_path):
    result = feedback_arguments["distilled"]
    before = {k: v.clone() for k, v in result.heads.state_dict().items()}
    config, stage = replace(feedback_arguments["config"], epochs=0), new_stage(tmp_path / "none")
    feedback.run(**feedback_arguments | {"config": config, "stage": stage})
    assert all(torch.equal(v, before[k]) for k, v in result.heads.state_dict().items())
    assert not stage.done


def test_the_live_table_has_gradients_for_warm_items_only(feedback_arguments):
    shop, result = feedback_arguments["shop"], feedback_arguments["distilled"]
    fields = feedback_arguments["fields"]
    with shop.mllm.adapters.use("student"):
        live = LiveTable(
            result, shop.warm_rows, len(shop.dataset), fields, feedback_arguments["config"]
        )
        table = live()
        width = result.heads.width
        assert table.shape == (len(shop.dataset), width + fields.shape[1])
        cold = torch.from_numpy(shop.dataset.cold)
        assert (table[cold, :width] == 0).all() and (table[~cold, :width] != 0).any(1).all()
        assert torch.equal(table[:, width:], torch.from_numpy(fields))
        weights = torch.randn(width)
        (table[~cold, :width] * weights).sum().backward()
        assert live.table.grad.abs().sum() > 0
        assert any(p.grad is not None for p in result.heads.parameters())
    result.heads.zero_grad()


def test_feedback_moves_heads_and_adapter_and_is_kept(trained, tmp_path):
    given = arguments_of(trained, feedback)
    adapter = given["shop"].mllm.adapters.parameters("student")
    heads = given["distilled"].heads
    before = [p.detach().clone() for p in (*adapter, *heads.parameters())]
    stage = new_stage(tmp_path / "feedback")
    changed = {
        "config": replace(given["config"], epochs=2, adapter_every=1),
        # Small batches: the adapter steps against what earlier batches collected.
        "recommender": replace(given["recommender"], batch_size=40),
        "stage": stage,
    }
    feedback.run(**given | changed)
    assert stage.done and len(logged(stage.folder)) == 2
    after = [p.detach().clone() for p in (*adapter, *heads.parameters())]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert any(moved[: len(adapter)]) and any(moved[len(adapter) :])
    assert not heads.training and not given["shop"].mllm.model.training

    again = arguments_of(trained, feedback)
    feedback.run(**again | changed)
    now = (
        *again["shop"].mllm.adapters.parameters("student"),
        *again["distilled"].heads.parameters(),
    )
    assert all(torch.equal(a, b) for a, b in zip(after, now, strict=True))
