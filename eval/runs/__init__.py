"""Runs: fits and evaluates models, stores the results, and selects and compares stored runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
