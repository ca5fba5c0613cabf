from .run import Summary as Summary, encode_table as encode_table
from .shards import Shards as Shards, read_shards as read_shards
