"""Writes bundles, and copies of bundles."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tpad.bundle.bundle import CLICKS, POPULARITY_FILE, Bundle, Encoder
from tpad.bundle.card import model_card
from tpad.bundle.files import (
    CARD_FILE,
    FORMAT_VERSION,
    IMAGES,
    check_files,
    check_target,
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
from tpad.model.embedding_sets import write_embeddings
from tpad.model.parts import Parts
from tpad.version import __version__

if TYPE_CHECKING:  # torch takes seconds to import, and a bundle can be copied without it
    from tpad.model.session.fused import FusedModel


def write_bundle(
    folder: str | Path,
    *,
    dataset: Dataset,
    encoder: Encoder,
    embeddings: Mapping[str, np.ndarray],
    recommenders: Mapping[str, "FusedModel"],
    config: Mapping[str, Any],
    parts: Mapping[str, Parts] | None = None,
    tuned: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Sequence[int] = (),
    base: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, Path] | None = None,
    card: str | None = None,
) -> Path:
    """Write a bundle atomically.

    Args:
        folder: the folder; an existing bundle is replaced, anything else is an error.
        dataset: items with pictures, and sessions.
        encoder: the encoder that computed the embeddings.
        embeddings: name of the set -> (n_items, d), in display order, the main model first. They are
            stored in half precision; see `tpad.model.embedding_sets.as_stored`.
        recommenders: name of the set -> recommender.
        config: settings of the training run, as JSON values.
        parts: name of the set -> parts of its embeddings, see `tpad.model.parts`.
        tuned: name of the set -> tuned settings of its recommender, as JSON values.
        seeds: seeds of the training run; by default `config["seed"]`.
        base: the base model, {"path": …} or {"hub_id": …, "revision": …}, or {} if there is none; by
            default the folder `base` that the encoder writes. The model card also shows its "name" and
            "family", and whether it "sees" pictures.
        extra_files: relative path in the bundle -> file or folder to copy.
        card: text of the model card; by default one without results.

    Returns:
        The folder.

    Raises:
        ConfigError: the folder contains something other than a bundle.
        BundleError: embeddings or recommenders are missing, or do not match the items.
    """
    from tpad.model.session.saving import save_recommender

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
        "parts": {name: dict(sizes) for name, sizes in (parts or {}).items()},
        "tuned": {name: dict(found) for name, found in (tuned or {}).items()},
        "base": {"path": "base"} if base is None else dict(base),
    }
    with replacing_folder(folder) as part:
        encoder.save(part)
        dataset.save(part)
        _copy_pictures(dataset, part, info["dataset"]["image_root"])
        for kind in ("embeddings", "recommenders"):
            (part / kind).mkdir()
        for name, vectors in embeddings.items():
            write_embeddings(part / set_file("embeddings", name), name, vectors)
            save_recommender(recommenders[name], part / set_file("recommenders", name))
        for name, source in (extra_files or {}).items():
            _copy(Path(source), safe_path(part, name))
        (part / CARD_FILE).write_text(card or model_card(info), "utf-8")
        write_info(part, info)
        check_files(part, read_info(part), "fast")
    return folder


def export_bundle(
    bundle: Bundle,
    folder: str | Path,
    *,
    sets: Sequence[str] | None = None,
    sessions: bool = True,
) -> Path:
    """Write a self-contained copy of a bundle, after checking all of its files.

    Args:
        bundle: the bundle to copy.
        folder: the folder of the copy; an existing bundle is replaced, anything else is an error.
        sets: embedding sets to copy, at least one; None for all.
        sessions: whether to copy the sessions of the shoppers. Without them, recommenders work without
            session neighbours. The number of clicks of each item is copied in any case.

    Raises:
        ConfigError: there is no such set, or the folder contains something other than a bundle.
        BundleError: a file is missing or was changed.
    """
    folder = Path(folder)
    keep = bundle.sets if sets is None else tuple(name for name in bundle.sets if name in sets)
    unknown = [name for name in sets or () if name not in bundle.sets]
    if unknown or not keep:
        raise ConfigError(
            f"{bundle.path} has no embedding set {', '.join(unknown) or '(none given)'}; "
            f"choose from {', '.join(bundle.sets)}."
        )
    check_target(folder)
    if folder.resolve() == bundle.path.resolve():
        raise ConfigError(f"{folder} is the bundle itself; choose another folder.")
    check_files(bundle.path, bundle.info, "full")
    dropped = {
        set_file(kind, name)
        for kind in ("embeddings", "recommenders")
        for name in set(bundle.sets) - set(keep)
    }
    with replacing_folder(folder) as part:
        for name in bundle.info["checksums"].keys() - dropped:
            _copy(safe_path(bundle.path, name), part / name)
        if (bundle.path / CARD_FILE).is_file():
            _copy(bundle.path / CARD_FILE, part / CARD_FILE)
        if not sessions:
            _drop_sessions(bundle, part, keep)
        by_set = {
            key: {k: v for k, v in bundle.info.get(key, {}).items() if k in keep}
            for key in ("parts", "tuned")
        }
        write_info(part, {**bundle.info, "sets": list(keep), **by_set})
        check_files(part, read_info(part), "full")
    return folder


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
    """Folder in the bundle that the pictures are relative to, so that their names need no change."""
    images = [name for name in dataset.items[Columns.IMAGE] if name]
    return "" if all(name.startswith(f"{IMAGES}/") for name in images) else IMAGES


def _copy_pictures(dataset: Dataset, folder: Path, root: str) -> None:
    """Copy all pictures that exist."""
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


def _drop_sessions(bundle: Bundle, part: Path, sets: Sequence[str]) -> None:
    """Remove the sessions from a copy, and store the number of clicks of each item.

    Session neighbours are the training sessions, so the recommenders of the copy work without them.
    """
    from tpad.model.session.saving import save_recommender

    for name in sets:
        model = bundle.recommenders[name]
        if model.neighbours is not None:
            save_recommender(model.without_neighbours(), part / set_file("recommenders", name))
    dataset = bundle.dataset
    none = Sessions(np.zeros(0, object), [], np.zeros(0, np.int64))
    Dataset(dataset.items, dataset.image_root, none, none, none).save(part)
    clicks = pd.DataFrame({Columns.ITEM_ID: dataset.items[Columns.ITEM_ID]})
    clicks[CLICKS] = bundle.popularity
    clicks.to_parquet(part / POPULARITY_FILE, index=False)


def _git_commit() -> str | None:
    """Git commit of the package's checkout; None if the package was installed otherwise."""
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
