"""`python -m tpad assemble`."""

import json

import pytest
import torch
from gguf_models import write_gguf
from mllm_models import make_text, picture, save
from tiny_base import make_tiny_base

from tpad.__main__ import main


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Option -> what is given for it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    rows = ["item_id,title,image"]
    for n in range(24):
        picture(n).save(folder / f"{n}.png")
        rows.append(f"{n},Item {n},{n}.png")
    (folder / "items.csv").write_text("\n".join([*rows, "x,No picture,"]), "utf-8")
    return {
        "--items": str(folder / "items.csv"),
        "--llm": str(save(make_text("qwen2"), folder / "llm")),
        "--vision": str(make_tiny_base(folder / "vision")),
    }


def run(given, out, *more):
    words = [word for option in given.items() for word in option]
    return main(["assemble", *words, "--out", str(out), "--steps", "2", "--batch", "4", *more])


def test_it_prints_and_stores_what_it_measured(files, tmp_path, capsys):
    out = tmp_path / "base"
    assert run(files, out, "--heldout", "0.2", "--device", "cpu") == 0
    printed = capsys.readouterr().out
    record = json.loads((out / "assembly.json").read_text("utf-8"))
    assert record["heldout_items"] == 5 and record["steps"] == 2
    nats = record["heldout_captions"]["nats_per_token"]
    assert f"| without a picture | {nats['without_a_picture']:.4f} |" in printed
    assert "item without picture or text: the item is skipped" in printed
    assert f"--mllm {out}" in printed


def test_a_gguf_file_is_a_language_model(files, tmp_path):
    llm = str(write_gguf(tmp_path / "llm.gguf"))
    assert run({**files, "--llm": llm}, tmp_path / "base") == 0
    assert json.loads((tmp_path / "base" / "config.json").read_text())["model_type"] == "idefics3"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--items", "nowhere.csv", "nowhere.csv"),
        ("--llm", "nowhere", "There is no model folder nowhere"),
        ("--vision", "nowhere", "There is no model folder nowhere"),
        ("--vision", "--llm", "has no vision tower"),
        ("--llm", "--vision", "sees pictures already"),
    ],
)
def test_bad_input_is_one_sentence(files, tmp_path, capsys, option, value, message):
    assert run({**files, option: files.get(value, value)}, tmp_path / "base") == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and message in said[0]
    assert not (tmp_path / "base").exists()
