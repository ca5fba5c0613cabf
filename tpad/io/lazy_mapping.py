"""A mapping whose values are read at first access."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LazyMapping(Mapping[str, Value], Generic[Value]):
    """A mapping that reads each value at first access, once for all threads."""

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
