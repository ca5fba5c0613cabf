"""Knowledge acquisition [paper]: what the Knowledge-MLLM reads of each item alone.

One prompt an item gives, at each chosen layer, the means over image tokens and text tokens and the
last token, and the vision tower's mean.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput
from tpad.model.item_features import named_features, place
from tpad.settings import Count, CountOrZero, settings
from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage


@settings
class KnowledgeConfig:
    """What the Knowledge-MLLM reads and writes of each item."""

    layers: tuple[int, ...] | None = None
    """Layers of the language model whose features are kept; None: first, middle and last."""
    targets: Literal["shop", "written"] = "shop"
    """Which text describes an item where one is to be generated: "shop" takes title and description
    of the shop, "written" what the Knowledge-MLLM writes about picture and text."""
    adapt_epochs: CountOrZero = 0
    """Passes over the items in which a light LoRA adapter learns to generate the shop's own text from
    the picture; 0 keeps the base frozen."""
    max_text: Count = 320
    """Characters of title and description that are read."""
    max_new_tokens: Count = 40
    """Most tokens of a description that the model writes or that is a target."""


def run(config: KnowledgeConfig, context: Context, stage: Stage) -> dict[str, np.ndarray]:
    """Features of all items: name -> (n_items, d) float32, see `named_features`."""
    if not stage.done:
        with context.mllm.use_adapter(context["adaptation"]):
            features = encode(
                context.mllm,
                context.shop.items(),
                instruction=DESCRIBE,
                layers=context.layers,
                images=context.shop.images,
            )
        stage.save_arrays("features", features)
        stage.say(f"read {len(context.dataset):,} items", items=len(context.dataset))
        stage.finish()
    kept = stage.load_arrays("features")
    # A file keeps no order, and what is trained on the features side by side depends on it.
    return {name: kept[name] for name in sorted(kept, key=place)}


def chosen_layers(config: KnowledgeConfig, mllm: MLLM) -> tuple[int, ...]:
    """The layers to keep, counted from 0 (input embeddings); negative ones from the end."""
    last = mllm.num_layers
    layers = config.layers if config.layers is not None else (0, last // 2, last)
    for layer in layers:
        if not -last - 1 <= layer <= last:
            raise ConfigError(
                f"knowledge.layers names layer {layer}, but this model has layers 0 to {last}."
            )
    return tuple(sorted({layer % (last + 1) for layer in layers}))


def encode(mllm: MLLM, items: Sequence[ItemInput], **how: Any) -> dict[str, np.ndarray]:
    """`named_features` of items, of which each process reads its share; `how` is as in `MLLM.encode`."""
    own = processes.share(items)
    return processes.whole(named_features(mllm.encode(own, **how)), len(items))


STAGE = StageSpec(
    "knowledge",
    run,
    config="knowledge",
    settings=("inputs", "knowledge.layers", "knowledge.max_text"),
    needs=("pictures", "adaptation"),
)
