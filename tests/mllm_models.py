"""Tiny random models of each family, with their processors."""

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from tpad.mllm.processors import FAMILIES

# As in SmolVLM-Instruct, llava-1.5-hf, Qwen2.5-VL-Instruct, Qwen3-VL-Instruct, SmolLM2-Instruct, Llama 3.2
# and Gemma, without tools and videos.
IDEFICS3_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' ' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
QWEN2_5_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3_TEMPLATE = QWEN2_5_TEMPLATE.replace(
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}",
    "",
)
SMOLLM2_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_TEMPLATE = (
    "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n' }}"
    "{{- system_message }}{{- '<|eot_id|>' }}{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
LLAMA3_TOKENS = ("<|start_header_id|>", "<|end_header_id|>")
GEMMA_TOKENS = ("<start_of_turn>", "<end_of_turn>")
QWEN3_TEXT_TEMPLATE = SMOLLM2_TEMPLATE.replace("messages[0]['role'] != 'system'", "false")
QWEN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
IDEFICS3_TOKENS = (
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
    *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)),
)
CORPUS = ["a red phone case for Nova 7", "green apple juice, 1 l", "User: Assistant: describe it"]
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
}


def make_tokenizer(special: tuple[str, ...], bos: str | None, eos: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    names = ["<pad>", *([bos] if bos else []), eos, *special]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(dict.fromkeys(names)),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token=bos,
        eos_token=eos,
        additional_special_tokens=list(special),
    )


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def make_idefics3(family: str = "idefics3"):
    smol = family == "smolvlm"
    tokenizer = make_tokenizer(IDEFICS3_TOKENS, None, "<end_of_utterance>")
    vision = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = (SmolVLMConfig if smol else Idefics3Config)(
        vision_config=vision,
        text_config={"model_type": "llama", **TEXT, **_ids(tokenizer)},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=not smol,
    )
    model = (SmolVLMForConditionalGeneration if smol else Idefics3ForConditionalGeneration)(config)
    image_processor = (SmolVLMImageProcessorPil if smol else Idefics3ImageProcessorPil)(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    return model, FAMILIES[family](
        image_processor, tokenizer, image_seq_len=4, chat_template=IDEFICS3_TEMPLATE
    )


def make_llava():
    tokenizer = make_tokenizer(("<image>",), "<s>", "</s>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        text_config={"model_type": "llama", **TEXT, **_ids(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return LlavaForConditionalGeneration(config), FAMILIES["llava"](
        image_processor,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )


def make_qwen(family: str):
    tokenizer = make_tokenizer(QWEN_TOKENS, None, "<|im_end|>")
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image", "<|image_pad|>"),
            ("video", "<|video_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    text = {**TEXT, **_ids(tokenizer)}
    vision = {
        "depth": 3,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_heads": 2,
        "patch_size": 8,
        "out_hidden_size": 32,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    if family == "qwen2_5_vl":
        text["rope_parameters"] = {
            "rope_type": "default",
            "mrope_section": [2, 1, 1],
            "rope_theta": 1e4,
        }
        config = Qwen2_5_VLConfig(
            text_config=text,
            vision_config={**vision, "window_size": 32, "fullatt_block_indexes": [1]},
            **ids,
        )
        model = Qwen2_5_VLForConditionalGeneration(config)
        template = QWEN2_5_TEMPLATE
    else:
        text["rope_parameters"] = {
            "rope_type": "default",
            "mrope_section": [2, 1, 1],
            "rope_theta": 1e4,
            "mrope_interleaved": True,
        }
        config = Qwen3VLConfig(
            text_config=text,
            vision_config={
                **vision,
                "deepstack_visual_indexes": [0, 1],
                "num_position_embeddings": 16,
            },
            **ids,
        )
        model = Qwen3VLForConditionalGeneration(config)
        template = QWEN3_TEMPLATE
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=8,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64},
    )
    return model, FAMILIES[family](image_processor, tokenizer, chat_template=template)


TEXT_ONLY = {
    "llama": (LLAMA3_TEMPLATE, LLAMA3_TOKENS, "<|begin_of_text|>", "<|eot_id|>"),
    "qwen2": (SMOLLM2_TEMPLATE, QWEN_TOKENS, None, "<|im_end|>"),
    "qwen3": (QWEN3_TEXT_TEMPLATE, QWEN_TOKENS, None, "<|im_end|>"),
    "smollm3": (None, (), None, "<|end_of_text|>"),
    "gemma": (GEMMA_TEMPLATE, GEMMA_TOKENS, "<bos>", "<eos>"),
    "gemma2": (GEMMA_TEMPLATE, GEMMA_TOKENS, "<bos>", "<eos>"),
    "gemma3_text": (GEMMA_TEMPLATE, GEMMA_TOKENS, "<bos>", "<eos>"),
}
"""Families without pictures: template (None: a base model without one), special tokens, BOS and EOS."""


def make_text(family: str):
    """A language model, and its tokenizer. Windows are shorter than the prompts of the tests."""
    template, special, bos, eos = TEXT_ONLY[family]
    tokenizer = make_tokenizer(special, bos, eos)
    tokenizer.chat_template = template
    options: dict = {}
    if family in ("gemma2", "gemma3_text"):
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        options = {"sliding_window": 12, "layer_types": kinds, "query_pre_attn_scalar": 8}
    config = AutoConfig.for_model(family, **TEXT, **_ids(tokenizer), **options)
    return AutoModelForCausalLM.from_config(config), tokenizer


MAKERS = {
    "idefics3": make_idefics3,
    "smolvlm": functools.partial(make_idefics3, "smolvlm"),
    "llava": make_llava,
    "qwen2_5_vl": functools.partial(make_qwen, "qwen2_5_vl"),
    "qwen3_vl": functools.partial(make_qwen, "qwen3_vl"),
    **{family: functools.partial(make_text, family) for family in TEXT_ONLY},
}

_SEEING = [family for family in MAKERS if family not in TEXT_ONLY]
seeing = pytest.mark.parametrize("folder", _SEEING, indirect=True)
"""Marks a test of pictures: it runs only with the families that see them."""


def save(made: tuple[PreTrainedModel, ProcessorMixin], folder: Path) -> Path:
    """Write model and processor as a checkpoint; returns the folder."""
    for part in made:
        part.save_pretrained(folder)
    return folder


def picture(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)
