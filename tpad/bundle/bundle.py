"""A bundle: a trained model with its items and sessions in one folder."""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from tpad.bundle.contents import read_dataset, reading
from tpad.bundle.files import (
    check_files,
    find_bundle,
    read_info,
    set_file,
)
from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.data.parquet_table import refuse_bomb
from tpad.errors import BundleError
from tpad.io.lazy_mapping import LazyMapping
from tpad.items import NewItem
from tpad.model.embedding_sets import read_embeddings

if TYPE_CHECKING:  # torch takes seconds to import, and a bundle can be read without it
    from tpad.model.session.fused import FusedModel

POPULARITY_FILE = "popularity.parquet"
CLICKS = "clicks"


class Encoder(Protocol):
    """The interface of an item encoder; `tpad.model.item_encoder.ItemEncoder` implements it."""

    @property
    def sets(self) -> Sequence[str]: ...

    def encode(
        self, items: Sequence[NewItem], sets: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]: ...

    def save(self, folder: Path) -> None: ...


class Bundle:
    """A trained model with its items, sessions and baselines; use `Bundle.load` to open one.

    Attributes:
        path: the folder.
        info: the content of `bundle.json`.
        sets: names of the embedding sets in display order; the first is the main model.
        embeddings: name -> (n_items, d) float32, in the order of the items; read at first access.
        recommenders: name -> recommender on that set; read at first access.

    Example:
        >>> import tpad
        >>> bundle = tpad.Bundle.load("assets/demo")
        >>> bundle.sets[:2], bundle.embeddings["tpad"].shape
        (('tpad', 'vision_tfidf'), (1200, 197))
    """

    def __init__(
        self,
        path: Path,
        info: dict[str, Any],
        *,
        encoder: Encoder | None = None,
        device: str = "auto",
    ) -> None:
        self.path, self.info, self.device = path, info, device
        self.sets: tuple[str, ...] = tuple(info["sets"])
        self.embeddings: Mapping[str, np.ndarray] = LazyMapping(self.sets, self._read_embeddings)
        self.recommenders: Mapping[str, FusedModel] = LazyMapping(self.sets, self._read_recommender)
        self._encoder, self._lock = encoder, threading.Lock()

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, sets={list(self.sets)})"

    @classmethod
    def load(
        cls,
        path_or_hub_id: str | Path,
        revision: str | None = None,
        *,
        verify: str = "standard",
        device: str = "auto",
        encoder: Encoder | None = None,
    ) -> "Bundle":
        """Open a bundle and check its files. Parts are read at first access.

        Args:
            path_or_hub_id: a folder, or the id of a repository on the Hugging Face hub, which is
                downloaded.
            revision: branch, tag or commit of the repository.
            verify: "standard" compares the checksums of all files except pictures; "fast" compares
                only sizes; "full" also compares the checksums of pictures.
            device: device of the encoder: "auto", "cpu" or "cuda".
            encoder: an encoder to use instead of the bundle's encoder.

        Raises:
            BundleError: there is no bundle, a file is missing, changed or unsafe, or the bundle has
                another format version.
        """
        folder = find_bundle(path_or_hub_id, revision)
        info = read_info(folder)
        check_files(folder, info, verify)
        return cls(folder, info, encoder=encoder, device=device)

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the training run."""
        return self.info["config"]

    @property
    def parts(self) -> dict[str, dict[str, int]]:
        """Name of each set -> parts of its embeddings, see `tpad.model.parts`; a set of one part may be
        missing."""
        return self.info.get("parts", {})

    @cached_property
    def dataset(self) -> Dataset:
        """Items and training data; the sessions are empty if they were not exported."""
        return read_dataset(self.path, self.info["dataset"], self.info["checksums"])

    @cached_property
    def popularity(self) -> np.ndarray:
        """(n_items,) int64, clicks in training sessions, even if the sessions were not exported."""
        if POPULARITY_FILE not in self.info["checksums"]:
            return self.dataset.popularity
        path = self.path / POPULARITY_FILE
        with reading(path):
            refuse_bomb(path)
            table = pd.read_parquet(path)
            clicks = table[CLICKS].to_numpy(np.int64)
            same = table[Columns.ITEM_ID].tolist() == self.dataset.items[Columns.ITEM_ID].tolist()
        if not same or (clicks < 0).any():
            raise BundleError(f"{path} does not match the items; export the bundle again.")
        return clicks

    @property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, True for items that occur in no training session."""
        return self.popularity == 0

    @property
    def encoder(self) -> Encoder:
        """The encoder, which computes embeddings of new items; loaded at first access.

        Raises:
            BundleError: its weights or settings are damaged or not listed in `bundle.json`.
            ModelError: the base model cannot be downloaded from the hub.
            ConfigError: this machine has no such device, or none that supports 4 bits.
        """
        with self._lock:
            if self._encoder is None:
                from tpad.bundle.encoder import load_encoder

                listed = self.info["checksums"]
                self._encoder = load_encoder(self.path, device=self.device, listed=listed)
            return self._encoder

    def checksum_of_recommender(self, name: str) -> str:
        """SHA-256 of the file of a set's recommender, in hexadecimal."""
        return self.info["checksums"][set_file("recommenders", name)]

    def _read_embeddings(self, name: str) -> np.ndarray:
        path = self.path / set_file("embeddings", name)
        with reading(path):
            return read_embeddings(path, self.dataset.n_items)

    def _read_recommender(self, name: str) -> "FusedModel":
        from tpad.model.session.saving import load_recommender

        path, vectors = self.path / set_file("recommenders", name), self.embeddings[name]
        with reading(path):
            return load_recommender(path, vectors)
