"""The architecture of the embedded base model: a tiny Idefics3 with a byte-level BPE tokenizer.

It is the architecture of SmolVLM-256M/500M, so all code also works with these public checkpoints.
"""

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

IMAGE_SIZE, PATCH_SIZE, SCALE_FACTOR = 96, 12, 4
IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE // SCALE_FACTOR) ** 2
WIDTH, LAYERS, HEADS = 192, 4, 6
VOCABULARY = 2048

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<end_of_utterance>"
FAKE, IMAGE, GLOBAL = "<fake_token_around_image>", "<image>", "<global-img>"
SPECIAL_TOKENS = (PAD, USER, ASSISTANT, END, FAKE, IMAGE, GLOBAL)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|user|>' if message['role'] == 'user' else '<|assistant|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}"
    "<end_of_utterance>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which has tokens for every text in every script."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT, FAKE, IMAGE, GLOBAL],
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def make_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """The processor of the tiny model; a picture is one tile of 96×96 pixels."""
    edge = {"longest_edge": IMAGE_SIZE}
    images = Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    return Idefics3Processor(
        images, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """An untrained model of about 4 million parameters; seed torch before the call."""
    ids = tokenizer.get_vocab()
    # The class accepts this argument but does not declare it.
    undeclared: dict[str, Any] = {"pad_token_id": ids[PAD]}
    config = Idefics3Config(
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 4 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 512,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            "pad_token_id": ids[PAD],
            "bos_token_id": None,
            "eos_token_id": ids[END],
        },
        scale_factor=SCALE_FACTOR,
        image_token_id=ids[IMAGE],
        tie_word_embeddings=True,
        **undeclared,
    )
    return Idefics3ForConditionalGeneration(config)


def tower(model: Idefics3ForConditionalGeneration, pixels: torch.Tensor) -> torch.Tensor:
    """Patch features of the vision tower, (B, patches, d_vision)."""
    side = IMAGE_SIZE // PATCH_SIZE
    mask = torch.ones(len(pixels), side, side, dtype=torch.bool)
    return model.model.vision_model(
        pixel_values=pixels, patch_attention_mask=mask
    ).last_hidden_state
