"""Computes embeddings from given item vectors and TF-IDF of the text, without a base model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tpad.errors import ConfigError
from tpad.io.json_files import write_json
from tpad.io.tensor_files import write_arrays
from tpad.items import NewItem
from tpad.model.given_features import GivenFeatures
from tpad.model.parts import FIELDS
from tpad.model.plain_features import FieldFeatures, TextFeatures, item_texts

ARRAYS = "vectors.safetensors"
"""File of a bundle with the arrays of a `VectorEncoder`, except those of the TF-IDF features."""


class VectorEncoder:
    """Embeds an item as its given vectors, followed by price and category.

    Args:
        name: name of the only embedding set.
        given: features from given vectors and TF-IDF.
        text: TF-IDF features; None if `given` does not use them.
        fields: features of price and category; None if they are not used.
    """

    def __init__(
        self,
        name: str,
        given: GivenFeatures,
        text: TextFeatures | None,
        fields: FieldFeatures | None,
    ) -> None:
        self.name, self.given, self.text, self.fields = name, given, text, fields

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the embedding sets: one name."""
        return (self.name,)

    @property
    def parts(self) -> dict[str, dict[str, int]]:
        """Name of the set -> its parts, see `tpad.model.parts`."""
        fields = {} if self.fields is None else {FIELDS: self.fields.size}
        return {self.name: self.given.parts | fields}

    def encode(
        self, items: Sequence[NewItem], sets: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Embeddings of items, which may be new; pictures are not read.

        Args:
            items: contents of the items.
            sets: names of the sets; all by default.

        Returns:
            name -> (n, d) float32.

        Raises:
            ConfigError: there is no such set.
            DataError: an item lacks a vector that it needs, or a vector has another size.
        """
        for name in sets or ():
            if name != self.name:
                raise ConfigError(f"There is no embedding set {name!r}; choose {self.name}.")
        if sets is not None and not sets:
            return {}
        parts = [self.given.of_items(items, self._tfidf)]
        if self.fields is not None:
            parts.append(self.fields.of_items(items))
        return {self.name: np.concatenate(parts, axis=1, dtype=np.float32)}

    def _tfidf(self, items: Sequence[NewItem]) -> np.ndarray:
        assert self.text is not None, "the given features use no TF-IDF"
        return self.text(item_texts(items))

    def save(self, folder: Path) -> None:
        """Write the encoder to a folder, which is created if missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = self.given.arrays()
        if self.fields is not None:
            arrays |= self.fields.arrays()
        write_arrays(folder / ARRAYS, arrays)
        if self.text is not None:
            self.text.save(folder)
        facts = {
            "sets": list(self.sets),
            "given": self.given.as_json(),
            "categories": None if self.fields is None else self.fields.categories,
        }
        write_json(folder / "encoder.json", facts)

    def check(self) -> None:
        """Encode a dummy item, as a check.

        Raises:
            ValueError: the embedding is not finite.
        """
        item = NewItem(None, "a", "b", "c", 1.0, vectors=self.given.example())
        if not np.isfinite(self.encode([item])[self.name]).all():
            raise ValueError(f"the embedding {self.name!r} of a test item contains NaN or infinity")
