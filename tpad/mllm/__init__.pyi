from .adapters import LoraSettings as LoraSettings
from .batches import Batch as Batch, Output as Output
from .collator import collate as collate
from .features import (
    ItemFeatures as ItemFeatures,
    encode_images as encode_images,
    encode_items as encode_items,
)
from .generation import generate as generate
from .image_cache import ImageCache as ImageCache
from .model import MLLM as MLLM
from .processors import FAMILIES as FAMILIES
from .prompts import Conversation as Conversation, ItemInput as ItemInput, Turn as Turn
from .scoring import score_answers as score_answers
from .settings import ModelSettings as ModelSettings
