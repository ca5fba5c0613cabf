"""Computes the embeddings of all items in every set, with the numbers that a bundle stores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tpad.distributed import processes
from tpad.items import NewItem
from tpad.mllm.image_cache import ImageCache
from tpad.model.embedding_sets import as_stored
from tpad.model.item_encoder import ItemEncoder
from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage, in_chunks


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The embeddings of all items.

    Attributes:
        vectors: name of each set -> (n_items, d) float32, as a bundle stores them.
        parts: name of each set -> its parts, see `tpad.model.parts`.
    """

    vectors: dict[str, np.ndarray]
    parts: dict[str, dict[str, int]]


def run(config: Any, context: Context, stage: Stage) -> Embeddings:
    """Compute and store the embeddings of all items in every set."""
    if not stage.done:
        assert context.encoder is not None
        encoder = context.encoder()
        if isinstance(encoder, ItemEncoder):
            encoded = encode(encoder, context.contents, context["pictures"], stage=stage)
        else:
            encoded = encoder.encode(context.contents)
        stage.save_json("parts", encoder.parts)
        stage.save_arrays("embeddings", {name: as_stored(name, x) for name, x in encoded.items()})
        stage.finish()
    return load(stage, config.sets)


def load(stage: Stage, sets: Sequence[str]) -> Embeddings:
    """The stored embeddings of a finished stage."""
    kept = stage.load_arrays("embeddings")
    return Embeddings({name: kept[name] for name in sets}, stage.load_json("parts"))


def encode(
    encoder: ItemEncoder,
    items: list[NewItem],
    images: ImageCache,
    sets: Sequence[str] | None = None,
    stage: Stage | None = None,
) -> dict[str, np.ndarray]:
    """Embeddings of items by set, (n_items, d) each; the processes share the items.

    Args:
        encoder: computes the embeddings.
        items: all items.
        images: their pictures.
        sets: names of the sets; all by default.
        stage: shows progress and stores finished items.
    """

    def read(rows: range) -> dict[str, np.ndarray]:
        own = processes.share(rows)
        encoded = encoder.encode([items[row] for row in own], sets, images.rows(own))
        return processes.gather_rows(encoded, len(rows))

    return in_chunks(len(items), read, stage, "reading items")


STAGE = StageSpec(
    "embeddings",
    run,
    settings=(
        "baselines",
        "text_components",
        "knowledge.layers",
        "knowledge.max_text",
        "transfer.max_title",
        "inputs",
        "tau",
        "fields",
        "seed",
    ),
    needs=("pictures", "knowledge", "transfer", "alignment", "distillation", "feedback"),
    inputs=("dataset", "vectors"),
)
OF_VECTORS = replace(
    STAGE, settings=("features", "text_components", "fields", "seed"), needs=()
)  # the embeddings are given vectors: no other stage is needed
