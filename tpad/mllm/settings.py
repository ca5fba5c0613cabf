"""How a checkpoint is loaded, how pictures are shown to it, and where adapters sit."""

from dataclasses import asdict, fields
from typing import Any, Literal

from tpad.settings import Count, settings


@settings
class ModelSettings:
    """Settings of the base model; a bundle records them, and is opened with the same ones.

    Without any, a picture is read as the checkpoint says, but Idefics3 and SmolVLM without tiles, and
    Qwen with at most `tpad.mllm.resolution.DEFAULT_MAX_PIXELS`.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """"auto", "float32", "bfloat16" or "float16": what is computed in; see `MLLM`."""
    load_in_4bit: bool = False
    """Whether the language model's weights are held in 4 bits (NF4, by bitsandbytes)."""
    gradient_checkpointing: bool = False
    """Whether training keeps each layer's input alone and computes the rest again: less memory, a third
    more time, the same gradients."""
    max_pixels: Count | None = None
    """Pictures are shrunk to at most this many pixels."""
    visual_tokens: Count | None = None
    """Pictures are shrunk until the language model reads at most this many tokens of each (a very thin
    picture may take a few more in Qwen). In place of `max_pixels`."""
    split_images: bool = False
    """Idefics3, SmolVLM: large pictures are cut into tiles, each with its own tokens."""
    lora_targets: str = "auto"
    """Which modules adapters sit on: a regular expression that matches whole module names; "auto" for
    the projections of the language model."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def changes(self) -> list[list[Any]]:
        """Name and value of each setting that is not the default and changes what the model gives."""
        values = [(f.name, f.default, getattr(self, f.name)) for f in fields(self)]
        return [
            [name, value]
            for name, default, value in values
            if value != default and name != "gradient_checkpointing"
        ]
