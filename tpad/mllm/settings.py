"""Settings of the base model: precision, resolution of images, and modules to adapt."""

from dataclasses import asdict, fields
from typing import Any, Literal

from tpad.settings import Count, settings


@settings
class ModelSettings:
    """Settings of the base model. A bundle stores them, and is opened with the same settings.

    By default, images have the resolution of the checkpoint, except that Idefics3 and SmolVLM do not
    split them into tiles, and that Qwen resizes them to at most
    `tpad.mllm.resolution.DEFAULT_MAX_PIXELS`.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """The precision: "auto", "float32", "bfloat16" or "float16"; see `MLLM`."""
    load_in_4bit: bool = False
    """Whether to load the language model's weights in 4 bits (NF4, with bitsandbytes)."""
    gradient_checkpointing: bool = False
    """Whether training stores only the input of each layer and recomputes the rest: less memory, a third
    more time, the same gradients."""
    max_pixels: Count | None = None
    """Resize larger images to this many pixels."""
    visual_tokens: Count | None = None
    """Resize images so that each takes at most this many tokens (in Qwen, a very thin one may take a few
    more). An alternative to `max_pixels`."""
    split_images: bool = False
    """Idefics3, SmolVLM: whether to split large images into tiles, each with its own tokens."""
    lora_targets: str = "auto"
    """The modules that adapters are added to: a regular expression that matches whole module names, or
    "auto" for the projections of the language model."""

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return asdict(self)

    @property
    def changes(self) -> list[list[Any]]:
        """Name and value of each setting that differs from the default and affects the model's output."""
        values = [(f.name, f.default, getattr(self, f.name)) for f in fields(self)]
        return [
            [name, value]
            for name, default, value in values
            if value != default and name != "gradient_checkpointing"
        ]
