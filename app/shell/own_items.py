"""Keeps the items that visitors add, for a limited time and under keys that cannot be guessed."""

import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.shell.session import Element

OWN = "upload:"
"""Prefix of the keys of visitors' own items."""
MAX_ITEMS = 128  # of all visitors; the oldest are dropped first


class OwnItems:
    """The items that visitors have added, so that a reloaded page finds them again.

    Args:
        keep_seconds: how long an item is kept.
    """

    def __init__(self, keep_seconds: float) -> None:
        self.keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Element]] = OrderedDict()

    def keep(self, element: "Element") -> "Element":
        """Keep an element under its key; returns the element."""
        with self._lock:
            self._kept[element.key] = time.monotonic() + self.keep_seconds, element
            while len(self._kept) > MAX_ITEMS:
                self._kept.popitem(last=False)
            self._forget()
        return element

    def get(self, key: str) -> "Element | None":
        """The element of a key; None if it has expired."""
        with self._lock:
            self._forget()
            found = self._kept.get(key)
        return None if found is None else found[1]

    def _forget(self) -> None:
        now = time.monotonic()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)


def new_key() -> str:
    """A new key for a visitor's own item."""
    return OWN + secrets.token_urlsafe(12)
