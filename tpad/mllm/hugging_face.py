"""What the project uses of Transformers and PEFT, imported in one place.

Transformers imports its modules lazily, and they import each other in cycles, which fails if two
threads do it at once. All other modules therefore import these names from here: the first thread
imports them all under the lock of this module, and the others wait for it.
"""

from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model_state_dict,
    prepare_model_for_kbit_training,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForTextEncoding,
    AutoTokenizer,
    BitsAndBytesConfig,
    DynamicCache,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor
from transformers.processing_utils import ProcessorMixin
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file
from transformers.utils.hub import extract_commit_hash

__all__ = [
    "SAFE_WEIGHTS_INDEX_NAME",
    "SAFE_WEIGHTS_NAME",
    "AutoConfig",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForImageTextToText",
    "AutoModelForTextEncoding",
    "AutoTokenizer",
    "BaseModelOutputWithPooling",
    "BitsAndBytesConfig",
    "DynamicCache",
    "GgufConfig",
    "Idefics3Processor",
    "LlavaProcessor",
    "LoraConfig",
    "LoraLayer",
    "PeftConfig",
    "PeftModel",
    "PreTrainedConfig",
    "PreTrainedModel",
    "ProcessorMixin",
    "Qwen2_5_VLProcessor",
    "Qwen3VLProcessor",
    "SmolVLMProcessor",
    "cached_file",
    "extract_commit_hash",
    "get_peft_model_state_dict",
    "prepare_model_for_kbit_training",
    "set_peft_model_state_dict",
]
