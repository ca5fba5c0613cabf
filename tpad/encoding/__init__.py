"""Encoding a large catalogue in shards: many processes, bounded memory, safe to kill and go on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
