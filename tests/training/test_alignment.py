"""The student that is tuned on sessions: what it starts from, what it learns, and how it is resumed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import context_of, logged, new_stage

from tpad.data.pseudo_cold import pseudo_cold
from tpad.errors import ConfigError, DataError
from tpad.mllm.adapters import LoraSettings
from tpad.model.item_encoder import STUDENT
from tpad.model.item_features import concatenated
from tpad.model.whitening import Whitening
from tpad.training.embed import embed
from tpad.training.stages import alignment
from tpad.training.stages.alignment import AlignmentConfig
from tpad.training.stages.item_reading import ItemReader
from tpad.training.workspace import Workspace

SMALL = AlignmentConfig(steps=4, batch_size=16, learning_rate=5e-3, width=12)


@pytest.fixture(scope="module")
def on_sessions(config):
    """Settings of a student that is tuned on sessions."""
    return replace(config, tau="sessions", alignment=SMALL, baselines=("knowledge", "transfer"))


def run_alignment(trained, config, folder, change=None):
    """Run the stage with a new model; returns the adapter's weights and the space of `k_tau`."""
    own = replace(config.alignment, **(change or {}))
    context = context_of(trained, alignment.STAGE, replace(config, alignment=own))
    whitening = alignment.run(own, context, new_stage(folder))
    weights = context.mllm.adapters.parameters(STUDENT)
    return [weight.detach().clone() for weight in weights], whitening


@pytest.fixture(scope="module")
def tuned(trained, on_sessions, tmp_path_factory):
    return run_alignment(trained, on_sessions, tmp_path_factory.mktemp("alignment") / "stage")


def test_before_training_k_tau_holds_the_features_of_the_base(trained, on_sessions):
    context = context_of(trained, alignment.STAGE, on_sessions)
    context.mllm.adapters.add(STUDENT, LoraSettings(rank=2, layers=context.layers[0]))
    reader = ItemReader(context.shop, *context.layers, per_pass=10)
    rows = np.array([5, 0, 17, 3])
    with context.mllm.adapters.use(STUDENT):
        features = reader.features(rows)
    assert features.shape == (4, reader.width)
    frozen = concatenated(context["knowledge"])[rows]
    torch.testing.assert_close(features, frozen, atol=2e-4, rtol=1e-3)


def test_only_the_layers_that_are_run_get_an_adapter(trained, on_sessions):
    mllm = context_of(trained, alignment.STAGE, on_sessions).mllm
    mllm.adapters.add("two", LoraSettings(rank=2, layers=2))
    mllm.adapters.add("all", LoraSettings(rank=2))
    two, every = (len(mllm.adapters.parameters(name)) for name in ("two", "all"))
    assert two == every * 2 // mllm.num_layers


def test_how_many_items_a_pass_reads_makes_no_difference(trained, on_sessions, tuned, tmp_path):
    weights, _ = run_alignment(trained, on_sessions, tmp_path / "stage", {"items_per_pass": 7})
    for one, other in zip(weights, tuned[0], strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-2)


