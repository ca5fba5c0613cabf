"""Downstream feedback: into the heads, and now and then into the adapter."""

from dataclasses import replace

import pytest
import torch
from stage_runs import context_of, logged, new_stage

from tpad.training.stages import feedback
from tpad.training.stages.feedback import LiveTable


@pytest.fixture(scope="module")
def context(trained):
    return context_of(trained, feedback.STAGE)


def test_without_feedback_there_is_no_stage(trained):
    assert feedback.STAGE.wanted(trained.config)
    assert not feedback.STAGE.wanted(trained.config.override("feedback.epochs", 0))


def test_the_live_table_has_gradients_for_warm_items_only(context, config):
    shop, result, fields = context.shop, context["distillation"], context.fields
    with shop.mllm.adapters.use("student"):
        live = LiveTable(result, shop.warm_rows, len(shop.dataset), fields, config.feedback)
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
    # Small batches: the adapter steps against what earlier batches collected.
    recommender = replace(trained.config.recommender.content, batch_size=40)
    config = replace(trained.config.feedback, epochs=2, adapter_every=1)

    def begin():
        return replace(context_of(trained, feedback.STAGE), recommender=recommender)

    context = begin()
    adapter = context.mllm.adapters.parameters("student")
    heads = context["distillation"].heads
    before = [p.detach().clone() for p in (*adapter, *heads.parameters())]
    stage = new_stage(tmp_path / "feedback")
    feedback.run(config, context, stage)
    assert stage.done and len(logged(stage.folder)) == 2
    after = [p.detach().clone() for p in (*adapter, *heads.parameters())]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert any(moved[: len(adapter)]) and any(moved[len(adapter) :])
    assert not heads.training and not context.mllm.model.training

    again = begin()
    feedback.run(config, again, stage)
    now = (
        *again.mllm.adapters.parameters("student"),
        *again["distillation"].heads.parameters(),
    )
    assert all(torch.equal(a, b) for a, b in zip(after, now, strict=True))
