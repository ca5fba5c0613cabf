"""Any Hugging Face vision-language model behind one small class: load, prompt, encode."""

# ruff: noqa: E402
import logging

# Where bitsandbytes is installed it asks, as soon as PEFT imports it, for a package not used here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

from tpad.mllm.adapters import LoraSettings
from tpad.mllm.batches import Batch, Output
from tpad.mllm.features import ImageCache, ItemFeatures
from tpad.mllm.model import MLLM
from tpad.mllm.processors import FAMILIES
from tpad.mllm.prompts import Conversation, ItemInput, Turn
from tpad.mllm.settings import ModelSettings

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
