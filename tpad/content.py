"""Checks the contents of new items, and caches their embeddings."""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from tpad.bundle import Bundle, Encoder
from tpad.data.images import load_image
from tpad.errors import ConfigError, DataError, ModelError, shown
from tpad.fair_lock import FairLock
from tpad.io.texts import checked_text
from tpad.items import NewItem
from tpad.model.embedding_sets import as_stored

Element: TypeAlias = str | Image.Image | NewItem
"""An element of a session: an item id, a picture, or the content of an item."""

CACHE_SIZE = 2048  # items whose embeddings are cached
BATCH = 16  # items encoded at once


@dataclass(frozen=True, eq=False)
class Content:
    """The checked content of an item.

    Attributes:
        item: the item; its picture is RGB, and its price is None or a finite number.
        key: digest of the content; equal contents have equal keys.
    """

    item: NewItem
    key: bytes

    @classmethod
    def of(cls, element: Image.Image | NewItem) -> "Content":
        """Check a picture or an item.

        Raises:
            DataError: it is neither a picture nor an item, has neither picture nor text, or has an
                invalid price.
            ImageError: the picture cannot be used.
        """
        if isinstance(element, Image.Image):
            item = NewItem(image=load_image(element))
        elif isinstance(element, NewItem):
            item = _checked(element)
        else:
            raise DataError(
                "An element must be an item id (text), a PIL picture or a NewItem, not "
                f"{type(element).__name__}."
            )
        fields = (item.title, item.description, item.category, item.price)
        digest = hashlib.sha256(repr(fields).encode())
        for name, vector in sorted((item.vectors or {}).items()):
            digest.update(repr((name, vector.shape)).encode() + vector.tobytes())
        if item.image is not None:
            digest.update(repr(item.image.size).encode())
            digest.update(item.image.tobytes())
        return cls(item, digest.digest())


class EncodingCache:
    """A cache of the embeddings of new items; the least recently used ones are dropped.

    Only one thread encodes at a time, because the encoder switches adapters. Threads take turns after each
    batch. Threads whose items are all cached do not wait.

    Args:
        bundle: the bundle with the encoder.
        size: maximum number of items.
    """

    def __init__(self, bundle: Bundle, size: int = CACHE_SIZE) -> None:
        self.bundle, self.size = bundle, size
        self._known: OrderedDict[bytes, dict[str, np.ndarray]] = OrderedDict()
        self._lock, self._turns = threading.Lock(), FairLock()

    def encode(self, contents: Sequence[Content], sets: Sequence[str]) -> dict[str, np.ndarray]:
        """Embeddings in each of the sets, (n, d_set) float32."""
        if not contents:
            return {name: np.zeros((0, self._width(name)), np.float32) for name in sets}
        found = self._cached(contents)
        todo = list({c.key: c for c in contents if set(sets) - found[c.key].keys()}.values())
        for start in range(0, len(todo), BATCH):
            batch = todo[start : start + BATCH]
            with self._turns:
                found |= self._cached(batch)  # another thread may have encoded some of them
                # Only the missing sets, because each may need another forward pass.
                missing = [s for s in sets if any(s not in found[c.key] for c in batch)]
                batch = [c for c in batch if set(sets) - found[c.key].keys()]
                vectors = self._vectors([c.item for c in batch], missing) if batch else {}
                for i, content in enumerate(batch):
                    new = {name: vectors[name][i] for name in missing}
                    found[content.key] = found[content.key] | new
                self._store(batch, found)
        self._store(contents, found)
        return {name: np.stack([found[c.key][name] for c in contents]) for name in sets}

    def _cached(self, contents: Sequence[Content]) -> dict[bytes, dict[str, np.ndarray]]:
        """Cached embeddings of each content, by its key."""
        with self._lock:
            return {content.key: self._known.get(content.key, {}) for content in contents}

    def _store(
        self, contents: Sequence[Content], found: Mapping[bytes, dict[str, np.ndarray]]
    ) -> None:
        """Store embeddings as the most recently used ones."""
        with self._lock:
            for content in contents:
                self._known[content.key] = self._known.get(content.key, {}) | found[content.key]
                self._known.move_to_end(content.key)
            while len(self._known) > self.size:
                self._known.popitem(last=False)

    def _vectors(self, items: list[NewItem], sets: list[str]) -> dict[str, np.ndarray]:
        return encode_items(self.bundle.encoder, items, {name: self._width(name) for name in sets})

    def _width(self, name: str) -> int:
        return self.bundle.embeddings[name].shape[1]


def encode_items(
    encoder: Encoder, items: Sequence[NewItem], widths: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Embeddings of items as a bundle stores them: (n, d) float32 for each set of `widths`.

    Args:
        encoder: computes the embeddings.
        items: contents of the items.
        widths: name of each requested set -> size of its embeddings.

    Raises:
        ModelError: the encoder's embeddings are not finite or have another size.
    """
    vectors = encoder.encode(items, list(widths))
    for name, width in widths.items():
        shape = (len(items), width)
        if np.shape(vectors[name]) != shape or not np.isfinite(vectors[name]).all():
            raise ModelError(
                f"The encoder's {name!r} vectors are not finite or not of shape {shape}; the parts of "
                "the bundle do not match, train it again."
            )
    # Rounded like those of the catalogue, so that an item has the same vector before it is added.
    return {name: as_stored(name, vectors[name]) for name in widths}


def _checked(item: NewItem) -> NewItem:
    texts = (item.title, item.description, item.category)
    if not all(isinstance(text, str) for text in texts):
        raise DataError("The title, description and category of a NewItem must be text.")
    for name, text in zip(("title", "description", "category"), texts, strict=True):
        checked_text(text, f"The {name} of a new item")
    vectors = _checked_vectors(item.vectors)
    if item.image is None and not vectors and not any(text.strip() for text in texts[:2]):
        raise DataError("A NewItem needs a picture, a title or a description; this one has none.")
    price = item.price
    if price is not None:
        try:
            price = float(price)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"The price of a NewItem must be a finite number, not {shown(price)!r}."
            ) from error
        if math.isnan(price):
            price = None  # missing, as in a table
        elif not 0 <= price < math.inf:
            raise DataError(f"The price of a NewItem must be 0 or more, not {price}.")
    image = None if item.image is None else load_image(item.image)
    return replace(item, image=image, price=price, vectors=vectors)


def _checked_vectors(vectors: object) -> dict[str, np.ndarray] | None:
    if not vectors:
        return None
    if not isinstance(vectors, Mapping):
        raise DataError("The vectors of a NewItem must be a mapping, such as {'clip': vector}.")
    checked = {}
    for name, vector in vectors.items():
        try:
            values = np.array(vector, np.float32)
        except (TypeError, ValueError):
            values = np.zeros(0, np.float32)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise DataError(f"The vector {name!r} of a NewItem must be a list of finite numbers.")
        checked[str(name)] = values
    return checked


def elements_of(session: Sequence[Element]) -> list[str | Content]:
    """The elements of a session: ids unchanged, other elements checked."""
    if isinstance(session, (str, Image.Image, NewItem)):
        raise ConfigError("A session is a list of elements; put a single element into a list.")
    elements = checked(session)
    if not elements:
        raise ConfigError("The session is empty; give at least one item id, picture or NewItem.")
    return elements


def checked(elements: Sequence[Element]) -> list[str | Content]:
    """Ids unchanged, other elements checked; there may be none."""
    return [each if isinstance(each, str) else Content.of(each) for each in elements]
