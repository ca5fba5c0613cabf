"""The compared models: which there are, how each is built and tuned, and where embeddings come from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
