"""Any Hugging Face vision-language model behind one small class: load, prompt, encode."""

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
