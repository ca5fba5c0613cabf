"""TPAD: recommends the next item of a session from pictures and texts, also of unclicked items.

    import tpad
    recommender = tpad.load("assets/demo")
    recommender.recommend(["item-0001", "item-0044"], k=10)

These names are the public API. They are imported when they are first used, as PyTorch takes seconds
to start.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
