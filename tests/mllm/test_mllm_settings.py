"""Model settings: their effect, and the families that do not support them."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from mllm_models import MAKERS, TEXT, make_llava, picture, save, seeing
from transformers import LlavaConfig, LlavaForConditionalGeneration, PixtralVisionConfig
from transformers.quantizers.quantizers_utils import should_convert_module

from tpad.errors import ConfigError, ModelError
from tpad.mllm import (
    MLLM,
    ImageCache,
    ItemInput,
    LoraSettings,
    ModelSettings,
    Turn,
    collate,
    encode_images,
    encode_items,
    generate,
    loading,
    score_answers,
)
from tpad.mllm.quantisation import NOT_QUANTISED, check_4bit

LAYER = r"(text_model|language_model|^model)\.layers"
TILED = ("idefics3", "smolvlm")


def load(folder, **settings):
    return MLLM.load(folder, ModelSettings(**settings), device="cpu")


def family(folder) -> str:
    return folder.name


@pytest.fixture(scope="module")
def llava_folder(tmp_path_factory):
    torch.manual_seed(0)
    return save(make_llava(), tmp_path_factory.mktemp("models") / "llava")


class TestGradientCheckpointing:
    def gradients(self, mllm, items):
        """The gradients of one training step, and the number of times that the first layer ran."""
        torch.manual_seed(3)
        mllm.adapters.add("a", LoraSettings(rank=2))
        parameters = mllm.adapters.parameters("a")
        with torch.no_grad():  # initial zeros would hide half of the gradients
            for parameter in parameters:
                parameter.normal_(std=0.1)
        language = mllm.model.model.get_decoder()
        runs = []
        mlp = language.layers[0].mlp
        mlp.register_forward_pre_hook(lambda *_: runs.append(torch.is_grad_enabled()))
        batch = collate(mllm, [[Turn(i, "Next?", "a red case")] for i in items], with_labels=True)
        mllm.model.train()
        with mllm.adapters.use("a"):
            out = mllm.forward(batch, layers=[0, 1, 3])
            states = sum(out.hidden[layer].square().mean() for layer in (1, 3))
            (out.loss + states).backward()
        return [p.grad.clone() for p in parameters], len(runs)

    def test_the_gradients_are_the_same(self, folder, items):
        plain, once = self.gradients(load(folder), items)
        kept, twice = self.gradients(load(folder, gradient_checkpointing=True), items)
        assert (once, twice) == (1, 2)  # the layer was recomputed
        assert any(gradient.abs().max() > 1e-4 for gradient in plain)
        for one, other in zip(plain, kept, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)

    def test_it_does_not_affect_inference(self, folder, items):
        chat = [Turn(items[0], "Next?")]
        mllm = load(folder, gradient_checkpointing=True)
        plain = load(folder)
        mllm.model.train()
        one, other = (score_answers(m, [chat], [["red"]])[0] for m in (mllm, plain))
        np.testing.assert_array_equal(one, other)
        texts = [generate(m, items, instruction="?", max_new_tokens=3) for m in (mllm, plain)]
        assert texts[0] == texts[1]


class TestSixteenBits:
    def test_16_bit_weights_encode_score_and_train(self, folder, items, tmp_path, monkeypatch):
        """As on a GPU, where the weights are bfloat16 and the adapters float32."""
        exact = load(folder)
        bf16 = (torch.bfloat16,) * 3
        monkeypatch.setattr("tpad.mllm.model.choose_dtypes", lambda *_: bf16)
        monkeypatch.setattr(loading, "choose_dtypes", lambda *_: bf16)
        mllm = load(folder, gradient_checkpointing=True)
        assert {p.dtype for p in mllm.model.parameters()} == {torch.bfloat16}
        pictures = [item.image for item in items]
        cache = encode_images(mllm, pictures)
        assert cache.flat.dtype == (torch.bfloat16 if mllm.sees else torch.float32)
        assert cache.tower.dtype == torch.float32
        cache.save(tmp_path / "cache.safetensors")
        cache = ImageCache.load(tmp_path / "cache.safetensors")
        rows = [ItemInput(n if i.image else None, i.text) for n, i in enumerate(items)]
        read = encode_items(mllm, rows, layers=[3], images=cache).last[3]
        np.testing.assert_allclose(read, encode_items(exact, items, layers=[3]).last[3], atol=0.15)
        scores = score_answers(mllm, [[Turn(rows[0], "Next?")]], [["red"]], images=cache)
        assert np.isfinite(scores).all()

        mllm.adapters.add("a", LoraSettings(rank=2))
        parameters = mllm.adapters.parameters("a")
        assert {p.dtype for p in parameters} == {torch.float32}
        chats = [[Turn(row, "Next?", "a red case")] for row in rows]
        batch = collate(mllm, chats, images=cache, with_labels=True)
        optimizer, losses = torch.optim.Adam(parameters, lr=0.005), []
        mllm.model.train()
        with mllm.adapters.use("a"):
            for _ in range(4):
                with mllm.autocast():
                    loss = mllm.forward(batch).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
        assert losses[-1] < losses[0]


class TestResolution:
    @seeing
    def test_visual_tokens_limit_the_number_of_tokens(self, folder, items):
        few, native = load(folder, visual_tokens=1), load(folder)
        shown = [picture(0, (64, 64)), None, picture(1, (64, 64))]
        assert encode_images(few, shown).counts.tolist() == [1, 0, 1]
        assert min(encode_images(native, shown).counts[[0, 2]]) > 1

    @seeing
    def test_max_pixels_and_visual_tokens_are_equivalent(self, folder):
        edge = {"llava": 8}.get(family(folder), 16)  # pixels along the edge of a token
        shown = [picture(0, (64, 64))]
        for tokens in (1, 4):
            one = encode_images(load(folder, visual_tokens=tokens), shown)
            other = encode_images(load(folder, max_pixels=tokens * edge**2), shown)
            assert one.counts.tolist() == [tokens]
            assert torch.equal(one.flat, other.flat)

    @seeing
    def test_cached_small_images_give_equal_features(self, folder, items):
        mllm = load(folder, visual_tokens=1)
        cache = encode_images(mllm, [item.image for item in items])
        rows = [
            ItemInput(row if item.image is not None else None, item.text)
            for row, item in enumerate(items)
        ]
        cached, read = (
            encode_items(mllm, rows, layers=[3], images=cache),
            encode_items(mllm, items, layers=[3]),
        )
        np.testing.assert_allclose(cached.last[3], read.last[3], atol=2e-5)

    @seeing
    def test_a_saved_model_can_be_loaded_with_its_settings(self, folder, items, tmp_path):
        mllm = load(folder, visual_tokens=2 if family(folder) in TILED else 4)
        mllm.save(tmp_path / "base")
        again = MLLM.load(tmp_path / "base", mllm.settings, device="cpu")
        one, other = (encode_items(m, items, layers=[3]) for m in (mllm, again))
        np.testing.assert_array_equal(one.image[3], other.image[3])

    def test_tiles_respect_the_limit(self, tmp_path):
        save(MAKERS["idefics3"](), tmp_path)
        shown = [picture(0, (200, 200))]
        for settings in ({"visual_tokens": 20}, {"visual_tokens": 39}, {"max_pixels": 64 * 64}):
            tiled = encode_images(load(tmp_path, split_images=True, **settings), shown)
            assert tiled.counts.tolist() == [20]  # two by two tiles and the whole image
        tiled = encode_images(load(tmp_path, split_images=True, visual_tokens=40), shown)
        assert tiled.counts.tolist() == [40]
        with pytest.raises(ConfigError, match="at least 4096 pixels and 20 tokens"):
            load(tmp_path, split_images=True, visual_tokens=19)

    @seeing
    def test_unsupported_settings_are_rejected(self, folder):
        with pytest.raises(ConfigError, match="leave one of them out"):
            load(folder, max_pixels=1024, visual_tokens=4)
        with pytest.raises(ConfigError, match="at least 1, not 0"):
            load(folder, visual_tokens=0)
        if family(folder) not in TILED:
            with pytest.raises(ConfigError, match="Only Idefics3 and SmolVLM"):
                load(folder, split_images=True)
        if family(folder).startswith("qwen"):
            with pytest.raises(ConfigError, match="at least 256"):
                load(folder, max_pixels=255)
        else:
            hint = "; set split_images for more" if family(folder) in TILED else ""
            with pytest.raises(
                ConfigError, match=rf"32×32 pixels; choose a value in this range{hint}\."
            ):
                load(folder, visual_tokens=17)

    def test_a_tower_with_a_fixed_resolution(self, llava_folder, tmp_path):
        model, processor = make_llava()
        config = model.config
        config.vision_config = PixtralVisionConfig(
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        )
        LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match="type 'pixtral' reads pictures of one size only"):
            load(tmp_path, visual_tokens=4)


class TestTargets:
    def llava_with(self, folder, **text):
        model, processor = make_llava()
        ids = {k: getattr(model.config.text_config, k) for k in ("vocab_size", "pad_token_id")}
        config = LlavaConfig(
            vision_config=model.config.vision_config,
            text_config={**TEXT, **ids, **text},
            image_token_id=model.config.image_token_id,
        )
        return save((LlavaForConditionalGeneration(config), processor), folder)

    def adapted(self, mllm):
        return [n for n, _ in mllm.model.named_modules() if n.endswith("lora_A.a")]

    def test_fused_projections_are_found(self, tmp_path):
        mllm = load(self.llava_with(tmp_path, model_type="phi3"))
        mllm.adapters.add("a", LoraSettings(rank=2))
        mllm.adapters.add("b", LoraSettings(rank=2))
        names = self.adapted(mllm)
        assert len(names) == 4 * mllm.num_layers and all("language_model" in n for n in names)

    def test_an_unknown_language_model_needs_lora_targets(self, tmp_path, items):
        folder = self.llava_with(tmp_path, model_type="gpt_neox")
        mllm = load(folder)
        with pytest.raises(
            ModelError, match=r"'gpt_neox' are not known; set lora_targets"
        ) as error:
            mllm.adapters.add("a")
        assert "\n" not in str(error.value)
        own = load(folder, lora_targets=r".*\.language_model\.layers\.\d+\.attention\.dense")
        own.adapters.add("a", LoraSettings(rank=2))
        assert len(self.adapted(own)) == own.num_layers

    def test_an_invalid_regular_expression(self, llava_folder):
        with pytest.raises(ModelError, match="fits no layer"):
            load(llava_folder, lora_targets="(").adapters.add("a")


class TestFourBits:
    def test_it_needs_a_supported_device(self):
        with pytest.raises(ConfigError, match=r"would be on 'mps'; leave out load_in_4bit"):
            check_4bit(torch.device("mps"))

    def test_it_needs_bitsandbytes(self, monkeypatch):
        monkeypatch.setattr("tpad.mllm.quantisation.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r'bitsandbytes, .*pip install "tpad\[quant\]"'):
            check_4bit(torch.device("cuda"))

    def test_settings_and_preparation(self, llava_folder, items, monkeypatch):
        """The options that are passed to `from_pretrained`; the weights are not quantised here."""
        passed = {}
        real = loading.AutoModelForImageTextToText.from_pretrained

        def from_pretrained(path, *, quantization_config, device_map, **options):
            passed.update(quantization=quantization_config, map=device_map, dtype=options["dtype"])
            model, info = real(path, **options | {"dtype": torch.bfloat16})
            model.is_loaded_in_4bit = True
            return model, info

        monkeypatch.setattr(loading, "check_4bit", lambda device: None)
        monkeypatch.setattr(loading.AutoModelForImageTextToText, "from_pretrained", from_pretrained)
        mllm = load(llava_folder, load_in_4bit=True, dtype="bfloat16", gradient_checkpointing=True)
        quantization = passed["quantization"]
        assert quantization.load_in_4bit and quantization.bnb_4bit_quant_type == "nf4"
        assert quantization.bnb_4bit_compute_dtype == torch.bfloat16
        assert quantization.bnb_4bit_use_double_quant
        assert passed["map"] == {"": "cpu"}
        # PEFT's preparation: the base is frozen, and the other weights are float32.
        assert not any(p.requires_grad for p in mllm.model.parameters())
        assert {p.dtype for p in mllm.model.parameters()} == {torch.float32}
        mllm.adapters.add("a", LoraSettings(rank=2))
        mllm.adapters.set("a")
        trained = {name for name, p in mllm.model.named_parameters() if p.requires_grad}
        assert trained and all(".lora_" in name for name in trained)
        with mllm.adapters.merged():  # 4-bit weights cannot be merged
            assert mllm.adapters.active == "a"

    def test_a_4bit_model_trains_and_is_saved(self, folder, items, tmp_path):
        """With bitsandbytes: half a byte per weight, and adapters that train on them."""
        pytest.importorskip("bitsandbytes", reason='needs pip install "tpad[quant]"')
        plain = load(folder)
        mllm = load(folder, load_in_4bit=True)
        packed = {n: p for n, p in mllm.model.named_parameters() if p.dtype == torch.uint8}
        assert len(packed) == 7 * mllm.num_layers and all(re.search(LAYER, name) for name in packed)
        whole = dict(plain.model.named_parameters())
        assert all(2 * p.numel() == whole[name].numel() for name, p in packed.items())

        mllm.adapters.add("a", LoraSettings(rank=2))
        by = torch.optim.AdamW(mllm.adapters.parameters("a"), lr=1e-2)
        chats = [[Turn(item, "Describe it.", "a red phone")] for item in items[:2]]
        batch, losses = collate(mllm, chats, with_labels=True), []
        with mllm.adapters.use("a"):
            for _ in range(8):
                out = mllm.forward(batch)
                loss = torch.nn.functional.cross_entropy(out.logits, out.targets)
                by.zero_grad()
                loss.backward()
                by.step()
                losses.append(loss.item())
        assert losses[-1] < 0.9 * losses[0]

        mllm.save(tmp_path / "base")
        again = load(tmp_path / "base", load_in_4bit=True)
        found, expected = (
            encode_items(one, items, layers=[one.num_layers]).last[one.num_layers]
            for one in (again, mllm)
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_only_the_layers_of_the_language_model_are_quantised(self, loaded):
        linear = [
            name
            for name, module in loaded.model.named_modules()
            if isinstance(module, torch.nn.Linear)
        ]
        packed = [name for name in linear if should_convert_module(name, [NOT_QUANTISED])]
        assert len(packed) == 7 * loaded.num_layers
        assert all(re.search(LAYER, name) for name in packed)

    def test_a_quantised_checkpoint_is_rejected(self, llava_folder, tmp_path):
        copy = shutil.copytree(llava_folder, tmp_path / "copy")
        config = json.loads((copy / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "awq"}
        (copy / "config.json").write_text(json.dumps(config))
        with pytest.raises(
            ModelError, match=r"are quantised \(awq\), which is not supported; use the checkpoint"
        ):
            load(copy)


def test_changes_lists_settings_that_affect_the_output():
    assert ModelSettings().changes == ModelSettings(gradient_checkpointing=True).changes == []
    assert ModelSettings(visual_tokens=9, dtype="bfloat16").changes == [
        ["dtype", "bfloat16"],
        ["visual_tokens", 9],
    ]
