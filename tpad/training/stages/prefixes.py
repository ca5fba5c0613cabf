"""Prefixes of session windows, and the item that follows each prefix."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prefixes:
    """Session prefixes with their transition-aware features.

    Attributes:
        session: (n,) number of the window in `windows`.
        place: (n,) position of the prefix's last item in the window.
        target: (n,) row of the next item.
        features: (n, d) float32, feature t of each prefix.
        windows: the session windows.
    """

    session: np.ndarray
    place: np.ndarray
    target: np.ndarray
    features: np.ndarray
    windows: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.target)

    def prefix(self, n: int) -> np.ndarray:
        """Item rows of the n-th prefix."""
        return self.windows[self.session[n]][: self.place[n] + 1]


def places(windows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Session, place and target of all prefixes of some windows; see `Prefixes`."""
    lengths = np.array([len(window) - 1 for window in windows], dtype=np.int64)
    session = np.repeat(np.arange(len(windows)), lengths)
    place = np.concatenate([np.arange(n) for n in lengths]) if len(lengths) else lengths
    targets = [window[1:] for window in windows]
    target = np.concatenate(targets).astype(np.int64) if targets else lengths
    return session, place, target


def prefix_items(
    windows: list[np.ndarray], session: np.ndarray, place: np.ndarray
) -> list[np.ndarray]:
    """Item rows of the n prefixes that `places` returns."""
    return [windows[s][: p + 1] for s, p in zip(session.tolist(), place.tolist(), strict=True)]
