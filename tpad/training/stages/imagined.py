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
from tpad.training.shop import Shop
from tpad.training.stages.knowledge import write_descriptions
from tpad.training.workspace import Stage

NEIGHBOURS = 12  # a text comes from one of the items that look most alike


@dataclass(frozen=True)
class Imagined:
    """Items that do not exist.

    Attributes:
        items: (m,) picture (a row of the shop's cache) and text of each.
        descriptions: (m,) what the Knowledge-MLLM writes about each.
    """

    items: list[ItemInput]
    descriptions: list[str]


def run(
    per_item: int, shop: Shop, stage: Stage, *, adapter: str | None, max_new_tokens: int, seed: int
) -> Imagined:
    """Mixes `per_item` items from each training item's picture and describes them."""
    pictures, texts = processes.agreed(mix(per_item, shop, seed))
    items = [
        ItemInput(shop.item(p).image, shop.texts[t])
        for p, t in zip(pictures.tolist(), texts.tolist(), strict=True)
    ]
    if not stage.done:
        with shop.mllm.adapters.use(adapter):
            descriptions = write_descriptions(
                items, shop, stage, max_new_tokens, "describing imagined items"
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
