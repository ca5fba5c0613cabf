"""The number of image tokens follows from the model, not from the processor's files."""

import json
import shutil

import pytest
import torch
from mllm_models import MAKERS, TEXT, make_llava, make_tokenizer, picture, save, seeing
from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
)

from tpad.errors import ModelError
from tpad.mllm import MLLM, ItemInput, ModelSettings, encode_images, encode_items

TOWER = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TOWERS = {
    "clip": (CLIPVisionConfig, 1),
    "siglip": (SiglipVisionConfig, 0),  # has no class token
    "dinov2": (Dinov2Config, 1),
}


def change(file, left_out=(), **settings):
    content = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({k: v for k, v in content.items() if k not in left_out}))


def llava(tower: str, strategy: str, folder):
    torch.manual_seed(0)
    _, processor = make_llava()
    tokenizer = make_tokenizer(("<image>",), "<s>", "</s>")
    config = LlavaConfig(
        vision_config=TOWERS[tower][0](**TOWER),
        text_config={
            "model_type": "llama",
            **TEXT,
            "vocab_size": len(tokenizer),
            "pad_token_id": 0,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy=strategy,
    )
    return save((LlavaForConditionalGeneration(config), processor), folder)


@pytest.mark.parametrize("strategy", ["default", "full"])
@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("file", ["incomplete", "wrong"])
def test_llava_follows_its_tower_and_strategy(tower, strategy, file, tmp_path):
    folder = llava(tower, strategy, tmp_path)
    if file == "incomplete":
        left_out = ("patch_size", "num_additional_image_tokens", "vision_feature_select_strategy")
        change(folder / "processor_config.json", left_out)
    else:
        change(
            folder / "processor_config.json",
            patch_size=4,
            num_additional_image_tokens=7,
            vision_feature_select_strategy="default" if strategy == "full" else "full",
        )
    mllm = MLLM.load(folder, device="cpu")
    expected = 4 * 4 + TOWERS[tower][1] - (strategy == "default")
    shown = [ItemInput(picture(0, (40, 24)), "red"), ItemInput(picture(1), "blue")]
    assert encode_images(mllm, [item.image for item in shown]).counts.tolist() == [expected] * 2
    assert encode_items(mllm, shown, layers=[3]).has_image.all()
    mllm.save(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "processor_config.json").read_text())
    assert saved["patch_size"] == 8 and saved["vision_feature_select_strategy"] == strategy
    assert saved["num_additional_image_tokens"] == TOWERS[tower][1]


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
@pytest.mark.parametrize("tiles", [False, True])
def test_tiles_follow_tower_and_connector(family, tiles, tmp_path):
    folder = save(MAKERS[family](), tmp_path / family)
    change(folder / "processor_config.json", ("image_seq_len",))
    mllm = MLLM.load(folder, ModelSettings(split_images=tiles), device="cpu")
    assert mllm.processor.image_seq_len == 4
    shown = picture(0, (64, 64))
    assert encode_images(mllm, [shown]).counts.tolist() == [4 * (5 if tiles else 1)]
    assert encode_items(mllm, [ItemInput(shown, "red")], layers=[3]).has_image.all()


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
def test_a_default_tile_size_that_does_not_fit_the_tower_is_corrected(family, tmp_path):
    model, processor = MAKERS[family]()
    processor.image_processor.max_image_size = {"longest_edge": 364}
    folder = save((model, processor), tmp_path / family)
    mllm = MLLM.load(folder, device="cpu")
    assert encode_images(mllm, [picture(0)]).counts.tolist() == [4]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_qwen_follows_patches_and_merging_of_the_tower(family, tmp_path):
    model, processor = MAKERS[family]()
    folder = save((model, processor), tmp_path / family)
    expected = encode_images(MLLM.load(folder, device="cpu"), [picture(0)]).counts.tolist()
    images = processor.image_processor
    images.patch_size, images.merge_size, images.temporal_patch_size = 14, 4, 1
    processor.save_pretrained(folder)
    mllm = MLLM.load(folder, device="cpu")
    assert encode_images(mllm, [picture(0)]).counts.tolist() == expected


@seeing
def test_a_different_image_token_is_rejected(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    name = "image_token_id" if "image_token_id" in config else "image_token_index"
    change(copy / "config.json", **{name: config[name] - 1})
    with pytest.raises(ModelError, match=r"writes pictures as token \d+ .* reads token \d+"):
        MLLM.load(copy, device="cpu")


@seeing
def test_a_wrong_number_of_image_tokens_is_rejected(folder, monkeypatch):
    cls = type(MLLM.load(folder, device="cpu").processor)
    real = cls.replace_image_token
    monkeypatch.setattr(cls, "replace_image_token", lambda *a, **k: real(*a, **k) * 30)
    with pytest.raises(ModelError, match=r"makes \d+ tokens of a picture, but .* writes \d+"):
        MLLM.load(folder, device="cpu")


def test_images_that_the_tower_cannot_read_are_rejected(tmp_path):
    folder = llava("clip", "default", tmp_path)
    change(folder / "config.json", vision_feature_layer=[99])
    with pytest.raises(ModelError, match=r"cannot be loaded|cannot read pictures as its processor"):
        MLLM.load(folder, device="cpu")
