"""Language models in GGUF files: read exactly, and refused in one sentence if damaged or hostile."""

import random
import struct
import tempfile
import tracemalloc

import numpy as np
import pytest
import torch

pytest.importorskip("gguf", reason='needs pip install "tpad[gguf]"')

from gguf_models import make_llama, write_gguf
from mllm_models import picture
from safetensors.torch import load_file

from tpad.errors import ConfigError, ModelError, TpadError
from tpad.mllm import MLLM, ItemInput, ModelSettings, Turn, collate, encode_items, generate
from tpad.mllm.gguf_files import check_header

ITEMS = [ItemInput(None, "a red case"), ItemInput(picture(0), "green apple juice, 1 l")]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "packed.gguf")


@pytest.fixture(scope="module")
def loaded(packed):
    return MLLM.load(packed, device="cpu")


def test_the_weights_are_those_of_the_model_in_bfloat16(tmp_path):
    mllm = MLLM.load(write_gguf(tmp_path / "whole.GGUF", packed=False), device="cpu")
    model, tokenizer = make_llama()
    rounded = MLLM(model.bfloat16(), tokenizer, ModelSettings(), device="cpu")
    expected = rounded.model.state_dict()
    for name, value in mllm.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=0, rtol=0)
    chat = [Turn(ITEMS[0], "What comes next?", "red"), Turn(ITEMS[1])]
    one, other = (collate(m, [chat]).input_ids for m in (mllm, rounded))
    assert torch.equal(one, other)
    assert mllm.chat_tokenizer.stop_ids == rounded.chat_tokenizer.stop_ids


def test_a_packed_file_is_close_to_the_model(loaded):
    exact, tokenizer = make_llama()
    exact = MLLM(exact, tokenizer, ModelSettings(), device="cpu")
    one, other = (encode_items(m, ITEMS, layers=[2]).last[2] for m in (loaded, exact))
    assert 0 < np.abs(one - other).max() < 0.3 * np.abs(other).max()
    assert not loaded.sees


def test_a_saved_model_is_a_plain_checkpoint_in_bfloat16_and_the_same(loaded, tmp_path):
    loaded.save(tmp_path / "base", dtype=torch.bfloat16)
    stored = load_file(tmp_path / "base" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert not list((tmp_path / "base").glob("*.gguf"))
    again = MLLM.load(tmp_path / "base", device="cpu")
    found = [encode_items(m, ITEMS, layers=[0, 2]) for m in (loaded, again)]
    for layer in (0, 2):
        np.testing.assert_array_equal(found[0].last[layer], found[1].last[layer])
    written = [generate(m, ITEMS, instruction="?", max_new_tokens=4) for m in (loaded, again)]
    assert written[0] == written[1]
    text = (tmp_path / "base" / "config.json").read_text()
    assert tempfile.gettempdir() not in text and "quantization_config" not in text


def test_no_temporary_files_are_left(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    MLLM.load(packed, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_loaded_in_4_bits(packed):
    pytest.importorskip("bitsandbytes", reason='needs pip install "tpad[quant]"')
    mllm = MLLM.load(packed, ModelSettings(load_in_4bit=True), device="cpu")
    assert sum(p.dtype == torch.uint8 for p in mllm.model.parameters()) == 7 * mllm.num_layers


def test_a_missing_file_or_package(packed, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"no GGUF file .*nothing\.gguf; check the path"):
        MLLM.load(tmp_path / "nothing.gguf")
    with pytest.raises(ModelError, match=r"no GGUF file models/nothing\.gguf"):
        MLLM.load("models/nothing.gguf")  # is no hub id
    monkeypatch.setattr("tpad.mllm.gguf_files.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'package gguf, .*pip install "tpad\[gguf\]"'):
        MLLM.load(packed)


@pytest.mark.parametrize("kept", [0, 3, 10, 30, 1_000, 8_000, 0.5, 0.99])
def test_a_truncated_file_is_refused(packed, tmp_path, kept):
    whole = packed.read_bytes()
    short = tmp_path / "short.gguf"
    short.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(
        ModelError, match=r"short\.gguf is damaged \(it (ends too|does not)"
    ) as error:
        MLLM.load(short, device="cpu")
    assert "\n" not in str(error.value)


def header(n_tensors=0, n_fields=1, rest=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_fields) + rest


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


NAMED = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")


def tensor(dimensions=(4, 4), kind=0, offset=0) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(b"output.weight") + shape + struct.pack("<IQ", kind, offset)


HOSTILE = {
    "many fields": (header(n_fields=1 << 60), "fields or tensors"),
    "many tensors": (header(n_tensors=1 << 60), "fields or tensors"),
    "a long name": (header(rest=text(b"a", 1 << 62)), "ends too early"),
    "a long list": (
        header(rest=text(b"a") + struct.pack("<IIQ", 9, 4, 1 << 60)),
        "values of a list",
    ),
    "a list of lists": (header(rest=text(b"a") + struct.pack("<IIQ", 9, 9, 2)), "of the type 9"),
    "an unknown value": (header(rest=text(b"a") + struct.pack("<I", 99)), "type 99"),
    "another version": (header(version=1), "version 1, but only"),
    "big endian": (header(version=3 << 24), "version"),
    "no architecture": (header(n_fields=0), "names no architecture"),
    "a large tensor": (header(1, 1, NAMED + tensor((1 << 40, 1 << 20))), "ends too early"),
    "many dimensions": (header(1, 1, NAMED + tensor((1,) * 9)), "dimensions"),
    "an unknown tensor": (header(1, 1, NAMED + tensor(kind=999)), "tensor of the type 999"),
    "a tensor elsewhere": (header(1, 1, NAMED + tensor(offset=1 << 50) + bytes(64)), "ends too"),
    "overlapping tensors": (header(9, 1, NAMED + 9 * tensor() + bytes(64)), "ends too early"),
    "a part of a model": (
        header(0, 2, NAMED + text(b"split.count") + struct.pack("<IH", 2, 3)),
        "one of 3 parts; join them",
    ),
    "another architecture": (
        header(0, 1, NAMED.replace(text(b"llama"), text(b"mamba"))),
        "cannot be read|not supported",
    ),
    "no sizes": (header(0, 1, NAMED), "describes .* parameters|cannot be read"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_without_memory(case, tmp_path):
    content, message = HOSTILE[case]
    (tmp_path / "model.gguf").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ModelError, match=message) as error:
        MLLM.load(tmp_path / "model.gguf", device="cpu")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"block_count": 5_000}, "num_hidden_layers to 5,000"),
        ({"embedding_length": 1 << 20}, "describes .* parameters"),
        ({"block_count": 4}, "lacks weights|cannot be read"),
        ({"attention.head_count": 0}, "cannot be read"),
    ],
)
def test_sizes_that_do_not_match_the_weights_are_refused(field, message, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", **field)
    with pytest.raises(ModelError, match=message) as error:
        MLLM.load(path, device="cpu")
    assert "\n" not in str(error.value)


def test_changed_bytes_of_a_header_never_end_in_another_error(packed, tmp_path):
    whole, rng = packed.read_bytes(), random.Random(0)
    end = len(whole) - sum(p.numel() for p in make_llama()[0].parameters()) // 2
    changed = tmp_path / "changed.gguf"
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(end)] = rng.randrange(256)
        changed.write_bytes(content)
        try:
            check_header(changed)
        except TpadError as error:
            assert "\n" not in str(error)
