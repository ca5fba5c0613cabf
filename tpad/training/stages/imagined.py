"""Imagined items: the picture of one training item with the text of another one [ours].

A shop has few items, so a model that is trained on them alone memorises them and generalises badly to
new ones. But the Knowledge-MLLM can describe any picture with any text, and the teacher can score any
description. Therefore combinations that do not exist serve as further training data. Only training items
are combined, so no information about other items is used.
"""

from dataclasses import dataclass

import numpy as np

from tpad.data.columns import Columns
from tpad.distributed import processes
from tpad.mllm.prompts import ItemInput
from tpad.settings import CountOrZero, settings
from tpad.training.context import Context
from tpad.training.shop import Shop
from tpad.training.stage import StageSpec
from tpad.training.stages.descriptions import write_descriptions
from tpad.training.workspace import Stage

NEIGHBOURS = 12  # most similar items, from which a text is drawn


@settings
class ImaginedConfig:
    """Settings of the stage `imagined`."""

    per_item: CountOrZero = 0
    """Imagined items per training item, which has the picture."""


@dataclass(frozen=True)
class Imagined:
    """Imagined items and their descriptions.

    Attributes:
        items: (m,) text and picture, as a row of the shop's cache.
        descriptions: (m,) descriptions by the Knowledge-MLLM.
    """

    items: list[ItemInput]
    descriptions: list[str]


def run(config: ImaginedConfig, context: Context, stage: Stage) -> Imagined:
    """Combine pictures and texts of training items, and describe the combinations."""
    shop = context.shop
    pictures, texts = processes.from_main(mix(config.per_item, shop, context.seed))
    items = [
        ItemInput(shop.item(p).image, shop.texts[t])
        for p, t in zip(pictures.tolist(), texts.tolist(), strict=True)
    ]
    if not stage.done:
        with context.mllm.adapters.use(context["adaptation"]):
            descriptions = write_descriptions(
                items, shop, stage, context.max_new_tokens, "describing imagined items"
            )
        stage.save_json("descriptions", descriptions)
        stage.say(f"described {len(items):,} imagined items")
        stage.finish()
    return Imagined(items, stage.load_json("descriptions"))


def mix(per_item: int, shop: Shop, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the combinations: rows of the pictures (m,) and of the texts (m,).

    A text comes from an item that looks similar and, where possible, has the same category: a picture of
    a phone with the title of a soup would teach nothing.
    """
    rng = np.random.default_rng([seed, 47])
    rows = shop.warm_rows
    seen = shop.images.tower.float().numpy()[rows]  # (n_warm, d_vision)
    seen = (seen - seen.mean(0)) / (seen.std(0) + 1e-6)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True) + 1e-6
    # Comparing numbers is much faster than comparing texts.
    categories, _ = shop.dataset.items[Columns.CATEGORY].iloc[rows].factorize()  # (n_warm,)
    count = min(NEIGHBOURS, len(rows) - 1)
    pictures, texts = [], []
    for place, row in enumerate(rows):
        alike = seen @ seen[place] - 2.0 * (categories != categories[place])  # (n_warm,)
        alike[place] = -np.inf
        near = np.argpartition(-alike, count - 1)[:count]
        pictures += [row] * min(per_item, count)
        texts += rows[rng.choice(near, min(per_item, count), replace=False)].tolist()
    return np.array(pictures, dtype=np.int64), np.array(texts, dtype=np.int64)


STAGE = StageSpec(
    "imagined",
    run,
    config="imagined",
    settings=("imagined", "seed"),
    wanted=lambda config: config.tau == "words",
    needs=("pictures", "adaptation", "descriptions"),
)
