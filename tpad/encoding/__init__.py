"""Encoding a large catalogue in shards: many processes, bounded memory, safe to kill and go on."""

from tpad.encoding.run import Summary, encode_table
from tpad.encoding.shards import Shards, read_shards

__all__ = ["Shards", "Summary", "encode_table", "read_shards"]
