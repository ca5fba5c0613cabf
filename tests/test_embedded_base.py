"""The embedded model that a training takes where none is named: `python -m tpad pretrain` made it."""

import json
from dataclasses import asdict

from tpad.assets import EMBEDDED_BASE
from tpad.embedded.measure import measure
from tpad.embedded.pretraining import PretrainingConfig
from tpad.mllm import MLLM


def test_its_record_is_that_of_the_present_pretraining():
    record = json.loads((EMBEDDED_BASE / "pretraining.json").read_text("utf-8"))
    assert record["config"] == asdict(PretrainingConfig())
    assert record["right_on_unseen_combinations"]["visible"] >= 0.95
    assert sum(path.stat().st_size for path in EMBEDDED_BASE.iterdir()) < 25e6


def test_it_names_what_it_sees_on_pictures_of_another_seed():
    mllm = MLLM.load(EMBEDDED_BASE, device="cpu")
    facts = measure(mllm.model, mllm.tokenizer, seed=5, count=24, workers=1)
    assert facts["visible"] >= 0.95 and facts["type"] >= 0.95