def test_an_interrupted_run_ends_where_a_whole_one_ends(
    trained, on_sessions, tuned, tmp_path, monkeypatch
):
    monkeypatch.setattr(alignment, "SAVE_EVERY", 2)
    real, calls = alignment._Training._step, []

    def stopping(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(alignment._Training, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_alignment(trained, on_sessions, tmp_path / "stage")
    weights, whitening = run_alignment(trained, on_sessions, tmp_path / "stage")
    for one, other in zip(weights, tuned[0], strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(whitening.matrix, tuned[1].matrix)
    again, _ = run_alignment(trained, on_sessions, tmp_path / "stage")  # from the finished stage
    assert all(torch.equal(*both) for both in zip(again, weights, strict=True))


def test_the_loss_falls_and_validation_is_reported(trained, on_sessions, tmp_path, monkeypatch):
    monkeypatch.setattr(alignment, "REPORT_EVERY", 10)
    change = {"steps": 40, "batch_size": 32}
    run_alignment(trained, on_sessions, tmp_path / "stage", change)
    lines = logged(tmp_path / "stage")
    assert [line["epoch"] for line in lines] == [0, 10, 20, 30, 40]
    assert lines[-1]["L_next"] < lines[1]["L_next"] - 0.05
    assert all(0 <= line["validation MRR@20"] <= 1 for line in lines)


def test_the_teacher_is_used_only_with_a_weight_and_never_trained(
    trained, on_sessions, tuned, tmp_path
):
    own = replace(on_sessions.alignment, teacher_weight=0.5)
    context = context_of(trained, alignment.STAGE, replace(on_sessions, alignment=own))
    vectors = context["transfer"].session_vectors.copy()
    alignment.run(own, context, new_stage(tmp_path / "stage"))
    np.testing.assert_array_equal(context["transfer"].session_vectors, vectors)
    weights = context.mllm.adapters.parameters(STUDENT)
    assert not all(torch.equal(*both) for both in zip(weights, tuned[0], strict=True))


@pytest.mark.parametrize("exclude", [True, False])
def test_clicks_on_pseudo_cold_items_are_left_out_unless_they_are_wanted(
    trained, on_sessions, tmp_path, monkeypatch, exclude
):
    read: set[int] = set()
    real = ItemReader.with_gradients

    def with_gradients(self, rows):
        read.update(rows.tolist())
        return real(self, rows)

    monkeypatch.setattr(ItemReader, "with_gradients", with_gradients)
    change = {"steps": 40, "exclude_pseudo_cold": exclude}
    run_alignment(trained, on_sessions, tmp_path / "stage", change)
    dataset = trained.dataset
    held_out = set(np.flatnonzero(pseudo_cold(~dataset.cold)).tolist())
    clicked = set(dataset.train.clicks.tolist())
    assert held_out & clicked
    assert read == (clicked - held_out if exclude else clicked)


def test_a_transfer_model_is_trained_only_if_something_needs_it(on_sessions):
    alone = replace(on_sessions, baselines=("knowledge",))
    assert on_sessions.has_transfer and not alone.has_transfer
    assert alone.override("alignment.teacher_weight", 0.1).has_transfer
    assert not alone.override("representation", "full").has_descriptions
    assert alone.override("representation", "captions").has_descriptions


def test_one_layer_is_read(trained, on_sessions):
    two = on_sessions.override("knowledge.layers", (1, 2))
    with pytest.raises(ConfigError, match=r"knowledge.layers has 2 layers; give one"):
        context_of(trained, alignment.STAGE, two)


def test_parts_of_the_embeddings(trained, on_sessions, tmp_path):
    workspace = Workspace(tmp_path / "work", quiet=True)

    def embedded(**changes):
        return embed(trained.dataset, trained.base, replace(on_sessions, **changes), workspace)

    with workspace.only_run():
        x, parts = embedded()
        none, parts_of_none = embedded(alignment=replace(on_sessions.alignment, steps=0))
        without, parts_of_without = embedded(representation="intrinsic")
    assert list(parts) == ["tau", "nu", "fields"]
    assert list(parts_of_without) == list(parts_of_none) == ["nu", "fields"]
    width = parts["tau"]
    np.testing.assert_allclose(np.linalg.norm(x[:, :width], axis=1), 1, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(x[:, width : 2 * width], axis=1), 1, atol=2e-3)
    assert not np.array_equal(x[:, :width], x[:, width : 2 * width])
    # k_nu is that of the frozen base model.
    np.testing.assert_array_equal(without, x[:, width:])
    np.testing.assert_array_equal(without, none)


def test_whitened_features_have_length_one_and_keep_the_main_axes():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)) * [100, 10, 1, 1, 0, 1] + 50
    whitening = Whitening.fit(features, 3)
    found = whitening(torch.from_numpy(features))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(200))
    assert whitening.width == 3
    scaled = (torch.from_numpy(features).float() - whitening.mean) @ whitening.matrix
    torch.testing.assert_close(scaled.T @ scaled / 200, torch.eye(3), atol=1e-3, rtol=0)
    assert Whitening.fit(features, 64).width == 5  # one feature is constant
    with pytest.raises(DataError, match="read the same"):
        Whitening.fit(np.ones((4, 3)), 2)
