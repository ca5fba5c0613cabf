"""What training leaves behind, as one folder: read, written, copied."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import pandas as pd

from tpad.bundle.card import model_card
from tpad.bundle.contents import read_dataset, reading
from tpad.bundle.files import (
    CARD_FILE,
    FORMAT_VERSION,
    IMAGES,
    check_files,
    check_target,
    find_bundle,
    read_info,
    safe_path,
    set_file,
    write_info,
)
from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.data.images import resolve_image
from tpad.data.sessions import Sessions
from tpad.errors import BundleError, ConfigError, ImageError
from tpad.io.files import replacing_folder
from tpad.items import NewItem
from tpad.model.embedding_sets import read_embeddings, write_embeddings
from tpad.version import __version__

if TYPE_CHECKING:  # torch takes seconds to import, and a bundle can be read without it
    from tpad.model.session.fitted import FittedSessionModel
    from tpad.model.session.tuned import SessionTuning

POPULARITY_FILE = "popularity.parquet"
CLICKS = "clicks"
Value = TypeVar("Value")


class Encoder(Protocol):
    """What a bundle needs of an encoder; `tpad.model.item_encoder.ItemEncoder` is one."""

    @property
    def sets(self) -> Sequence[str]: ...

    def encode(
        self, items: Sequence[NewItem], sets: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]: ...

    def save(self, folder: Path) -> None: ...


class LazyMapping(Mapping[str, Value], Generic[Value]):
    """Values that are read when they are first asked for, once, by whichever thread asks."""

    def __init__(self, names: Sequence[str], read: Callable[[str], Value]) -> None:
        self._names, self._read = tuple(names), read
        self._values: dict[str, Value] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        with self._lock:
            if name not in self._values:
                self._values[name] = self._read(name)
            return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Bundle:
    """A trained TPAD with its catalogue, sessions and baselines; made by `Bundle.load`.

    Attributes:
        path: its folder.
        info: `bundle.json`.
        sets: names of the embedding sets in display order, the first is the bundle's own model.
        embeddings: name -> (n_items, d) float32, in the order of the items; read when asked for.
        recommenders: name -> session model over that set; read when asked for.
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
        self.recommenders: Mapping[str, FittedSessionModel] = LazyMapping(
            self.sets, self._read_recommender
        )
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
        """Open a bundle and check that it is whole; its parts are read when they are asked for.

        Args:
            path_or_hub_id: a folder, or a repository of the Hugging Face hub, which is downloaded.
            revision: of the repository.
            verify: "standard" hashes all files but the pictures; "fast" compares sizes only;
                "full" hashes the pictures too.
            device: where the encoder runs: "auto", "cpu", "cuda".
            encoder: one to use instead of the bundle's own.

        Raises:
            BundleError: there is none, a file is missing, changed, unsafe or of another version.
        """
        folder = find_bundle(path_or_hub_id, revision)
        info = read_info(folder)
        check_files(folder, info, verify)
        return cls(folder, info, encoder=encoder, device=device)

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the training that made it."""
        return self.info["config"]

    @cached_property
    def dataset(self) -> Dataset:
        """Items and sessions it was trained on; without sessions if they were left out."""
        return read_dataset(self.path, self.info["dataset"], self.info["checksums"])

    @cached_property
    def popularity(self) -> np.ndarray:
        """(n_items,) int64, clicks in training sessions, known even if sessions were left out."""
        if POPULARITY_FILE not in self.info["checksums"]:
            return self.dataset.popularity
        path = self.path / POPULARITY_FILE
        with reading(path):
            table = pd.read_parquet(path)
            clicks = table[CLICKS].to_numpy(np.int64)
            same = table[Columns.ITEM_ID].tolist() == self.dataset.items[Columns.ITEM_ID].tolist()
        if not same or (clicks < 0).any():
            raise BundleError(f"{path} is not of these items; export the bundle again.")
        return clicks

    @property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, True for an item that occurs in no training session."""
        return self.popularity == 0

    @property
    def encoder(self) -> Encoder:
        """Turns new items into embeddings; loaded when first asked for.

        Raises:
            BundleError: its weights or settings are damaged or not listed.
            ModelError: the base model of a hub cannot be got.
            ConfigError: this machine has no such device, or none for 4 bits.
        """
        with self._lock:
            if self._encoder is None:
                from tpad.bundle.encoder import load_encoder

                listed = self.info["checksums"]
                self._encoder = load_encoder(self.path, device=self.device, listed=listed)
            return self._encoder

    @classmethod
    def write(
        cls,
        folder: str | Path,
        *,
        dataset: Dataset,
        encoder: Encoder,
        embeddings: Mapping[str, np.ndarray],
        recommenders: Mapping[str, "FittedSessionModel"],
        config: Mapping[str, Any],
        tuned: Mapping[str, "SessionTuning"] | None = None,
        seeds: Sequence[int] = (),
        base: Mapping[str, str] | None = None,
        extra_files: Mapping[str, Path] | None = None,
        card: str | None = None,
    ) -> Path:
        """Write a bundle in one step: it is there whole, or not at all.

        Args:
            folder: where to; a bundle that is there already is replaced, anything else is not.
            dataset: items, with their pictures, and sessions.
            encoder: what made the embeddings.
            embeddings: (n_items, d) of each set, in display order, the model's own first; they are
                stored in half precision, see `tpad.model.embedding_sets.as_stored`.
            recommenders: one of each set.
            config: the training's settings, as JSON values.
            tuned: what tuning chose for the recommender of each set, for the record.
            seeds: that the training used; by default `config["seed"]`.
            base: the base model, {"path": …} or {"hub_id": …, "revision": …}; by default the folder
                `base` that the encoder writes.
            extra_files: relative path in the bundle -> file or folder to copy.
            card: text of the model card; None writes one without figures.

        Returns:
            The folder.
        """
        folder = Path(folder)
        _check_parts(dataset, embeddings, recommenders)
        check_target(folder)
        if not seeds and "seed" in config:
            seeds = [config["seed"]]
        info: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "package_version": __version__,
            "git_commit": _git_commit(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": dict(config),
            "dataset": {
                "fingerprint": dataset.fingerprint,
                "n_items": dataset.n_items,
                "n_cold": int(dataset.cold.sum()),
                "n_sessions": {
                    split: len(getattr(dataset, split)) for split in ("train", "validation", "test")
                },
                "image_root": _image_root(dataset),
            },
            "seeds": [int(seed) for seed in seeds],
            "sets": list(embeddings),
            "tuned": {name: asdict(found) for name, found in (tuned or {}).items()},
            "base": dict(base or {"path": "base"}),
        }
        with replacing_folder(folder) as part:
            encoder.save(part)
            dataset.save(part)
            _copy_pictures(dataset, part, info["dataset"]["image_root"])
            for kind in ("embeddings", "recommenders"):
                (part / kind).mkdir()
            for name, vectors in embeddings.items():
                write_embeddings(part / set_file("embeddings", name), name, vectors)
                recommenders[name].save(part / set_file("recommenders", name))
            for name, source in (extra_files or {}).items():
                _copy(Path(source), safe_path(part, name))
            (part / CARD_FILE).write_text(card or model_card(info), "utf-8")
            write_info(part, info)
            check_files(part, read_info(part), "fast")
        return folder

    def export(
        self, folder: str | Path, *, sets: Sequence[str] | None = None, sessions: bool = True
    ) -> Path:
        """Write a self-contained copy, after checking every file of this one.

        Args:
            folder: where to; a bundle that is there already is replaced, anything else is not.
            sets: embedding sets to keep, at least one; None keeps all.
            sessions: whether the copy holds the shoppers' sessions. Without them it recommends just
                the same, and keeps each item's number of clicks.

        Raises:
            ConfigError: there is no such set, or the folder is in use.
            BundleError: a file of this bundle is missing or was changed.
        """
        folder = Path(folder)
        keep = self.sets if sets is None else tuple(name for name in self.sets if name in sets)
        unknown = [name for name in sets or () if name not in self.sets]
        if unknown or not keep:
            raise ConfigError(
                f"{self.path} has no embedding set {', '.join(unknown) or '(none given)'}; "
                f"choose from {', '.join(self.sets)}."
            )
        check_target(folder)
        if folder.resolve() == self.path.resolve():
            raise ConfigError(f"{folder} is the bundle itself; choose another folder.")
        check_files(self.path, self.info, "full")
        dropped = {
            set_file(kind, name)
            for kind in ("embeddings", "recommenders")
            for name in set(self.sets) - set(keep)
        }
        with replacing_folder(folder) as part:
            for name in self.info["checksums"].keys() - dropped:
                _copy(safe_path(self.path, name), part / name)
            if (self.path / CARD_FILE).is_file():
                _copy(self.path / CARD_FILE, part / CARD_FILE)
            if not sessions:
                _drop_sessions(self, part)
            tuned = {k: v for k, v in self.info.get("tuned", {}).items() if k in keep}
            write_info(part, {**self.info, "sets": list(keep), "tuned": tuned})
            check_files(part, read_info(part), "full")
        return folder

    def checksum_of_recommender(self, name: str) -> str:
        """sha256 (hex) of the file of a set's recommender."""
        return self.info["checksums"][set_file("recommenders", name)]

    def _read_embeddings(self, name: str) -> np.ndarray:
        path = self.path / set_file("embeddings", name)
        with reading(path):
            return read_embeddings(path, self.dataset.n_items)

    def _read_recommender(self, name: str) -> "FittedSessionModel":
        from tpad.model.session.fitted import FittedSessionModel

        path, vectors = self.path / set_file("recommenders", name), self.embeddings[name]
        with reading(path):
            return FittedSessionModel.load(path, vectors)


