"""Fetching the pictures of an item table from their addresses: see `fetch_pictures`."""

from tpad.fetching.config import FetchConfig
from tpad.fetching.fetch import FetchReport, fetch_pictures

__all__ = ["FetchConfig", "FetchReport", "fetch_pictures"]
