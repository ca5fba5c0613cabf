"""Encoding a large catalogue in shards: many processes, bounded memory, safe to kill and go on."""

from typing import TYPE_CHECKING

from tpad.lazy import lazy_names

if TYPE_CHECKING:
    from tpad.encoding.run import Summary, encode_table
    from tpad.encoding.shards import Shards, read_shards

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "run": ("Summary", "encode_table"),
        "shards": ("Shards", "read_shards"),
    },
)

__all__ = ["Shards", "Summary", "encode_table", "read_shards"]
