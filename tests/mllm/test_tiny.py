"""The embedded model: its tokenizer, its processor, and loading it as an `MLLM`."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from safetensors.torch import load_file
from tiny_base import make_tiny_base, tokenizer_texts

from tpad.embedded import tiny
from tpad.mllm import MLLM, ItemInput, encode_images, encode_items


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.make_tokenizer(tokenizer_texts(200), 600)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@settings(max_examples=150)
@given(st.text(max_size=40))
def test_tokens_decode_to_the_text(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    "text",
    [
        "Чехол для телефона",
        "手机壳 红色",
        "حافظة هاتف",
        "फ़ोन कवर",
        "👟🏽 zapatilla nº 42",
        "a  b\n\tc",
        "Ñ e\u0301\u0308",
    ],
)
def test_every_script_is_supported(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    special = {tokenizer.convert_tokens_to_ids(token) for token in tiny.SPECIAL_TOKENS}
    assert not special & set(ids)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_digits_are_separate_tokens(tokenizer):
    tokens = tokenizer.tokenize("Nova 57")
    assert tokens[-2:] == ["5", "7"]


def test_common_words_have_few_tokens(tokenizer):
    text = "plain phone case with no emblem, series nova 5"
    assert len(tokenizer.tokenize(text)) < len(text) / 2.5


def test_special_tokens_match_the_config(base):
    mllm = MLLM.load(base, device="cpu")
    ids = [mllm.tokenizer.convert_tokens_to_ids(token) for token in tiny.SPECIAL_TOKENS]
    assert ids == list(range(len(tiny.SPECIAL_TOKENS)))
    config = mllm.model.config
    assert config.image_token_id == ids[tiny.SPECIAL_TOKENS.index(tiny.IMAGE)]
    assert config.text_config.eos_token_id == ids[tiny.SPECIAL_TOKENS.index(tiny.END)]
    assert mllm.vocab_size == len(mllm.tokenizer)


def test_a_checkpoint_is_small_and_loads_as_an_mllm(base):
    size = sum(path.stat().st_size for path in base.iterdir())
    assert size < 10e6  # 0.5 MB more with the full vocabulary
    mllm = MLLM.load(base, device="cpu")
    assert (mllm.num_layers, mllm.hidden_size) == (tiny.LAYERS, tiny.WIDTH)
    assert 3e6 < sum(p.numel() for p in mllm.model.parameters()) < 6e6
    picture = Image.new("RGB", (200, 120), "teal")
    cache = encode_images(mllm, [picture, None])
    assert cache.counts.tolist() == [tiny.IMAGE_TOKENS, 0]
    found = encode_items(mllm, [ItemInput(picture, "Kipo case")], layers=[0, tiny.LAYERS])
    assert torch.isfinite(torch.from_numpy(found.last[tiny.LAYERS])).all()


def test_the_chat_template(base):
    tokenizer = MLLM.load(base, device="cpu").processor
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "A"}]},
        {"role": "assistant", "content": "B"},
        {"role": "user", "content": "C"},
    ]
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True) == (
        "<|user|><image>A<end_of_utterance><|assistant|>B<end_of_utterance>"
        "<|user|>C<end_of_utterance><|assistant|>"
    )


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_tied_weights_are_saved_once(base, tmp_path, dtype):
    mllm = MLLM.load(base, device="cpu")
    assert mllm.model.lm_head.weight is mllm.model.get_input_embeddings().weight
    mllm.adapters.add("a")
    mllm.save(tmp_path / "saved", dtype=dtype)
    file = tmp_path / "saved" / "model.safetensors"
    shape = mllm.model.lm_head.weight.shape
    assert [tensor.shape for tensor in load_file(file).values()].count(shape) == 1
    assert file.stat().st_mode & 0o777 == 0o644
    again = MLLM.load(tmp_path / "saved", device="cpu")
    assert again.model.lm_head.weight is again.model.get_input_embeddings().weight
    items = [ItemInput(None, "Nova 7 phone"), ItemInput(Image.new("RGB", (64, 64), "red"), "case")]
    one, other = (
        encode_items(m, items, instruction="?", layers=[2]).last[2] for m in (mllm, again)
    )
    assert (one == other).all()
