"""Language models without pictures: their templates, and what they do with pictures."""

import pytest
import torch
from mllm_models import LLAMA3_TEMPLATE, TEXT_ONLY, make_text, picture, save
from test_chat_template import THINKING

from tpad.errors import ConfigError, ModelError
from tpad.mllm import MLLM, ItemInput, ModelSettings, Turn, collate, encode_images, generate
from tpad.mllm.loading import may_see

text_only = pytest.mark.parametrize("folder", TEXT_ONLY, indirect=True)


def with_template(template, folder, family="qwen3"):
    model, tokenizer = make_text(family)
    tokenizer.chat_template = template
    return MLLM.load(save((model, tokenizer), folder), device="cpu")


def rendered(mllm, *turns, open_ended=True):
    renderer = mllm.chat_tokenizer.renderer
    return renderer.render(turns, open_ended, [None] * len(turns)).string


class TestPictures:
    @text_only
    def test_they_are_ignored(self, loaded):
        assert not loaded.sees and loaded.vision_size == 0 and loaded.image_token_id == -1
        chats = [[Turn(ItemInput(image, "red case"), "?")] for image in (picture(0), None)]
        one, other = (collate(loaded, [chat]) for chat in chats)
        assert torch.equal(one.input_ids, other.input_ids) and one.vision is None
        cache = encode_images(loaded, [picture(0), None])
        assert len(cache) == 2 and not cache.has_image.any()
        assert cache.flat.shape == (0, loaded.hidden_size) and cache.tower.shape == (2, 0)
        collate(loaded, [[Turn(ItemInput(0, "red case"))]], images=cache)

    @text_only
    @pytest.mark.parametrize("name", ["max_pixels", "visual_tokens", "split_images"])
    def test_they_have_no_resolution(self, folder, name):
        settings = ModelSettings(**{name: True if name == "split_images" else 4})
        with pytest.raises(ConfigError, match=f"is text-only; leave out {name}"):
            MLLM.load(folder, settings, device="cpu")

    def test_a_config_tells_whether_a_model_may_see_them(self, folder, tmp_path):
        assert may_see(str(folder)) == (folder.name not in TEXT_ONLY)
        assert not may_see("any.gguf")
        assert may_see(str(tmp_path)) and may_see(str(tmp_path / "nothing"))  # reported later


class TestTemplates:
    def test_a_base_model_without_one_gets_a_plain_one(self, tmp_path):
        mllm = with_template(None, tmp_path / "model", "smollm3")
        turns = Turn(ItemInput(None, "red case"), "What?", "glass"), Turn(ItemInput(None, "cable"))
        end = mllm.tokenizer.eos_token
        assert rendered(mllm, *turns) == (
            f"User: red case\nWhat?\nAssistant: glass{end}\nUser: cable\nAssistant:"
        )
        mllm.save(tmp_path / "again")
        assert rendered(MLLM.load(tmp_path / "again", device="cpu"), *turns) == rendered(
            mllm, *turns
        )

    def test_no_thoughts_come_before_an_answer(self, tmp_path):
        mllm = with_template(THINKING, tmp_path)
        turn = Turn(ItemInput(None, "red case"), "What?", "glass")
        thought = "<think>\n\n</think>\n\n"
        assert rendered(mllm, turn).endswith(f"assistant\n{thought}")
        assert rendered(mllm, turn, open_ended=False).endswith(f"{thought}glass<|im_end|>\n")
        [answer] = mllm.chat_tokenizer.tokenize_answers(["glass"])
        assert mllm.tokenizer.decode(answer) == "glass<|im_end|>"
        batch = collate(mllm, [[turn, turn]], with_labels=True)
        labels = batch.labels[batch.labels != -100].tolist()
        assert labels == [*answer, *answer]
        assert generate(mllm, [turn.item], instruction="What?", max_new_tokens=2)

    @pytest.mark.parametrize("folder", ["gemma"], indirect=True)
    def test_turns_of_gemma_alternate(self, loaded):
        turns = [Turn(ItemInput(None, name)) for name in ("case", "cable", "glass")]
        user, empty = "<start_of_turn>user\n", "<start_of_turn>model\n<end_of_turn>\n"
        middle = f"<end_of_turn>\n{empty}{user}"
        assert rendered(loaded, *turns) == (
            f"<bos>{user}case{middle}cable{middle}glass<end_of_turn>\n<start_of_turn>model\n"
        )
        batch = collate(loaded, [turns])
        read = [loaded.tokenizer.decode(batch.input_ids[0, : n + 1]) for n in batch.markers[0]]
        assert [one.rsplit(user, 1)[1].split("<end")[0] for one in read] == [
            "case",
            "cable",
            "glass",
        ]
        assert not batch.answer_mask.any()

    def test_bos_is_not_written_twice(self, tmp_path):
        mllm = with_template(LLAMA3_TEMPLATE, tmp_path, "llama")
        ids = collate(mllm, [[Turn(ItemInput(None, "red case"))]]).input_ids[0].tolist()
        assert ids.count(mllm.tokenizer.bos_token_id) == 1

    @pytest.mark.parametrize(
        "template", ["{{ raise_exception('no') }}", "{{ messages[0].content.nothing.at }}", "hello"]
    )
    def test_one_that_cannot_be_used_is_refused(self, template, tmp_path):
        with pytest.raises(ModelError, match="chat template") as error:
            with_template(template, tmp_path)
        assert "\n" not in str(error.value)

    def test_a_tokenizer_without_an_end_is_refused(self, tmp_path):
        model, tokenizer = make_text("smollm3")
        tokenizer.pad_token = tokenizer.eos_token = None
        with pytest.raises(ModelError, match="neither a padding token nor an end token"):
            MLLM.load(save((model, tokenizer), tmp_path), device="cpu")


@pytest.mark.parametrize("folder", ["gemma2"], indirect=True)
def test_scores_of_gemma_2_are_capped(loaded, folder, tmp_path):
    cap = loaded.model.config.final_logit_softcapping
    assert float(loaded.logits(torch.full((1, loaded.hidden_size), 1e6)).abs().max()) <= cap
    assert loaded.model.config._attn_implementation == "eager"


def test_an_embedding_model_is_refused(tmp_path):
    """EmbeddingGemma has the type of a language model, but its tokens see those that follow."""
    model, tokenizer = make_text("gemma3_text")
    model.config.use_bidirectional_attention = True
    with pytest.raises(ModelError, match="reads texts in both directions"):
        MLLM.load(save((model, tokenizer), tmp_path), device="cpu")
