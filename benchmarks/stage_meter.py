"""Seconds and peak memory of the stages of a process, for benchmarks."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Meter:
    """Seconds and MiB by stage; a stage that runs twice adds up its time, and has its larger peak.

    Args:
        clock: what seconds are taken from.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.found: dict[str, tuple[float, float]] = {}
        self._open: list[float] = []  # highest use so far of the stages that are running

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a block; blocks may lie within each other."""
        give_back()
        self._look()
        before = resident() if can_reset() else peak()
        self._open.append(before)
        begin = self.clock()
        yield
        seconds = self.clock() - begin
        self._look()
        used = self._open.pop() - before
        known = self.found.get(name, (0.0, 0.0))
        self.found[name] = known[0] + seconds, max(known[1], used)
        print(f"  {name:<36}{seconds:>10.3f} s{used:>10.1f} MiB", file=sys.stderr, flush=True)

    def wrap(self, name: str, call: Callable) -> Callable:
        """A function as a stage."""

        def measured(*args: Any, **named: Any) -> Any:
            with self.stage(name):
                return call(*args, **named)

        return measured

    def _look(self) -> None:
        now = peak()
        self._open = [max(one, now) for one in self._open]
        if can_reset():
            Path("/proc/self/clear_refs").write_text("5")


def can_reset() -> bool:
    """Whether the peak of this process can be set back."""
    return os.access("/proc/self/clear_refs", os.W_OK)


def peak() -> float:
    """Most MiB that this process held since the peak was reset, or since it began."""
    if can_reset():
        return _status("VmHWM")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def resident() -> float:
    """MiB that this process holds; 0 where that cannot be told."""
    with suppress(OSError):
        return _status("VmRSS")
    return 0.0


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**10


def give_back() -> None:
    """Returns freed memory to the system, or else the next stage would get it for nothing."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
