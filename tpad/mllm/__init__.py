"""Any Hugging Face vision-language model behind one small class: load, prompt, encode."""

import logging

import lazy_loader

# Transformers loads its modules when their names are first asked for, and these import each other in
# circles, which fails where two threads do it at once. So one thread, which holds the lock of this
# package, loads what the modules here and PEFT need before any of them asks for it.
from transformers import (  # noqa: F401
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
)

# Where bitsandbytes is installed it asks, as soon as PEFT imports it, for a package not used here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
