"""Joins a language model and a vision tower in a checkpoint, with a connector that is not trained yet.

The model is built without memory for its weights, and gets those of its parts. So nothing is initialised
at random but the connector.
"""

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tpad.assembly.chat import IMAGE, with_pictures
from tpad.assembly.tower import Tower
from tpad.errors import ModelError
from tpad.mllm.attention import attention_of
from tpad.mllm.chat_tokenizer import default_template
from tpad.mllm.hugging_face import AutoConfig, AutoModelForImageTextToText
from tpad.mllm.model import MLLM
from tpad.mllm.processors import FAMILIES

CAPPED = ("gemma2",)
"""Families that limit their scores, which neither layout does."""


@dataclass(frozen=True)
class Layout:
    """Where a vision-language model keeps its parts.

    Attributes:
        language, tower, connector: names of the modules.
        tokens: what its prompts contain for a picture.
    """

    language: str
    tower: str
    connector: str
    tokens: tuple[str, ...]


LAYOUTS = {
    "llava": Layout(
        "model.language_model", "model.vision_tower", "model.multi_modal_projector", (IMAGE,)
    ),
    "idefics3": Layout(
        "model.text_model",
        "model.vision_model",
        "model.connector",
        ("<fake_token_around_image>", IMAGE, "<global-img>", "<end_of_utterance>"),
    ),
}
"""The layouts, by the family that reads them."""


def connector_of(mllm: MLLM) -> nn.Module:
    """The connector of a model of one of `LAYOUTS`."""
    return attrgetter(LAYOUTS[mllm.family].connector)(mllm.model)


def write_untrained(llm: MLLM, tower: Tower, folder: Path, seed: int) -> None:
    """Write a checkpoint with the weights of both parts (bfloat16) and a random connector.

    Args:
        llm: the language model. Its vocabulary is extended in place.
        tower: the vision tower.
        folder: the folder of the checkpoint.
        seed: seed of the connector's weights.

    Raises:
        ModelError: no layout fits the language model.
    """
    if llm.family in CAPPED:
        raise ModelError(
            f"Language models of the family {llm.family!r} cannot be joined with a vision tower, because "
            "they limit their scores; use another language model."
        )
    layout = LAYOUTS[tower.layout]
    _add_tokens(llm, layout.tokens)
    llm.tokenizer.chat_template = with_pictures(default_template(llm.tokenizer))
    config = _config(llm, tower)
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    torch.manual_seed(seed)
    connector = type(attrgetter(layout.connector)(model))(config)
    parts = {
        layout.language: llm.model.model.state_dict(),
        "lm_head": llm.model.lm_head.state_dict(),
        layout.tower: tower.state,
        layout.connector: connector.state_dict(),
    }
    state = {f"{part}.{name}": value for part, own in parts.items() for name, value in own.items()}
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.generation_config = llm.model.generation_config
    model.to(torch.bfloat16).save_pretrained(folder)
    _processor(llm, tower).save_pretrained(folder)


def _add_tokens(llm: MLLM, tokens: tuple[str, ...]) -> None:
    """Add tokens to the vocabulary; their embeddings are the mean of all others.

    They need no training: the picture takes the place of its tokens, and the others only surround it.
    """
    known = llm.tokenizer.get_vocab()
    new = [token for token in tokens if token not in known]
    llm.tokenizer.add_tokens(new, special_tokens=True)
    if len(llm.tokenizer) > llm.vocab_size:
        llm.model.resize_token_embeddings(len(llm.tokenizer), mean_resizing=False)
    ids = llm.tokenizer.convert_tokens_to_ids(new)
    old = min(llm.vocab_size, *ids) if ids else llm.vocab_size
    with torch.no_grad():
        for module in (llm.model.get_input_embeddings(), llm.model.get_output_embeddings()):
            module.weight[ids] = module.weight[:old].mean(0)  # (d,)


def _config(llm: MLLM, tower: Tower) -> Any:
    """The config of the whole model."""
    text = llm.model.config.to_dict()
    config = AutoConfig.for_model(
        tower.layout,
        text_config=text,
        vision_config=tower.config,
        image_token_id=llm.tokenizer.convert_tokens_to_ids(IMAGE),
        pad_token_id=llm.chat_tokenizer.pad_id,
        tie_word_embeddings=bool(text.get("tie_word_embeddings")),
        **tower.options,
    )
    config._attn_implementation = attention_of(tower.layout)
    return config


def _processor(llm: MLLM, tower: Tower) -> Any:
    """The processor of the whole model."""
    make: Any = FAMILIES[tower.layout]
    options: dict[str, Any] = {}
    if tower.layout == "llava":
        strategy = tower.options["vision_feature_select_strategy"]
        options = {
            "patch_size": tower.config["patch_size"],
            "vision_feature_select_strategy": strategy,
            "num_additional_image_tokens": int(strategy == "default"),
        }
    template = llm.tokenizer.chat_template
    return make(tower.image_processor, llm.tokenizer, chat_template=template, **options)
