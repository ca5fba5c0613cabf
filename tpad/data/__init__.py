"""Items and sessions: reads them from tables, checks them, and splits them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
