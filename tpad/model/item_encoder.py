"""Computes the embeddings of items, in any embedding set, from their contents.

Only the passes of the language model that the requested sets need are made (one for TPAD, none for
TF-IDF), and the vision tower runs once for all sets.
"""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from tpad.errors import ConfigError, DataError
from tpad.io.json_files import write_json
from tpad.io.tensor_files import write_arrays
from tpad.items import NewItem
from tpad.mllm.features import encode_images, encode_items
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.instructions import DESCRIBE, item_text
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput
from tpad.model.embedding_sets import EMBEDDING_SETS
from tpad.model.given_features import GivenFeatures
from tpad.model.heads import HeadsConfig, KnowledgeHeads
from tpad.model.item_features import concatenated, kinds, named_features
from tpad.model.parts import FIELDS, NU, TAU, columns, sizes
from tpad.model.plain_features import FieldFeatures, TextFeatures, item_texts
from tpad.model.scaler import FeatureScaler
from tpad.model.whitening import Whitening
from tpad.settings import Count, settings

RANDOM_SIZE = 128
STUDENT, TRANSFER = "student", "transfer"


@settings
class ReadingConfig:
    """How the models read items.

    Attributes:
        layers: layers of the language model whose features are used.
        inputs: which modalities are read: "both", "image" or "text".
        max_text: maximum characters of title and description.
        max_title: maximum characters of a title in a session.
        knowledge_adapter: name of the Knowledge-MLLM's adapter; None for the frozen base model.
        tau: how `k_tau` is learned, "words" or "sessions" (see `TrainingConfig.tau`).
        adapters: names of the adapters that a bundle stores.
    """

    layers: tuple[int, ...]
    inputs: Literal["both", "image", "text"]
    max_text: Count
    max_title: Count
    knowledge_adapter: str | None
    tau: Literal["words", "sessions"]
    adapters: tuple[str, ...]


