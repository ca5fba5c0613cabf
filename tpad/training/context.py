"""The data of a training run: the shop, the base model, and the results of finished stages."""

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
from tpad.model.vector_encoder import VectorEncoder
from tpad.training.shop import Shop


@dataclass
class Context:
    """What the stages of one training run read and write.

    Attributes:
        dataset: items and sessions.
        base: the base model, to which stages add their adapters; None if it is not used.
        texts: (n_items,) text of each item when it is read alone.
        titles: (n_items,) text of each item when it is read in a session.
        reads_pictures: whether the model reads pictures.
        layers: layers of the language model whose features are used.
        tau: how `k_tau` is learned, "words" or "sessions".
        recommender: settings of the network that reads item features; the stage `feedback` trains one.
        max_new_tokens: maximum number of tokens of a description.
        seed: seed of all random numbers.
        fields: (n_items, n_fields) float32, price and category; None if they are not used.
        given: (n_items, g) float32, given item vectors; None if there are none.
        contents: (n_items,) contents of the items, without pictures.
        encoder: makes the item encoder; with a base model, available after the stage `distillation`.
        device: device of the recommenders.
        results: results of finished stages by name.
    """

    dataset: Dataset
    base: MLLM | None
    texts: list[str]
    titles: list[str]
    reads_pictures: bool
    layers: tuple[int, ...]
    recommender: SessionModelConfig
    max_new_tokens: int
    tau: str = "words"
    seed: int = 0
    fields: np.ndarray | None = None
    given: np.ndarray | None = None
    contents: list[NewItem] = field(default_factory=list)
    encoder: Callable[[], ItemEncoder | VectorEncoder] | None = None
    device: str = "cpu"
    results: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, stage: str) -> Any:
        """The result of a stage; None if the settings disable the stage."""
        return self.results[stage]

    @property
    def mllm(self) -> MLLM:
        """The base model, for stages that run only with one."""
        assert self.base is not None, "there is no base model"
        return self.base

    @cached_property
    def shop(self) -> Shop:
        """The dataset as the models read it; available after the stage `pictures`."""
        return Shop(self.dataset, self.mllm, self["pictures"], self.texts, self.titles)
