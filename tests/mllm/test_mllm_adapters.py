"""LoRA adapters can be switched, trained, saved and loaded."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tpad.errors import ModelError
from tpad.mllm import MLLM, LoraSettings, Turn, collate, encode_items, score_answers


def last(mllm, items):
    return encode_items(mllm, items, instruction="Describe it.", layers=[3]).last[3]


def train(mllm, name, items, steps=3):
    optimizer = torch.optim.Adam(mllm.adapters.parameters(name), lr=0.02)
    batch = collate(mllm, [[Turn(item, "Next?", "green")] for item in items], with_labels=True)
    losses = []
    with mllm.adapters.use(name):
        for _ in range(steps):
            loss = mllm.forward(batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


def test_adapters_can_be_switched_on_and_off(mllm, items):
    base = last(mllm, items)
    mllm.adapters.add("teacher", LoraSettings(rank=4, alpha=8))
    np.testing.assert_array_equal(last(mllm, items), base)
    losses = train(mllm, "teacher", items)
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(last(mllm, items), base)
    with mllm.adapters.use("teacher"):
        tuned = last(mllm, items)
        with mllm.adapters.use(None):
            np.testing.assert_array_equal(last(mllm, items), base)
        np.testing.assert_array_equal(last(mllm, items), tuned)
    assert np.abs(tuned - base).max() > 1e-3
    mllm.adapters.add("student", LoraSettings(rank=2))
    mllm.adapters.set("student")
    np.testing.assert_allclose(last(mllm, items), base, atol=1e-6)
    mllm.adapters.set("teacher")
    np.testing.assert_array_equal(last(mllm, items), tuned)
    mllm.adapters.set(None)
    np.testing.assert_array_equal(last(mllm, items), base)


def test_scores_use_the_active_adapter(mllm, items):
    chat = [Turn(items[0], "Next?")]
    base = score_answers(mllm, [chat], [["green", "red"]])[0]
    mllm.adapters.add("a", LoraSettings(rank=4, dropout=0.1))
    train(mllm, "a", items)
    mllm.adapters.set("a")
    before = {name: value.clone() for name, value in mllm.model.state_dict().items()}
    tuned = score_answers(mllm, [chat], [["green", "red"]])[0]
    for name, value in mllm.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert mllm.adapters.active == "a"
    assert all(p.requires_grad for p in mllm.adapters.parameters("a"))
    assert np.abs(tuned - base).min() > 1e-2
    closed = collate(mllm, [[Turn(items[0], "Next?", "green")]], with_labels=True)
    with torch.no_grad():
        out = mllm.forward(closed)  # the adapter is not merged, dropout is off
    assert tuned[0] == pytest.approx(-out.loss.item() * len(out.targets), abs=1e-3)
    mllm.adapters.set(None)
    np.testing.assert_array_equal(score_answers(mllm, [chat], [["green", "red"]])[0], base)


def test_training_an_adapter_changes_nothing_else(mllm, items):
    mllm.adapters.add("a", LoraSettings(rank=2))
    mllm.adapters.add("b", LoraSettings(rank=2))
    before = {name: value.clone() for name, value in mllm.model.state_dict().items()}
    train(mllm, "a", items)
    changed = {n for n, v in mllm.model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed and all(".a." in name for name in changed)


def test_adapters_are_added_to_the_seven_projections_of_the_language_model(mllm):
    mllm.adapters.add("a", LoraSettings(rank=2))
    names = [n for n, _ in mllm.model.named_modules() if n.endswith("lora_A.a")]
    assert len(names) == 7 * mllm.num_layers
    assert not any("vis" in name for name in names)
    assert len(mllm.adapters.parameters("a")) == 2 * 7 * mllm.num_layers


def test_adapters_are_saved_and_loaded(mllm, folder, items, tmp_path):
    mllm.adapters.add("a", LoraSettings(rank=4))
    train(mllm, "a", items)
    mllm.adapters.save("a", tmp_path / "adapter")
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None
    with mllm.adapters.use("a"):
        expected = last(mllm, items)
    fresh = MLLM.load(folder, device="cpu")
    base = last(fresh, items)
    fresh.adapters.load("one", tmp_path / "adapter")
    fresh.adapters.load("two", tmp_path / "adapter")
    np.testing.assert_array_equal(last(fresh, items), base)
    for name in ("one", "two"):
        with fresh.adapters.use(name):
            np.testing.assert_allclose(last(fresh, items), expected, atol=1e-6)
    assert train(fresh, "two", items)[0] != 0.0  # a loaded adapter can be trained further


def test_a_damaged_adapter_is_rejected(mllm, tmp_path):
    mllm.adapters.add("a", LoraSettings(rank=2))
    mllm.adapters.save("a", tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(ModelError, match="is damaged"):
        mllm.adapters.load("b", tmp_path / "adapter")
    assert mllm.adapters.names == ["a"]


def test_an_adapter_of_another_model_is_rejected(mllm, items, tmp_path):
    mllm.adapters.add("a", LoraSettings(rank=2))
    mllm.adapters.save("a", tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    base = last(mllm, items)
    for alter in (lambda t: t[:, :-1], lambda t: None):
        state = {
            k: alter(t) if "layers.0.mlp.up" in k else t for k, t in load_file(weights).items()
        }
        save_file({k: t.contiguous() for k, t in state.items() if t is not None}, weights)
        with pytest.raises(ModelError, match="does not fit this model"):
            mllm.adapters.load("b", tmp_path / "adapter")
        assert mllm.adapters.names == ["a"]
    np.testing.assert_array_equal(last(mllm, items), base)


def test_the_base_model_is_saved_without_adapters(mllm, items, tmp_path):
    base = last(mllm, items)
    mllm.adapters.add("a", LoraSettings(rank=4))
    train(mllm, "a", items)
    mllm.adapters.set("a")
    mllm.save(tmp_path / "base")
    np.testing.assert_array_equal(last(MLLM.load(tmp_path / "base", device="cpu"), items), base)


def test_dropout_is_not_applied_to_features(mllm, items):
    mllm.adapters.add("a", LoraSettings(rank=4, dropout=0.5))
    train(mllm, "a", items)
    mllm.adapters.set("a")
    mllm.model.train()
    np.testing.assert_array_equal(last(mllm, items), last(mllm, items))
    assert mllm.model.training


def test_wrong_names_and_folders_are_rejected(mllm, tmp_path):
    with pytest.raises(ModelError, match="no adapter 'a'; added or loaded so far: none"):
        mllm.adapters.set("a")
    with pytest.raises(ModelError, match="is missing"):
        mllm.adapters.load("a", tmp_path)
    with pytest.raises(ModelError, match="to train"):
        mllm.adapters.parameters("a")
    with pytest.raises(ModelError, match="to save"):
        mllm.adapters.save("a", tmp_path / "x")
    with pytest.raises(ModelError, match="fits no layer"):
        mllm.adapters.add("a", LoraSettings(targets="nothing"))
    mllm.adapters.add("a")
    with pytest.raises(ModelError, match="already an adapter 'a'"):
        mllm.adapters.add("a")
