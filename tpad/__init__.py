"""TPAD: recommends the next item of a session from pictures and texts, also of unclicked items.

    import tpad
    recommender = tpad.load("assets/demo")
    recommender.recommend(["item-0001", "item-0044"], k=10)

Names are imported when they are first used, as PyTorch takes seconds to start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tpad.errors import (
    BundleError,
    ConfigError,
    DataError,
    ImageError,
    ModelError,
    TpadError,
)
from tpad.version import __version__

if TYPE_CHECKING:
    from tpad.bundle import Bundle
    from tpad.data import Cases, Dataset, Sessions
    from tpad.items import NewItem
    from tpad.recommender import Recommender, load

_LAZY = {
    "Bundle": "tpad.bundle",
    "Cases": "tpad.data",
    "Dataset": "tpad.data",
    "NewItem": "tpad.items",
    "Recommender": "tpad.recommender",
    "Sessions": "tpad.data",
    "load": "tpad.recommender",
}

__all__ = [
    "Bundle",
    "BundleError",
    "Cases",
    "ConfigError",
    "DataError",
    "Dataset",
    "ImageError",
    "ModelError",
    "NewItem",
    "Recommender",
    "Sessions",
    "TpadError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
