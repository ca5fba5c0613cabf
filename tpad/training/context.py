"""What the stages of training work on: the shop, the base model, and the results of earlier stages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tpad.data.dataset import Dataset
from tpad.items import NewItem
from tpad.mllm.model import MLLM
from tpad.model.item_encoder import ItemEncoder
from tpad.model.session.network import SessionModelConfig
from tpad.training.shop import Shop


@dataclass
class Context:
    """One training run.

    Attributes:
        dataset: items and sessions.
        mllm: the base model; stages add their adapters to it.
        texts, titles: (n_items,) text of each item as it is read alone and in a session.
        reads_pictures: whether pictures are read.
        layers: layers of the language model whose features are kept.
        recommender: settings of the session recommender.
        max_new_tokens: most tokens of a description.
        seed: everything random follows from it.
        fields: (n_items, n_fields) float32, price and category; None where they are left out.
        given: (n_items, g) float32, vectors that the shop has of its items; None for none.
        contents: (n_items,) contents of the items without their pictures.
        encoder: gives the encoder of items, once the representation is trained.
        results: what each finished stage gave, by its name.
    """

    dataset: Dataset
    mllm: MLLM
    texts: list[str]
    titles: list[str]
    reads_pictures: bool
    layers: tuple[int, ...]
    recommender: SessionModelConfig
    max_new_tokens: int
    seed: int = 0
    fields: np.ndarray | None = None
    given: np.ndarray | None = None
    contents: list[NewItem] = field(default_factory=list)
    encoder: Callable[[], ItemEncoder] | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, stage: str) -> Any:
        """The result of a stage; None where the settings leave the stage out."""
        return self.results[stage]

    @cached_property
    def shop(self) -> Shop:
        """The dataset as the models read it; needs the stage `pictures`."""
        return Shop(self.dataset, self.mllm, self["pictures"], self.texts, self.titles)
