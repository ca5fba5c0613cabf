"""Items of the visitors' own, kept for a while under keys that nobody can guess."""

import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.shell.session import Element

OWN = "upload:"
"""Begins the key of an item of a visitor's own."""
MOST = 128  # items of all visitors; those that came first go first


class OwnItems:
    """Lets a visitor's reloaded page find the visitor's pictures again.

    Args:
        keep_seconds: how long an item is kept.
    """

    def __init__(self, keep_seconds: float) -> None:
        self.keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Element]] = OrderedDict()

    def keep(self, element: "Element") -> "Element":
        """Keep an element under its key, and give it back."""
        with self._lock:
            self._kept[element.key] = time.monotonic() + self.keep_seconds, element
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            self._forget()
        return element

    def get(self, key: str) -> "Element | None":
        """The element of a key; None if it is kept no longer."""
        with self._lock:
            self._forget()
            found = self._kept.get(key)
        return None if found is None else found[1]

    def _forget(self) -> None:
        now = time.monotonic()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)


def new_key() -> str:
    """A key for an item of a visitor's own."""
    return OWN + secrets.token_urlsafe(12)
