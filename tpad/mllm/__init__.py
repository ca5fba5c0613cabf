"""Any Hugging Face vision-language model behind one small class: load, prompt, encode."""

import logging
from typing import TYPE_CHECKING

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

from tpad.lazy import lazy_names

if TYPE_CHECKING:
    from tpad.mllm.adapters import LoraSettings
    from tpad.mllm.batches import Batch, Output
    from tpad.mllm.features import ImageCache, ItemFeatures
    from tpad.mllm.model import MLLM
    from tpad.mllm.processors import FAMILIES
    from tpad.mllm.prompts import Conversation, ItemInput, Turn
    from tpad.mllm.settings import ModelSettings

# Where bitsandbytes is installed it asks, as soon as PEFT imports it, for a package not used here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "adapters": ("LoraSettings",),
        "batches": ("Batch", "Output"),
        "features": ("ImageCache", "ItemFeatures"),
        "model": ("MLLM",),
        "processors": ("FAMILIES",),
        "prompts": ("Conversation", "ItemInput", "Turn"),
        "settings": ("ModelSettings",),
    },
)

__all__ = [
    "FAMILIES",
    "MLLM",
    "Batch",
    "Conversation",
    "ImageCache",
    "ItemFeatures",
    "ItemInput",
    "LoraSettings",
    "ModelSettings",
    "Output",
    "Turn",
]
