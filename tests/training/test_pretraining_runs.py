"""Runs of pretraining: what they write, what a kill leaves, and what they refuse."""

import json
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image

from tpad.embedded import data as pretraining_data, pretraining
from tpad.embedded.pretraining import PretrainingConfig, pretrain
from tpad.errors import ConfigError, DataError
from tpad.mllm import MLLM, ItemInput, generate
from tpad.mllm.instructions import DESCRIBE
from tpad.training.workspace import Stage


def logged(work) -> list[dict]:
    return [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def cheap(monkeypatch):
    """Few texts for the tokenizer, few products to measure on."""
    texts, measure = pretraining.texts, pretraining.measure
    monkeypatch.setattr(pretraining, "texts", lambda seed: texts(seed, 500))
    monkeypatch.setattr(
        pretraining, "measure", lambda *args, **kwargs: measure(*args, **kwargs, count=2)
    )
    return PretrainingConfig(
        pictures=16, see_steps=2, see_batch=4, describe_steps=2, describe_batch=3
    )


def test_two_steps_leave_a_small_checkpoint_that_loads(cheap, tmp_path):
    out = tmp_path / "base"
    facts = pretrain(cheap, out, workers=1, quiet=True)
    assert set(facts) == {*pretraining_data.FACTS, "spec", "brand", "visible"}
    assert all(0 <= share <= 1 for share in facts.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "base.work"]
    assert sum(path.stat().st_size for path in out.iterdir()) < 10e6
    record = json.loads((out / "pretraining.json").read_text())
    assert record["right_on_unseen_combinations"] == facts
    assert record["config"]["see_steps"] == 2
    log = logged(tmp_path / "base.work")
    assert [line["text"].split(":")[0] for line in log if "step" in line["text"]] == [
        "step 2 of 2"
    ] * 2
    losses = [line["loss per token"] for line in log if "loss per token" in line]
    assert losses and all(math.isfinite(loss) for loss in losses)
    mllm = MLLM.load(out, device="cpu")
    written = generate(
        mllm, [ItemInput(Image.new("RGB", (96, 96)), "x")], instruction=DESCRIBE, max_new_tokens=3
    )
    assert isinstance(written[0], str)


def skip_training(monkeypatch) -> None:
    for name in ("_see", "_describe", "_load_weights"):
        monkeypatch.setattr(pretraining, name, lambda *_: None)


class Killed(Exception):
    pass


@pytest.mark.parametrize("phase", ["see", pytest.param("describe", marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_to_the_same_weights(cheap, tmp_path, monkeypatch, phase):
    """Killed before the second of three saves of a phase; what was done is not done again."""
    monkeypatch.setattr(pretraining, "EPOCH", 2)
    monkeypatch.setattr(pretraining, "measure", lambda *_, **__: {"visible": 0.5})
    config = replace(cheap, see_steps=5, describe_steps=5)
    pretrain(config, tmp_path / "whole", workers=1, quiet=True)

    real, saved = Stage.save_epoch, []

    def killed(self, epoch, *rest):
        if self.title.endswith(phase) and epoch == 2:
            raise Killed
        real(self, epoch, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Stage, "save_epoch", killed)
        pretrain(config, tmp_path / "killed", workers=1, quiet=True)
    assert not (tmp_path / "killed").exists()

    def counted(self, epoch, *rest):
        saved.append((self.title, epoch))
        real(self, epoch, *rest)

    monkeypatch.setattr(Stage, "save_epoch", counted)
    pretrain(config, tmp_path / "killed", workers=1, quiet=True)
    assert saved[:2] == [(phase, n) for n in (2, 3)]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_what_the_tower_sees_is_read_once_and_rests(cheap, tmp_path, monkeypatch):
    """The second phase changes connector and language model, and leaves the tower as it is."""
    kept = {}
    real = pretraining._save_weights

    def keep(module, stage):
        kept[stage.title] = {k: v.detach().clone() for k, v in module.named_parameters()}
        real(module, stage)

    monkeypatch.setattr(pretraining, "_save_weights", keep)
    monkeypatch.setattr(pretraining, "measure", lambda *_, **__: {})
    pretrain(cheap, tmp_path / "base", workers=1, quiet=True)
    seen, told = kept["see"], kept["describe"]
    for name, tensor in seen.items():
        part, rest = name.split(".", 1)
        later = told["model." + ("vision_model." if part == "tower" else "connector.") + rest]
        assert torch.equal(tensor, later) == (part == "tower"), name


def test_an_earlier_checkpoint_is_replaced_and_nothing_else(cheap, tmp_path, monkeypatch):
    skip_training(monkeypatch)
    monkeypatch.setattr(pretraining, "draw_all", lambda *_: torch.zeros(16, 3, 96, 96))
    monkeypatch.setattr(pretraining, "measure", lambda *_, **__: {"visible": 0.5})
    earlier, foreign = tmp_path / "earlier", tmp_path / "thesis"
    for folder, name in ((earlier, "pretraining.json"), (foreign, "chapter1.txt")):
        folder.mkdir()
        (folder / name).write_text("old")
    pretrain(cheap, earlier, quiet=True)
    assert json.loads((earlier / "pretraining.json").read_text())["config"]["pictures"] == 16
    with pytest.raises(DataError, match="not a checkpoint of this command"):
        pretrain(cheap, foreign, quiet=True)
    assert (foreign / "chapter1.txt").read_text() == "old"


def test_pretraining_never_shows_what_a_shop_owns(cheap, tmp_path, monkeypatch):
    drawn = []
    skip_training(monkeypatch)
    monkeypatch.setattr(pretraining, "measure", lambda *_, **__: {})
    monkeypatch.setattr(
        pretraining,
        "draw_all",
        lambda some, *_: drawn.extend(some) or torch.zeros(16, 3, 96, 96),
    )
    pretrain(cheap, tmp_path / "base", quiet=True)
    assert drawn and not any(look.is_reserved for look in drawn)


@pytest.mark.parametrize("settings", [{"see_steps": 0}, {"pictures": 0}, {"seed": -1}])
def test_a_budget_that_cannot_work_is_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        PretrainingConfig(**settings)
