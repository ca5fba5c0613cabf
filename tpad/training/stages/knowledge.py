"""Knowledge acquisition [paper]: features of each item from the Knowledge-MLLM.

One prompt per item gives, at each selected layer, the mean over image tokens, the mean over text tokens
and the last token; the vision tower gives the mean over its patches.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.features import encode_items
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput
from tpad.model.item_features import KINDS, kinds, named_features, sort_key
from tpad.settings import Count, CountOrZero, settings
from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage, in_chunks

SESSION_DEPTH = 0.2
"""Part of the layers that is run if `tau` is "sessions": in language models, the means over the tokens of early
layers tell items apart best."""


@settings
class KnowledgeConfig:
    """Settings of the Knowledge-MLLM."""

    layers: tuple[int, ...] | None = None
    """Layers of the language model whose features are used. None: first, middle and last, or a fifth of the
    depth if `tau` is "sessions"."""
    targets: Literal["shop", "written"] = "shop"
    """Targets of the generation task: "shop" uses the shop's title and description, "written" a text
    that the Knowledge-MLLM writes about picture and text."""
    adapt_epochs: CountOrZero = 0
    """Passes over the items in which a small LoRA adapter learns to generate the shop's text from the
    picture; 0 keeps the base model frozen."""
    max_text: Count = 320
    """Maximum characters of title and description."""
    max_new_tokens: Count = 40
    """Maximum tokens of a description, generated or as a target."""


def run(config: KnowledgeConfig, context: Context, stage: Stage) -> dict[str, np.ndarray]:
    """Features of all items: name -> (n_items, d) float32; see `named_features`."""
    if not stage.done:
        items = context.shop.items()

        def read(rows: range) -> dict[str, np.ndarray]:
            return encode(
                context.mllm,
                items[rows.start : rows.stop],
                kinds=kinds(context.tau),
                instruction=DESCRIBE,
                plain=context.tau == "sessions",
                layers=context.layers,
                images=context.shop.images,
            )

        with context.mllm.adapters.use(context["adaptation"]):
            features = in_chunks(len(items), read, stage, "reading items")
        stage.save_arrays("features", features)
        stage.say(f"read {len(context.dataset):,} items", items=len(context.dataset))
        stage.finish()
    kept = stage.load_arrays("features")
    # A file has no order of arrays, but training on the concatenated features depends on it.
    return {name: kept[name] for name in sorted(kept, key=sort_key)}


def chosen_layers(config: KnowledgeConfig, mllm: MLLM, tau: str = "words") -> tuple[int, ...]:
    """Numbers of the selected layers, from 0 (input embeddings).

    Args:
        config: its layers may be negative: they then count from the end.
        mllm: the base model.
        tau: how `k_tau` is learned; "sessions" uses one layer.
    """
    last = mllm.num_layers
    usual = (0, last // 2, last) if tau == "words" else (max(1, round(last * SESSION_DEPTH)),)
    layers = config.layers if config.layers is not None else usual
    if tau == "sessions" and len(layers) != 1:
        raise ConfigError(
            f'knowledge.layers has {len(layers)} layers; give one if tau is "sessions".'
        )
    for layer in layers:
        if not -last - 1 <= layer <= last:
            raise ConfigError(
                f"knowledge.layers contains {layer}, but this model has layers 0 to {last}."
            )
    return tuple(sorted({layer % (last + 1) for layer in layers}))


def encode(
    mllm: MLLM, items: Sequence[ItemInput], kinds: Sequence[str] = KINDS, **options: Any
) -> dict[str, np.ndarray]:
    """`named_features` of items, which the processes share.

    Args:
        mllm: the model, with its active adapter.
        items: items to read.
        kinds: of the features, see `named_features`.
        options: further arguments of `encode_items`.
    """
    own = processes.share(items)
    features = named_features(encode_items(mllm, own, **options), kinds)
    return processes.gather_rows(features, len(items))


STAGE = StageSpec(
    "knowledge",
    run,
    config="knowledge",
    settings=("inputs", "tau", "knowledge.layers", "knowledge.max_text"),
    needs=("pictures", "adaptation"),
)
