"""Items and sessions: reading them from tables, checking them, and splitting them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
