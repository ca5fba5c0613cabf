"""Processors of the supported families, loaded for pictures alone, with or without torchvision.

Transformers' own loading asks for video processors, which need torchvision, even where no video is
read. `ProcessorMixin.get_attributes()` takes the parts to load from the signature of `__init__`, so
a subclass without a video processor loads, saves and loads again. Its class keeps the public name,
which is what gets written into `processor_config.json`.

Pictures always go through the Pillow image processors: the torchvision ones resample a little
differently, and features must not depend on what else is installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoTokenizer
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor as _Qwen2_5
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor as _Qwen3
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor as _SmolVLM
from transformers.processing_utils import ProcessorMixin

from tpad.errors import ImageError, ModelError


class Qwen2_5_VLProcessor(_Qwen2_5):
    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
        super().__init__(image_processor, tokenizer, None, chat_template)


class Qwen3VLProcessor(_Qwen3):
    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
        super().__init__(image_processor, tokenizer, None, chat_template)


class SmolVLMProcessor(_SmolVLM):
    def __init__(self, image_processor, tokenizer, image_seq_len=169, chat_template=None, **_):
        # The parent's __init__ demands a package for writing out numbers of video frames.
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        self.fake_image_token = getattr(tokenizer, "fake_image_token", "<fake_token_around_image>")
        self.end_of_utterance_token = getattr(
            tokenizer, "end_of_utterance_token", "<end_of_utterance>"
        )
        self.global_image_token = getattr(tokenizer, "global_image_token", "<global-img>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.image_seq_len = image_seq_len
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    # The parent's version asks its video processor for a frame rate.
    apply_chat_template = ProcessorMixin.apply_chat_template


FAMILIES: dict[str, type[ProcessorMixin]] = {
    "idefics3": Idefics3Processor,
    "smolvlm": SmolVLMProcessor,
    "llava": LlavaProcessor,
    "qwen2_5_vl": Qwen2_5_VLProcessor,
    "qwen3_vl": Qwen3VLProcessor,
}
"""Supported values of `model_type` in a checkpoint's config, with the processor class."""


def is_qwen(family: str) -> bool:
    """Whether pictures keep their own grid of tokens, placed by three-dimensional positions."""
    return family.startswith("qwen")


def load_processor(path: str | Path, family: str, **hub: Any) -> ProcessorMixin:
    """The processor of a checkpoint.

    Args:
        path: folder or hub id.
        family: one of `FAMILIES`.
        **hub: revision, local_files_only and the like, as in `from_pretrained`.
    """
    cls = FAMILIES[family]
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **hub)
    image_processor = AutoImageProcessor.from_pretrained(
        path, trust_remote_code=False, backend="pil", **hub
    )
    settings, _ = cls.get_processor_dict(path, **hub)
    processor = cls.from_args_and_dict([image_processor, tokenizer], settings)
    if not processor.chat_template:
        processor.chat_template = getattr(tokenizer, "chat_template", None)
    if not processor.chat_template:
        raise ModelError(f"The model {path} has no chat template; use an instruction-tuned one.")
    return processor


@dataclass
class Pixels:
    """Preprocessed pictures, as the vision tower takes them.

    Attributes:
        tensors: arguments of the model's `get_image_features`.
        expansions: per picture, what stands for it in the prompt: as many image tokens as it has,
            with the tokens around them.
    """

    tensors: dict[str, torch.Tensor]
    expansions: list[str]

    @property
    def grids(self) -> torch.Tensor | None:
        """Qwen: (n, 3) frames, rows and columns of patches of each picture."""
        return self.tensors.get("image_grid_thw")

    def to(self, device: torch.device) -> "Pixels":
        return Pixels({k: v.to(device) for k, v in self.tensors.items()}, self.expansions)


def preprocess(processor: ProcessorMixin, images: Sequence[Image.Image]) -> Pixels:
    """Pictures as tensors, through the model's own image processor."""
    pictures = [presentable(image) for image in images]
    nested = isinstance(processor, Idefics3Processor | _SmolVLM)
    kwargs = {"return_row_col_info": True} if nested else {}
    inputs = processor.image_processor(
        [[picture] for picture in pictures] if nested else pictures, return_tensors="pt", **kwargs
    )
    expansions = [processor.replace_image_token(inputs, n) for n in range(len(pictures))]
    names = ("pixel_values", "pixel_attention_mask", "image_grid_thw")
    return Pixels({name: inputs[name] for name in names if name in inputs}, expansions)


def presentable(image: Image.Image) -> Image.Image:
    """RGB, and no thinner than 1:20, by white margins: image processors refuse less."""
    if not isinstance(image, Image.Image):
        raise ImageError(f"Expected a PIL image, got {type(image).__name__}; open the file first.")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(canvas, image)
    image = image.convert("RGB")
    width, height = image.size
    least = max(8, (max(width, height) + 19) // 20)
    if min(width, height) < least:
        image = ImageOps.pad(image, (max(width, least), max(height, least)), color="white")
    return image
