"""Names that a package imports when they are first used.

A package that imports its own modules when it is imported itself fails as soon as two threads import
it at once: one thread holds the package and waits for a module, the other holds that module and waits
for the package, and Python breaks the deadlock with an ImportError. So no package here does it.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from sys import modules
from typing import Any


def lazy_names(
    package: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names come from its modules.

    Args:
        package: its `__name__`.
        names: module inside the package -> names that are taken from it.
    """
    home = {name: f"{package}.{module}" for module, own in names.items() for name in own}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home[name]), name)
        setattr(modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(modules[package]), *home})

    return get, listed
