"""Embedding sets from small encoders of each kind, created from a config, saved and loaded."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_shops import dataset_of
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from eval.models.encoders import encode_items
from tpad import ModelError
from tpad.assets import DEMO_BUNDLE

WORDS = ["[PAD]", "[UNK]", "red", "green", "case", "phone", "soup", "jam"]
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 12,
    "pad_token_id": 0,
    "eos_token_id": 7,
    "bos_token_id": 6,
}
SIGHT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def tokenizer() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=12
    )


def clip(folder):
    torch.manual_seed(0)
    size = {"height": 16, "width": 16}
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=SIGHT, projection_dim=6)).save_pretrained(
        folder
    )
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def siglip(folder):
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=TEXT, vision_config=SIGHT)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def vit(folder):
    torch.manual_seed(0)
    ViTModel(ViTConfig(**SIGHT)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)


def sentences(folder, first: bool = False):
    torch.manual_seed(0)
    BertModel(BertConfig(**TEXT)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": first}))


@pytest.fixture
def shop(tmp_path):
    """Four items, two of them trained on: the third has no picture, the last no text."""
    for n, colour in enumerate(["red", "green", "blue"]):
        Image.new("RGB", (20, 30), colour).save(tmp_path / f"{n}.png")
    made = dataset_of(
        [[0, 1]],
        [],
        [],
        4,
        title=["red case", "green phone phone case", "soup", ""],
        image=["0.png", "1.png", "", "2.png"],
    )
    return replace(made, image_root=tmp_path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "encoder"
    path.mkdir()
    return path


@pytest.mark.parametrize(("make", "width"), [(clip, 12), (siglip, 32), (vit, 16), (sentences, 16)])
def test_every_kind_gives_one_row_per_item_for_any_batch_size(shop, folder, make, width):
    make(folder)
    together = encode_items(str(folder), shop)
    assert together.shape == (4, width) and together.dtype == np.float32
    assert np.allclose(together, encode_items(str(folder), shop, batch_size=1), atol=1e-5)
    assert len(np.unique(together.round(4), axis=0)) == 4  # no two items read alike


def test_vectors_of_pictures_and_texts_are_concatenated_with_length_one(shop, folder):
    clip(folder)
    table = encode_items(str(folder), shop)
    assert np.allclose(np.linalg.norm(table[:2, :6], axis=1), 1.0, atol=1e-5)
    assert np.allclose(np.linalg.norm(table[:2, 6:], axis=1), 1.0, atol=1e-5)
    warm = np.flatnonzero(~shop.cold)  # cold items have no say in what the others get
    with_picture, with_text = warm[warm != 2], warm[warm != 3]
    assert len(warm) < 4
    assert np.allclose(table[2, :6], table[with_picture, :6].mean(0), atol=1e-5)  # no picture
    assert np.allclose(table[3, 6:], table[with_text, 6:].mean(0), atol=1e-5)  # no text


def test_a_text_encoder_pools_as_its_folder_says(shop, folder, tmp_path):
    sentences(folder)
    other = tmp_path / "first"
    other.mkdir()
    sentences(other, first=True)
    mean, first = encode_items(str(folder), shop), encode_items(str(other), shop)
    model, words = BertModel.from_pretrained(folder).eval(), tokenizer()
    with torch.no_grad():
        states = model(**words(["red case"], return_tensors="pt")).last_hidden_state[0]
    assert np.allclose(mean[0], (states.mean(0) / states.mean(0).norm()).numpy(), atol=1e-5)
    assert np.allclose(first[0], (states[0] / states[0].norm()).numpy(), atol=1e-5)


def test_a_checkpoint_that_is_not_an_encoder_is_an_error(shop, folder):
    with pytest.raises(ModelError, match="cannot be loaded as an encoder"):
        encode_items(str(folder), shop)
    BertModel(BertConfig(**TEXT)).save_pretrained(folder)
    with pytest.raises(ModelError, match="neither an image processor nor a tokenizer"):
        encode_items(str(folder), shop)


def test_a_model_that_embeds_nothing_by_itself_is_an_error(shop):
    base = DEMO_BUNDLE / "base"  # a multimodal model that writes texts
    with pytest.raises(ModelError, match=r"cannot encode pictures \(.*give a model that embeds"):
        encode_items(str(base), shop)
