"""Training a connector and writing a checkpoint."""

import json
import shutil

import numpy as np
import pytest
import torch
from fake_bundle import make_fake_dataset
from mllm_models import picture
from safetensors.torch import load_file

from tpad import Bundle
from tpad.__main__ import main
from tpad.assembly import assemble as assembling, connecting
from tpad.assembly.assemble import RECORD, assemble
from tpad.assembly.config import AssemblyConfig
from tpad.assembly.layouts import LAYOUTS
from tpad.assembly.measure import NONE, OTHER, OWN
from tpad.errors import ConfigError, DataError, ModelError
from tpad.mllm import MLLM, ItemInput
from tpad.mllm.features import encode_items
from tpad.mllm.settings import ModelSettings
from tpad.training.base import Base

PLAIN = ModelSettings(dtype="float32")  # "auto" measures the machine, so two runs could differ


def run(model_folder, shop, out, name="idefics3", llm="llama", **settings):
    parts = [Base.find(str(model_folder(part))) for part in (llm, name)]
    config = AssemblyConfig(**{"batch": 8, "steps": 8, **settings})
    return assemble(shop, *parts, out, config, PLAIN, device="cpu", quiet=True)


@pytest.fixture(scope="module", params=["clip", "idefics3"])
def assembled(request, model_folder, shop, tmp_path_factory):
    """Folder and record of a checkpoint of each layout."""
    out = tmp_path_factory.mktemp("assembled") / "base"
    return out, run(model_folder, shop, out, request.param, steps=120, learning_rate=0.01)


def test_the_checkpoint_loads_as_a_base_model_and_reads_a_picture(assembled):
    out, _ = assembled
    assert Base.find(str(out)).may_see
    mllm = MLLM.load(out, device="cpu")
    items = [ItemInput(picture(n), "a case") for n in (0, 1)]
    features = encode_items(mllm, items, layers=[2])
    assert features.has_image.all()
    assert abs(features.last[2][0] - features.last[2][1]).max() > 1e-4


@pytest.mark.slow
def test_train_takes_the_checkpoint_as_its_base_model(assembled, tmp_path):
    make_fake_dataset(tmp_path)
    tables = ["--items", tmp_path / "items.csv", "--interactions", tmp_path / "interactions.csv"]
    words = ["train", *tables, "--preset", "smoke", "--mllm", assembled[0], "--device", "cpu"]
    for setting in ("transfer.max_sessions=8", "knowledge.max_new_tokens=6", "teacher.sessions=8"):
        words += ["--set", setting]
    assert main([*map(str, words), "--out", str(tmp_path / "bundle")]) == 0
    bundle = Bundle.load(tmp_path / "bundle", device="cpu")
    assert "vision_tfidf" in bundle.sets and bundle.info["base"]["sees"]


def test_only_the_connector_is_trained(assembled):
    out, record = assembled
    (start,) = out.parent.glob("base.work/parts-*/untrained")
    before, after = (load_file(folder / "model.safetensors") for folder in (start, out))
    assert before.keys() == after.keys()
    connector = LAYOUTS[record["layout"]].connector.rpartition(".")[2]
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if connector in key} != set()


def test_captions_are_more_likely_with_their_own_pictures(assembled):
    out, record = assembled
    assert json.loads((out / RECORD).read_text("utf-8")) == record
    found = record["heldout_captions"]
    assert found["items"] == record["heldout_items"] == 4 and record["train_items"] == 36
    nats = found["nats_per_token"]
    assert nats[OWN] < nats[NONE] and nats[OWN] < nats[OTHER]
    assert found["gain"][OTHER]["nats_per_token"] == pytest.approx(nats[OTHER] - nats[OWN])
    card = (out / "README.md").read_text("utf-8")
    assert f"| with its picture | {nats[OWN]:.4f} |" in card and str(out.parent) not in card


def test_a_resumed_run_writes_the_same_checkpoint(model_folder, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(connecting, "SAVE_EVERY", 3)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    record = run(model_folder, shop, whole)
    step, taken = connecting._step, []

    def interrupted(*args):
        if len(taken) == 7:
            raise KeyboardInterrupt
        taken.append(step(*args))
        return taken[-1]

    monkeypatch.setattr(connecting, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(model_folder, shop, resumed)
    assert not resumed.exists()
    taken.append(0.0)  # no further interruption
    assert run(model_folder, shop, resumed) == record
    assert len(taken) == 7 + 1 + 2  # the saved 6 steps are not repeated
    for name in ("model.safetensors", RECORD, "tokenizer.json"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_finished_steps_are_not_repeated(model_folder, shop, tmp_path, monkeypatch):
    out = tmp_path / "base"
    record = run(model_folder, shop, out)
    shutil.rmtree(out)
    for name in ("load_tower", "write_untrained"):
        monkeypatch.setattr(assembling, name, None)
    monkeypatch.setattr(connecting, "_step", None)
    assert run(model_folder, shop, out) == record


def test_another_seed_gives_another_connector(model_folder, shop, tmp_path):
    values = []
    for seed in (0, 1):
        run(model_folder, shop, tmp_path / str(seed), seed=seed, steps=1)
        (file,) = tmp_path.glob(f"{seed}.work/connector-*/connector.safetensors")
        values.append(load_file(file)["modality_projection.proj.weight"].numpy())
    assert not np.allclose(*values)


def test_an_epoch_shows_every_item_once():
    rows, config = np.arange(20), AssemblyConfig(batch=8, epochs=2)
    assert config.steps_for(len(rows)) == 6
    epochs = [
        np.concatenate([connecting._batch(rows, step, config) for step in steps])
        for steps in (range(3), range(3, 6))
    ]
    assert [sorted(epoch) for epoch in epochs] == [list(rows)] * 2
    assert epochs[0].tolist() != epochs[1].tolist()


def test_an_existing_folder_is_not_overwritten(model_folder, shop, tmp_path):
    (tmp_path / "base").mkdir()
    with pytest.raises(DataError, match="base exists; remove it, or choose another --out"):
        run(model_folder, shop, tmp_path / "base")


def test_a_model_that_sees_pictures_is_no_language_model(model_folder, shop, tmp_path):
    with pytest.raises(ModelError, match="sees pictures already"):
        run(model_folder, shop, tmp_path / "base", llm="idefics3")
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize(
    "settings", [{"heldout": 0.0}, {"heldout": 1.0}, {"epochs": 0}, {"steps": 0}, {"batch": 0}]
)
def test_invalid_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        AssemblyConfig(**settings)
