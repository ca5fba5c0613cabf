"""Downloads the pictures of an item table from their web addresses; see `fetch_pictures`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
