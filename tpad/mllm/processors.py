"""The supported families and their processors, without their video processors.

Transformers also loads the video processor of a checkpoint, which needs torchvision, even if no video
is read. `ProcessorMixin.get_attributes()` takes the parts to load from the signature of `__init__`, so
a subclass whose `__init__` has no video processor can be loaded and saved without one. The subclass
keeps the public name, because the name is written into `processor_config.json`.

Images always go through the Pillow image processors. Those of torchvision resample slightly
differently, and features must not depend on which packages are installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

from tpad.errors import ImageError, ModelError
from tpad.mllm.hugging_face import (
    AutoImageProcessor,
    AutoTokenizer,
    Idefics3Processor,
    LlavaProcessor,
    ProcessorMixin,
    Qwen2_5_VLProcessor as _Qwen2_5,
    Qwen3VLProcessor as _Qwen3,
    SmolVLMProcessor as _SmolVLM,
)


class Qwen2_5_VLProcessor(_Qwen2_5):
    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
        super().__init__(image_processor, tokenizer, None, chat_template)


class Qwen3VLProcessor(_Qwen3):
    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
        super().__init__(image_processor, tokenizer, None, chat_template)


class SmolVLMProcessor(_SmolVLM):
    def __init__(self, image_processor, tokenizer, image_seq_len=169, chat_template=None, **_):
        # The __init__ of the parent needs a package that writes out the numbers of video frames.
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

    # The version of the parent needs a video processor.
    apply_chat_template = ProcessorMixin.apply_chat_template


FAMILIES: dict[str, type[ProcessorMixin] | None] = {
    "idefics3": Idefics3Processor,
    "smolvlm": SmolVLMProcessor,
    "llava": LlavaProcessor,
    "qwen2_5_vl": Qwen2_5_VLProcessor,
    "qwen3_vl": Qwen3VLProcessor,
    "llama": None,
    "qwen2": None,
    "qwen3": None,
    "smollm3": None,
    "gemma": None,
    "gemma2": None,
    "gemma3_text": None,
}
"""The processor class for each supported `model_type` in a checkpoint's config; None for a text-only
language model, whose processor is its tokenizer."""


def check_family(model_type: str, subject: str) -> str:
    """The family of a model.

    Raises:
        ModelError: the family is not supported.
    """
    if model_type not in FAMILIES:
        raise ModelError(
            f"{subject} is of the family {model_type!r}, which is not supported; "
            f"use one of {', '.join(FAMILIES)}."
        )
    return model_type


def sees(family: str) -> bool:
    """Whether models of a family see pictures."""
    return FAMILIES[family] is not None


def is_qwen_vl(family: str) -> bool:
    """Whether it is a Qwen-VL family, where image tokens form a grid with three-dimensional positions."""
    return family in ("qwen2_5_vl", "qwen3_vl")


def load_processor(path: str | Path, family: str, **hub: Any) -> Any:
    """Load the processor of a checkpoint, or the tokenizer of a text-only language model.

    Args:
        path: folder or hub id.
        family: one of `FAMILIES`.
        **hub: options of `from_pretrained`, such as revision and local_files_only.

    Raises:
        ModelError: a checkpoint that sees pictures has no chat template.
    """
    cls = FAMILIES[family]
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **hub)
    if cls is None:
        return tokenizer
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
    """Preprocessed images: the input of the vision tower.

    Attributes:
        tensors: arguments of the model's `get_image_features`.
        expansions: per image, the string that represents it in the prompt: its image tokens and the
            tokens around them.
    """

    tensors: dict[str, torch.Tensor]
    expansions: list[str]

    @property
    def grids(self) -> torch.Tensor | None:
        """Qwen: (n, 3) frames, rows and columns of patches of each image."""
        return self.tensors.get("image_grid_thw")

    def to(self, device: torch.device) -> "Pixels":
        return Pixels({k: v.to(device) for k, v in self.tensors.items()}, self.expansions)


def preprocess(processor: ProcessorMixin, images: Sequence[Image.Image]) -> Pixels:
    """Preprocess images with the model's own image processor.

    Raises:
        ImageError: an image is not a PIL image.
    """
    pictures = [normalise(image) for image in images]
    nested = isinstance(processor, Idefics3Processor | _SmolVLM)
    kwargs = {"return_row_col_info": True} if nested else {}
    inputs = processor.image_processor(
        [[picture] for picture in pictures] if nested else pictures, return_tensors="pt", **kwargs
    )
    expansions = [processor.replace_image_token(inputs, n) for n in range(len(pictures))]
    names = ("pixel_values", "pixel_attention_mask", "image_grid_thw")
    return Pixels({name: inputs[name] for name in names if name in inputs}, expansions)


def normalise(image: Image.Image) -> Image.Image:
    """Convert to RGB, and pad a very thin image with white: image processors reject it otherwise."""
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
