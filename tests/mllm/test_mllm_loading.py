"""Faults of a checkpoint are reported in one sentence; settings reach the processor."""

import json

import numpy as np
import pytest
import torch
from mllm_models import make_qwen, picture
from safetensors.torch import load_file, save_file

from tpad.errors import ConfigError, ModelError
from tpad.mllm import MLLM, ItemInput, ModelSettings, encode_images, encode_items
from tpad.mllm.processors import load_processor


def test_a_missing_folder(tmp_path):
    with pytest.raises(ModelError, match=r"no model folder .*nowhere"):
        MLLM.load(tmp_path / "nowhere")


def test_a_hub_id_that_is_not_in_the_cache():
    with pytest.raises(ModelError, match=r"some-one/no-such-model cannot be loaded; check"):
        MLLM.load("some-one/no-such-model", revision="main", local_files_only=True)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        MLLM.load(tmp_path)


def test_an_unsupported_family(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "paligemma"}))
    with pytest.raises(ModelError, match="'paligemma', which is not supported; use one of idefics"):
        MLLM.load(copy)


def test_damaged_weights(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        MLLM.load(copy)


def test_missing_weights(copy):
    state = load_file(copy / "model.safetensors")
    state.pop("model.connector.modality_projection.proj.weight")
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights \(model.connector"):
        MLLM.load(copy)


def test_pickled_weights_are_not_loaded(copy):
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        MLLM.load(copy)


def test_no_chat_template(copy):
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        MLLM.load(copy)


def test_unknown_settings(idefics3):
    with pytest.raises(ConfigError, match=r"dtype must be .*, not 'float8'"):
        MLLM.load(idefics3, ModelSettings(dtype="float8"))
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        MLLM.load(idefics3, device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_not_available(idefics3):
    with pytest.raises(ConfigError, match="finds no CUDA"):
        MLLM.load(idefics3, device="cuda")


def test_the_saved_processor_names_the_public_class(tmp_path):
    for family in ("qwen2_5_vl", "qwen3_vl"):
        _, processor = make_qwen(family)
        processor.save_pretrained(tmp_path / family)
        named = json.loads((tmp_path / family / "processor_config.json").read_text())
        assert named["processor_class"] in ("Qwen2_5_VLProcessor", "Qwen3VLProcessor")
        again = load_processor(tmp_path / family, family)
        assert again.image_processor.merge_size == 2


def test_split_images_setting(idefics3):
    whole = encode_images(MLLM.load(idefics3, device="cpu"), [picture(0, (64, 64))])
    tiled = MLLM.load(idefics3, ModelSettings(split_images=True), device="cpu")
    cache = encode_images(tiled, [picture(0, (64, 64)), picture(1, (16, 16))])
    assert whole.counts.tolist() == [4]
    assert cache.counts[0] == 5 * 4  # two by two tiles, and the whole image
    assert "<row_2_col_2>" in cache.expansions[0]
    items = [ItemInput(0, "red"), ItemInput(1, "blue")]
    pictures = [ItemInput(picture(0, (64, 64)), "red"), ItemInput(picture(1, (16, 16)), "blue")]
    cached = encode_items(tiled, items, layers=[3], images=cache)
    np.testing.assert_allclose(
        cached.image[3], encode_items(tiled, pictures, layers=[3]).image[3], atol=2e-5
    )


def test_max_pixels_setting(tmp_path):
    torch.manual_seed(0)
    model, processor = make_qwen("qwen3_vl")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    counts = [
        encode_images(
            MLLM.load(tmp_path, ModelSettings(max_pixels=pixels), device="cpu"),
            [picture(0, (128, 128))],
        ).counts.item()
        for pixels in (64 * 64, 32 * 32)
    ]
    assert counts == [16, 4]


def test_bfloat16_is_close_to_float32(idefics3):
    items = [ItemInput(picture(0), "red case")]
    exact = MLLM.load(idefics3, ModelSettings(dtype="float32"), device="cpu")
    rough = MLLM.load(idefics3, ModelSettings(dtype="bfloat16"), device="cpu")
    assert rough.model.dtype == torch.float32  # of the weights
    one = encode_items(exact, items, layers=[3]).last[3]
    other = encode_items(rough, items, layers=[3]).last[3]
    assert other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 0.1 * np.abs(one).max()


def test_auto_uses_float32_for_features_and_the_faster_dtype_for_training(idefics3):
    mllm = MLLM.load(idefics3, ModelSettings(dtype="auto"), device="cpu")
    assert mllm.dtype == torch.float32
    assert mllm.fast_dtype in (torch.float32, torch.bfloat16)
    with mllm.autocast():
        assert torch.is_autocast_enabled("cpu") == (mllm.fast_dtype == torch.bfloat16)