def _check_parts(
    dataset: Dataset, embeddings: Mapping[str, Any], recommenders: Mapping[str, Any]
) -> None:
    if not embeddings or list(embeddings) != [name for name in embeddings if name in recommenders]:
        raise BundleError("Every embedding set of a bundle needs its recommender; train them all.")
    for name, vectors in embeddings.items():
        if np.ndim(vectors) != 2 or len(vectors) != dataset.n_items:
            raise BundleError(
                f"The embeddings {name!r} have shape {np.shape(vectors)}, but there are "
                f"{dataset.n_items} items; compute them again."
            )


def _image_root(dataset: Dataset) -> str:
    """Folder in the bundle that pictures are relative to, so that their names stay as they are."""
    images = [name for name in dataset.items[Columns.IMAGE] if name]
    return "" if all(name.startswith(f"{IMAGES}/") for name in images) else IMAGES


def _copy_pictures(dataset: Dataset, folder: Path, root: str) -> None:
    """Copy the pictures that exist; an item whose picture does not counts as one without."""
    for name in dict.fromkeys(dataset.items[Columns.IMAGE]):
        if not name:
            continue
        try:
            source = resolve_image(dataset.image_root, name)
        except ImageError:
            continue
        inside = os.path.normpath(f"{root}/{name}" if root else name)
        _copy(source, safe_path(folder, inside.replace(os.sep, "/")))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def _drop_sessions(bundle: Bundle, part: Path) -> None:
    """Replace the sessions of a copy by none, and keep the number of clicks."""
    dataset = bundle.dataset
    none = Sessions(np.zeros(0, object), [], np.zeros(0, np.int64))
    Dataset(dataset.items, dataset.image_root, none, none, none).save(part)
    clicks = pd.DataFrame({Columns.ITEM_ID: dataset.items[Columns.ITEM_ID]})
    clicks[CLICKS] = bundle.popularity
    clicks.to_parquet(part / POPULARITY_FILE, index=False)


def _git_commit() -> str | None:
    """Commit of the package's checkout; None if it is installed otherwise."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
