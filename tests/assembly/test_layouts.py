"""A language model and a vision tower in one checkpoint."""

import pytest
import torch
from mllm_models import TEXT_ONLY, picture

from tpad.assembly.layouts import CAPPED, LAYOUTS, write_untrained
from tpad.assembly.tower import load_tower
from tpad.errors import ModelError
from tpad.mllm import MLLM, ItemInput, Turn
from tpad.mllm.collator import collate
from tpad.mllm.features import encode_items
from tpad.training.base import Base

FAMILIES = [family for family in TEXT_ONLY if family not in CAPPED]


@pytest.fixture(scope="module")
def joined(model_folder, tmp_path_factory):
    """(Family, tower) -> the model, untrained."""
    made: dict[tuple[str, str], MLLM] = {}

    def join(family: str, name: str) -> MLLM:
        if (family, name) not in made:
            folder = tmp_path_factory.mktemp("joined")
            tower = load_tower(Base.find(str(model_folder(name))))
            llm = MLLM.load(model_folder(family), device="cpu")
            write_untrained(llm, tower, folder, seed=0)
            made[family, name] = MLLM.load(folder, device="cpu")
        return made[family, name]

    return join


@pytest.mark.parametrize("name", ["clip", "idefics3"])
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_read_as_by_the_language_model_alone(model_folder, joined, family, name):
    llm, mllm = MLLM.load(model_folder(family), device="cpu"), joined(family, name)
    chats = [
        [Turn(ItemInput(None, "red case"), "Name it.", "a case")],
        [Turn(ItemInput(None, "x"))],
    ]
    logits = []
    for model in (llm, mllm):
        batch = collate(model, chats)
        with model.inference():
            logits.append(model.forward(batch).logits[batch.attention_mask.bool()])
    assert torch.equal(collate(llm, chats).input_ids, collate(mllm, chats).input_ids)
    assert logits[0].shape[1] < logits[1].shape[1] == len(mllm.tokenizer)
    torch.testing.assert_close(logits[1][:, : llm.vocab_size], logits[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["clip", "siglip", "siglip_vision", "llava", "idefics3", "smolvlm"]
)
def test_pictures_are_read(joined, name):
    mllm = joined("llama", name)
    assert mllm.sees and mllm.family in LAYOUTS
    items = [ItemInput(picture(n), "a case") for n in (0, 1)] + [ItemInput(None, "a case")]
    features = encode_items(mllm, items, layers=[2])
    assert features.has_image.tolist() == [True, True, False]
    own, other, none = features.last[2]
    assert abs(own - other).max() > 1e-4 and abs(own - none).max() > 1e-4


def test_patches_are_merged_into_few_tokens(joined):
    batch = collate(joined("llama", "idefics3"), [[Turn(ItemInput(picture(0)))]])
    assert batch.image_mask.sum() == 4  # of 16 patches
    batch = collate(joined("llama", "clip"), [[Turn(ItemInput(picture(0)))]])
    assert batch.image_mask.sum() == 16


def test_new_tokens_have_the_mean_embedding(model_folder, joined):
    mllm = joined("llama", "idefics3")
    known = MLLM.load(model_folder("llama"), device="cpu").model.get_input_embeddings().weight
    rows = mllm.tokenizer.convert_tokens_to_ids(list(LAYOUTS["idefics3"].tokens))
    assert min(rows) >= len(known)
    weights = mllm.model.get_input_embeddings().weight[rows]
    torch.testing.assert_close(weights, known.mean(0).expand_as(weights), atol=1e-3, rtol=1e-2)


def test_new_tokens_take_free_places_of_a_padded_vocabulary(model_folder, tmp_path):
    llm = MLLM.load(model_folder("qwen2"), device="cpu")
    llm.model.resize_token_embeddings(llm.vocab_size + 16, mean_resizing=False)
    llm.model.save_pretrained(tmp_path / "padded")
    llm.tokenizer.save_pretrained(tmp_path / "padded")
    padded = MLLM.load(tmp_path / "padded", device="cpu")
    free = len(padded.tokenizer)  # the first free place
    write_untrained(padded, load_tower(Base.find(str(model_folder("clip")))), tmp_path / "out", 0)
    mllm = MLLM.load(tmp_path / "out", device="cpu")
    assert mllm.vocab_size == padded.vocab_size == llm.vocab_size + 16
    assert mllm.image_token_id == free < padded.vocab_size
    weights = mllm.model.get_input_embeddings().weight
    torch.testing.assert_close(weights[free], weights[:free].mean(0), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("family", CAPPED)
def test_a_language_model_with_capped_scores_is_refused(model_folder, tmp_path, family):
    tower = load_tower(Base.find(str(model_folder("clip"))))
    llm = MLLM.load(model_folder(family), device="cpu")
    with pytest.raises(ModelError, match="limit their scores"):
        write_untrained(llm, tower, tmp_path, seed=0)
