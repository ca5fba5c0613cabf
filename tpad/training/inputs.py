"""The inputs of a training run: texts, price and category, and given vectors."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors
from tpad.errors import ConfigError
from tpad.items import NewItem
from tpad.model.given_features import TFIDF, GivenFeatures, check_complete, vectors_by_item
from tpad.model.parts import Parts
from tpad.model.plain_features import FieldFeatures, TextFeatures, item_texts
from tpad.training.config import TrainingConfig
from tpad.training.shop import read_texts

ROWS_AT_ONCE = 4_096  # rows of embeddings that are hashed at once


class Inputs:
    """A dataset and given vectors, read as the settings say.

    Args:
        dataset: items and sessions.
        config: all settings.
        vectors: name -> given item vectors, one for each of `config.features`.

    Raises:
        ConfigError: the names of the vectors differ from `config.features`.
        DataError: the settings use given vectors alone, and an item has none.
    """

    def __init__(
        self, dataset: Dataset, config: TrainingConfig, vectors: Mapping[str, ItemVectors]
    ) -> None:
        self.dataset, self.config, self.vectors = dataset, config, vectors
        self.warm = ~dataset.cold  # (n_items,)
        self.given, self.given_rows, self._given_key = self._read_given()

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the dataset and of the given vectors."""
        return {"dataset": self.dataset.fingerprint, "vectors": self._given_key}

    @cached_property
    def contents(self) -> list[NewItem]:
        """Contents of the items, without pictures; see `contents`."""
        return contents(self.dataset, self.vectors)

    @property
    def texts(self) -> tuple[list[str], list[str]]:
        """Texts (n_items,) and titles (n_items,) as the models read them."""
        config = self.config
        return read_texts(
            self.dataset.items, config.inputs, config.knowledge.max_text, config.transfer.max_title
        )

    @cached_property
    def text(self) -> TextFeatures:
        """TF-IDF of the text, fitted on the training items."""
        texts = [""]
        if self.config.inputs != "image":
            texts = [self._tfidf_texts[row] for row in np.flatnonzero(self.warm)]
        return TextFeatures.fit(texts, self.config.text_components, self.config.seed)

    @cached_property
    def _tfidf_texts(self) -> list[str]:
        if self.config.inputs == "image":
            return [""] * len(self.dataset)
        return item_texts(contents(self.dataset))

    @cached_property
    def fields(self) -> FieldFeatures | None:
        """Features of price and category, fitted on the training items; None if they are not used."""
        if not self.config.fields:
            return None
        return FieldFeatures.fit(
            self.dataset.items[Columns.CATEGORY].to_numpy()[self.warm].tolist(),
            self.dataset.items[Columns.PRICE].to_numpy()[self.warm],
        )

    @property
    def field_table(self) -> np.ndarray | None:
        """Price and category of all items, (n_items, n_fields) float32; None if they are not used."""
        if self.fields is None:
            return None
        items = self.dataset.items
        return self.fields(items[Columns.CATEGORY].tolist(), items[Columns.PRICE].to_numpy())

    def _read_given(self) -> tuple[GivenFeatures | None, np.ndarray | None, str]:
        """The fitted transformation of given vectors, the features (n_items, g), and their fingerprint;
        None, None and "" if there are no given vectors."""
        config, vectors = self.config, self.vectors
        if set(vectors) != set(config.features) - {TFIDF}:
            raise ConfigError(
                f"The setting features names {', '.join(config.features) or 'none'}, but the given "
                f"vectors are {', '.join(vectors) or 'none'}; give them with --features NAME=FILE."
            )
        if TFIDF in config.features:
            table = self.text(self._tfidf_texts)
            vectors = {**vectors, TFIDF: ItemVectors(table, np.ones(len(table), bool))}
        if config.features_only:
            check_complete(vectors, self.dataset.items[Columns.ITEM_ID].tolist())
        if not vectors:
            return None, None, ""
        given = GivenFeatures.fit(vectors, self.warm)
        rows = given(vectors_by_item(vectors, len(self.dataset)))
        return given, rows, fingerprint(rows, given.parts)


def contents(dataset: Dataset, vectors: Mapping[str, ItemVectors] | None = None) -> list[NewItem]:
    """Contents of all items, without pictures: these come from the cache of picture features."""
    items = dataset.items
    return [
        NewItem(None, title, description, category, None if np.isnan(price) else price, own)
        for title, description, category, price, own in zip(
            items[Columns.TITLE],
            items[Columns.DESCRIPTION],
            items[Columns.CATEGORY],
            items[Columns.PRICE],
            vectors_by_item(vectors or {}, len(items)),
            strict=True,
        )
    ]


def fingerprint(features: np.ndarray, parts: Parts) -> str:
    """sha256 (hex) of embeddings (n, d) and of their parts."""
    hashed = hashlib.sha256(json.dumps([features.shape, list(parts.items())]).encode())
    for start in range(0, len(features), ROWS_AT_ONCE):
        hashed.update(features[start : start + ROWS_AT_ONCE].tobytes())
    return hashed.hexdigest()
