"""A cache that computes each value once, whoever asks first."""

import threading
from collections.abc import Callable, Hashable
from typing import Any


class Cache:
    """Values that are computed when they are first asked for, each by one thread."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def has(self, key: Hashable) -> bool:
        """Whether a value has been computed."""
        return key in self._values

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The value of a key; the first caller computes it, the others wait."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = compute()
            return self._values[key]
