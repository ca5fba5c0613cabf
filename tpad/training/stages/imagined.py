"""Imagined items: the picture of one training item with the text of another [ours].

A shop has a thousand items where a language model has millions of sentences, so what is trained on
items alone learns them by heart and reads new ones worse. But the Knowledge-MLLM can describe any
picture with any text, and the teacher can judge any description. Items that do not exist therefore
serve as inputs of both, with no fact that the models were not given. Only training items are mixed.
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

NEIGHBOURS = 12  # a text comes from one of the items that look most alike


@settings
class ImaginedConfig:
    """Imagined items."""

    per_item: CountOrZero = 0
    """Imagined items for each training item (its picture with another item's text)."""


@dataclass(frozen=True)
class Imagined:
    """Items that do not exist.

    Attributes:
        items: (m,) picture (a row of the shop's cache) and text of each.
        descriptions: (m,) what the Knowledge-MLLM writes about each.
    """

    items: list[ItemInput]
    descriptions: list[str]


def run(config: ImaginedConfig, context: Context, stage: Stage) -> Imagined:
    """Mixes items from each training item's picture and describes them."""
    shop = context.shop
    pictures, texts = processes.agreed(mix(config.per_item, shop, context.seed))
    items = [
        ItemInput(shop.item(p).image, shop.texts[t])
        for p, t in zip(pictures.tolist(), texts.tolist(), strict=True)
    ]
    if not stage.done:
        with context.mllm.use_adapter(context["adaptation"]):
            descriptions = write_descriptions(
                items, shop, stage, context.max_new_tokens, "describing imagined items"
            )
        stage.save_json("descriptions", descriptions)
        stage.say(f"described {len(items):,} imagined items")
        stage.finish()
    return Imagined(items, stage.load_json("descriptions"))


def mix(per_item: int, shop: Shop, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the items that lend the picture and the text: (m,) each.

    A text comes from an item that looks alike, within the same category where there are categories:
    a picture of a phone with the title of a soup would teach nothing.
    """
    rng = np.random.default_rng([seed, 47])
    rows = shop.warm_rows
    seen = shop.images.tower.float().numpy()[rows]  # (n_warm, d_vision)
    seen = (seen - seen.mean(0)) / (seen.std(0) + 1e-6)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True) + 1e-6
    # Numbers are compared many times as fast as texts.
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
    needs=("pictures", "adaptation", "descriptions"),
)
