from .adapters import LoraSettings as LoraSettings
from .batches import Batch as Batch, Output as Output
from .features import ImageCache as ImageCache, ItemFeatures as ItemFeatures
from .model import MLLM as MLLM
from .processors import FAMILIES as FAMILIES
from .prompts import Conversation as Conversation, ItemInput as ItemInput, Turn as Turn
from .settings import ModelSettings as ModelSettings
