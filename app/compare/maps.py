"""Two-dimensional maps of the catalogue, one per embedding set, computed once and stored."""

import hashlib
import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tpad.bundle import Bundle
from tpad.environment import variable
from tpad.errors import TpadError
from tpad.io.files import replacing

log = logging.getLogger("app")

if TYPE_CHECKING:
    from tpad.model.session.fitted import FittedSessionModel

VERSION = "1"  # of the projection; part of the file names
MAX_LAID_OUT = 4000  # by t-SNE; further items are placed beside their neighbours
COMPONENTS = 50  # of the PCA before t-SNE
PERPLEXITY = 30.0
NEIGHBOURS = 5  # that determine the place of a further item
CHUNK = 1024  # items placed at once


class Maps:
    """The maps of one bundle; each is computed in the background when it is first requested.

    Maps are stored in files, so that the next start finds them, and only in memory if no file can
    be written. Several processes may compute the same map; files are replaced atomically.

    Args:
        bundle: the bundle whose embeddings are laid out.
        folder: for the files; by default in the user's cache folder.
    """

    def __init__(self, bundle: Bundle, folder: Path | None = None) -> None:
        self.bundle, self.folder = bundle, folder or cache_folder()
        self._ready: dict[str, np.ndarray] = {}
        self._started: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()

    def points(self, name: str) -> np.ndarray | None:
        """The map of an embedding set, (n_items, 2) float32; None while it is being computed.

        The first call starts the computation.

        Raises:
            TpadError: the map could not be computed.
        """
        with self._lock:
            if name in self._failed:
                raise TpadError(self._failed[name])
            if name in self._ready or name in self._started:
                return self._ready.get(name)
            self._started[name] = time.monotonic()
        thread = threading.Thread(target=self._make, args=[name], name=f"map {name}", daemon=True)
        thread.start()
        thread.join(0.2)  # a stored map is ready at once
        return self._ready.get(name)

    def seconds(self, name: str) -> float:
        """For how long a map has been computed so far."""
        return time.monotonic() - self._started.get(name, time.monotonic())

    def place(self, name: str, vectors: np.ndarray) -> np.ndarray:
        """Where items that are not in the catalogue belong on a finished map: near their neighbours.

        Args:
            name: of the embedding set.
            vectors: (n, d), the items' embeddings.

        Returns:
            (n, 2) float32.
        """
        fitted, points = self.bundle.recommenders[name].network, self._ready[name]
        if not len(vectors):
            return np.zeros((0, 2), np.float32)
        return place_near_neighbours(fitted.standardised(vectors), _read(fitted), points)

    def _make(self, name: str) -> None:
        try:
            with self._one_at_a_time:
                fitted = self.bundle.recommenders[name].network
                path = self.folder / f"{fingerprint(self.bundle.info, name, fitted.features)}.npz"
                points = _from_file(path, fitted.n_items)
                if points is None:
                    points = project(_read(fitted))
                    _to_file(path, points)
            self._ready[name] = points
        except Exception as error:  # whatever it is, the page must not wait forever
            log.exception("The map of %s failed", name)
            known = str(error) if isinstance(error, TpadError) else "see the server's log"
            self._failed[name] = f"The map could not be computed: {known.removesuffix('.')}."


def cache_folder() -> Path:
    """The folder for maps in the user's cache; a temporary folder if there is no home folder."""
    named = variable("XDG_CACHE_HOME")
    try:
        return (Path(named) if named else Path.home() / ".cache") / "tpad" / "maps"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "tpad" / "maps"


def fingerprint(info: dict, name: str, features: np.ndarray) -> str:
    """Name of a map's file; it depends on dataset, embedding set, embeddings and projection."""
    digest = hashlib.sha256(f"{VERSION} {info['dataset']['fingerprint']} {name}".encode())
    digest.update(repr(features.shape).encode())
    digest.update(np.ascontiguousarray(features).tobytes())
    return digest.hexdigest()[:32]


def project(vectors: np.ndarray, most: int = MAX_LAID_OUT, seed: int = 0) -> np.ndarray:
    """Lay out vectors in two dimensions so that neighbours stay neighbours.

    This is t-SNE on the leading principal components. PCA alone is faster but preserves far fewer
    neighbours: on the demo's TPAD embeddings its trustworthiness (10 neighbours) is 0.82, that of
    t-SNE 0.99. Above `most` vectors, a random sample is laid out and the others are placed by
    `place_near_neighbours`.

    Args:
        vectors: (n, d), standardised.
        most: number of vectors that t-SNE lays out.
        seed: of the random sample and of t-SNE.

    Returns:
        (n, 2) float32, within [−1, 1]; the distances have no unit.
    """
    from sklearn.decomposition import PCA  # slow to import, and needed only for a new map
    from sklearn.manifold import TSNE

    n = len(vectors)
    if n < 5:  # too few for any neighbourhood
        angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    chosen = np.arange(n)
    if n > most:
        chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    sample = vectors[chosen].astype(np.float32)
    size = min(COMPONENTS, *sample.shape)
    reduced = PCA(size, svd_solver="randomized", random_state=seed).fit_transform(sample)
    layout = TSNE(
        init="pca" if size > 1 else "random",
        perplexity=min(PERPLEXITY, (len(sample) - 1) / 3),
        random_state=seed,
    ).fit_transform(reduced)
    layout -= (layout.max(0) + layout.min(0)) / 2
    layout /= max(float(np.abs(layout).max()), 1e-9)
    if len(chosen) == n:
        return layout.astype(np.float32)
    points = np.empty((n, 2), np.float32)
    points[chosen] = layout
    others = np.setdiff1d(np.arange(n), chosen)
    points[others] = place_near_neighbours(vectors[others], sample, layout)
    return points


def place_near_neighbours(vectors: np.ndarray, known: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mean of the points of each vector's nearest neighbours, weighted by nearness.

    Args:
        vectors: (m, d).
        known: (n, d), vectors that have a point.
        points: (n, 2).

    Returns:
        (m, 2) float32; a vector equal to a known one gets that one's point.
    """
    k = min(NEIGHBOURS, len(known))
    placed = np.empty((len(vectors), 2), np.float32)
    squares = np.einsum("nd,nd->n", known, known)
    for start in range(0, len(vectors), CHUNK):
        block = vectors[start : start + CHUNK]
        distances = squares - 2 * block @ known.T + np.einsum("nd,nd->n", block, block)[:, None]
        near = np.argpartition(distances, k - 1, axis=1)[:, :k]  # (m, k)
        distances = np.sqrt(np.clip(np.take_along_axis(distances, near, axis=1), 0, None))
        weights = 1 / np.maximum(distances, 1e-3) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        placed[start : start + CHUNK] = np.einsum("mk,mkc->mc", weights, points[near])
    return placed


def _read(fitted: "FittedSessionModel") -> np.ndarray:
    """The catalogue as the session model reads it, (n_items, d)."""
    return fitted.standardised(fitted.features)


def _from_file(path: Path, n_items: int) -> np.ndarray | None:
    """The points in a map's file; None if there is no usable file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            points = file["points"]
    except Exception:  # a damaged file may raise almost anything; it is replaced
        return None
    if points.shape != (n_items, 2) or points.dtype != np.float32 or not np.isfinite(points).all():
        return None
    return points


def _to_file(path: Path, points: np.ndarray) -> None:
    try:
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, points=points)
    except OSError as error:
        log.info("The map is kept in memory only (%s)", error)