class ItemEncoder:
    """Computes embeddings from item contents.

    Args:
        mllm: base model with the adapters of `reading`.
        reading: how the models read items.
        text: TF-IDF features.
        fields: features of price and category; None if they are not used.
        sets: names of the sets, in display order.
        base: location of the base model: `{"path": "base"}` if `save` copies it, or `{"hub_id": …,
            "revision": …}` for a public checkpoint, which is not copied.
        given: features from given vectors; None if there are none.
        heads: scaler of the features and heads, which compute TPAD's parts from the words; None if `k_tau`
            is learned on sessions.
        whitening: space of TPAD's parts if `k_tau` is learned on sessions; None otherwise.
    """

    def __init__(
        self,
        mllm: MLLM,
        reading: ReadingConfig,
        text: TextFeatures,
        fields: FieldFeatures | None,
        sets: Sequence[str],
        *,
        base: dict[str, Any] | None = None,
        given: GivenFeatures | None = None,
        heads: tuple[FeatureScaler, KnowledgeHeads] | None = None,
        whitening: Whitening | None = None,
    ) -> None:
        unknown = [name for name in sets if name not in EMBEDDING_SETS]
        if unknown:
            raise ConfigError(
                f"There is no embedding set {unknown[0]!r}; choose from {', '.join(EMBEDDING_SETS)}."
            )
        self.mllm, self.reading, self.text, self.fields = mllm, reading, text, fields
        self.sets, self.whitening = tuple(sets), whitening
        self.heads = None if heads is None else (heads[0], heads[1].eval())
        self.base = base or {"path": "base"}
        self.given = given

    def encode(
        self,
        items: Sequence[NewItem],
        sets: Sequence[str] | None = None,
        images: ImageCache | None = None,
    ) -> dict[str, np.ndarray]:
        """Embeddings of items, which may be new.

        Args:
            items: contents of the items.
            sets: names of the sets; all by default.
            images: cached picture features of these items, in the same order; by default, the pictures
                are read.

        Returns:
            name -> (n, d) float32.

        Raises:
            ConfigError: there is no such set.
            DataError: an item has only a picture, and the bundle reads none; or vectors do not fit.
        """
        sets = self.sets if sets is None else tuple(sets)
        for name in sets:
            if name not in self.sets:
                raise ConfigError(
                    f"There is no embedding set {name!r}; choose from {', '.join(self.sets)}."
                )
        if images is None:
            reads = self.mllm.sees and self.reading.inputs != "text"
            if not reads and any(map(_is_only_picture, items)):
                raise DataError(
                    "This bundle reads no pictures; give the new item a title or a description."
                )
            # Pictures that no set uses are not read.
            used = reads and any(EMBEDDING_SETS[name].reads_pictures for name in sets)
            images = encode_images(self.mllm, (item.image if used else None for item in items))
        result = {}
        for name in sets:
            parts = self._parts(name, items, images).values()
            result[name] = np.ascontiguousarray(np.concatenate([*parts], axis=1), np.float32)
        return result

    @property
    def parts(self) -> dict[str, dict[str, int]]:
        """Name of each set -> its parts, see `tpad.model.parts`."""
        items = [self._example()]
        images = encode_images(self.mllm, [items[0].image])
        return {name: sizes(self._parts(name, items, images)) for name in self.sets}

    def _parts(
        self, name: str, items: Sequence[NewItem], images: ImageCache
    ) -> dict[str, np.ndarray]:
        """The parts of the embeddings in one set: name -> (n, d)."""
        known = EMBEDDING_SETS[name]
        parts: dict[str, np.ndarray] = {}
        for part in known.parts:
            parts |= getattr(self, f"_{part}")(items, images)
        # All sets get price and category, so that none has an advantage.
        if self.fields is not None and known.has_fields:
            parts[FIELDS] = self.fields.of_items(items)
        return parts

    # --- one method for each part -------------------------------------------------------------

    def _tpad(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        given = self._given(items)
        if self.heads is None:
            return self._of_sessions(items, images) | given
        scaler, heads = self.heads
        features = [concatenated(self.read(items, images, STUDENT)).numpy(), *given.values()]
        scaled = scaler(torch.from_numpy(np.concatenate(features, 1)).to(scaler.mean.device))
        with torch.no_grad():
            tau, nu = (part.cpu().numpy() for part in heads(scaled))  # given vectors end k_nu
        width = nu.shape[1] - heads.n_given
        standardised = columns(sizes(given))
        return {TAU: tau, NU: nu[:, :width]} | {
            name: nu[:, width:][:, at] for name, at in standardised.items()
        }

    def _of_sessions(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        """The parts of a student that was tuned on sessions."""
        assert self.whitening is not None, "there are neither heads nor a space"
        passes = {TAU: STUDENT, NU: self.reading.knowledge_adapter}
        if STUDENT not in self.reading.adapters:  # it was not tuned
            del passes[TAU]
        parts = {}
        for name, adapter in passes.items():
            features = concatenated(self.read(items, images, adapter)).to(self.mllm.device)
            parts[name] = self.whitening(features).cpu().numpy()
        return parts

    def _given(self, items: Sequence[NewItem]) -> dict[str, np.ndarray]:
        """The given vectors as parts.

        Raises:
            DataError: an item's vectors do not fit.
        """
        if self.given is None:
            if any(item.vectors for item in items):
                raise DataError("This bundle uses no item vectors; leave out `vectors`.")
            return {}
        vectors = self.given.of_items(items, self._words)  # (n, g)
        return self.given.split(vectors)

    def _knowledge(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        features = self.read(items, images, self.reading.knowledge_adapter)
        return {"knowledge": concatenated(features).numpy()}

    def _transfer(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        features = self.read(items, images, TRANSFER, in_session=True)
        return {"transfer": concatenated(features).numpy()}

    def _vision(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        return {"vision": images.tower.float().cpu().numpy()}

    def _tfidf(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        return {"tfidf": self._words(items)}

    def _random(self, items: Sequence[NewItem], images: ImageCache) -> dict[str, np.ndarray]:
        # Seeded by the content, so that an item always gets the same vector.
        seeds = [zlib.crc32(f"{i.title}\0{i.description}\0{i.price}".encode()) for i in items]
        random = [np.random.default_rng(s).standard_normal(RANDOM_SIZE) for s in seeds]
        return {"random": np.stack(random)}

    def _words(self, items: Sequence[NewItem]) -> np.ndarray:
        """TF-IDF of the whole text, without the limits of the language model: (n, d)."""
        texts = item_texts(items) if self.reading.inputs != "image" else [""] * len(items)
        return self.text(texts)

    # --- reading -----------------------------------------------------------------------------

    def _texts(self, items: Sequence[NewItem]) -> list[str]:
        if self.reading.inputs == "image":
            return [""] * len(items)
        return [item_text(i.title, i.description)[: self.reading.max_text] for i in items]

    def read(
        self,
        items: Sequence[NewItem],
        images: ImageCache,
        adapter: str | None,
        in_session: bool = False,
    ) -> dict[str, np.ndarray]:
        """Features of items from one of the models: name -> (n, d); see `named_features`.

        Args:
            items: contents of the items.
            images: cached picture features.
            adapter: STUDENT, TRANSFER or the Knowledge-MLLM's adapter; None: the frozen base model.
            in_session: whether to read each item as a session of length one, with its title.
        """
        texts = self._texts(items)
        if in_session and self.reading.inputs != "image":
            texts = [
                (item.title or text)[: self.reading.max_title]
                for item, text in zip(items, texts, strict=True)
            ]
        inputs = [
            ItemInput(row if images.has_image[row] else None, text)
            for row, text in enumerate(texts)
        ]
        with self.mllm.adapters.use(adapter):
            encoded = encode_items(
                self.mllm,
                inputs,
                instruction="" if in_session else DESCRIBE,
                plain=self.reading.tau == "sessions" and not in_session,
                layers=self.reading.layers,
                images=images,
            )
        return named_features(encoded, kinds(self.reading.tau))

    # --- saving ------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write base model, adapters, heads and vocabularies to a folder, which is created if missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if "path" in self.base:
            self.mllm.save(folder / self.base["path"], dtype=_smallest_dtype(self.mllm))
        for name in self.reading.adapters:
            self.mllm.adapters.save(name, folder / "adapters" / name)
        modules: dict[str, torch.nn.Module] = {}
        if self.heads is not None:
            modules |= {"scaler": self.heads[0], "heads": self.heads[1]}
        if self.whitening is not None:
            modules["whitening"] = self.whitening
        arrays = {
            f"{prefix}.{name}": value.cpu().numpy()
            for prefix, module in modules.items()
            for name, value in module.state_dict().items()
        }
        if self.fields is not None:
            arrays |= self.fields.arrays()
        if self.given is not None:
            arrays |= self.given.arrays()
        write_arrays(folder / "heads.safetensors", arrays)
        self.text.save(folder)
        facts = {
            "sets": list(self.sets),
            "reading": asdict(self.reading),
            "heads": None if self.heads is None else _sizes(self.heads[1].config),
            "categories": None if self.fields is None else self.fields.categories,
            "base": self.base,
            "given": None if self.given is None else self.given.as_json(),
            "model": self.mllm.settings.as_json(),
        }
        write_json(folder / "encoder.json", facts)

    def check(self) -> None:
        """Encode a dummy item in all sets, as a check.

        Raises:
            ValueError: an embedding is not finite.
        """
        for name, vector in self.encode([self._example()]).items():
            if not np.isfinite(vector).all():
                raise ValueError(f"the embedding {name!r} of a test item contains NaN or infinity")

    def _example(self) -> NewItem:
        vectors = None if self.given is None else self.given.example()
        return NewItem(Image.new("RGB", (32, 32), "white"), "a", "b", "c", 1.0, vectors=vectors)


def _sizes(config: HeadsConfig) -> dict[str, Any]:
    """The fields of `HeadsConfig` alone, as JSON values."""
    return {one.name: getattr(config, one.name) for one in fields(HeadsConfig)}


def _is_only_picture(item: NewItem) -> bool:
    text = item.title.strip() or item.description.strip()
    return item.image is not None and not text and not item.vectors


def _smallest_dtype(mllm: MLLM) -> torch.dtype | None:
    """bfloat16 if it represents all weights exactly; otherwise None, as embeddings would change."""
    weights = (w for w in mllm.adapters.base_state().values() if w.is_floating_point())
    exact = all(torch.equal(w.to(torch.bfloat16).to(w.dtype), w) for w in weights)
    return torch.bfloat16 if exact else None
