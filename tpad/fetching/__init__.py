"""Fetching the pictures of an item table from their addresses: see `fetch_pictures`."""

from typing import TYPE_CHECKING

from tpad.lazy import lazy_names

if TYPE_CHECKING:
    from tpad.fetching.config import FetchConfig
    from tpad.fetching.fetch import FetchReport, fetch_pictures

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "config": ("FetchConfig",),
        "fetch": ("FetchReport", "fetch_pictures"),
    },
)

__all__ = ["FetchConfig", "FetchReport", "fetch_pictures"]
