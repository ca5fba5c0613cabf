"""Splits of a dataset: how they are made, saved, and checked for leaks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
