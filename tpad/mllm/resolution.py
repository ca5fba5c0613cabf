"""Set the resolution of images, which determines how many tokens each takes."""

from math import isqrt
from typing import Any

from tpad.errors import ConfigError, ModelError
from tpad.mllm.hugging_face import PreTrainedConfig, ProcessorMixin
from tpad.mllm.settings import ModelSettings

DEFAULT_MAX_PIXELS = 128 * 28 * 28
"""Qwen: larger images are resized to this many pixels, about 128 tokens."""

MAX_EDGE = 4_096
"""Most pixels along an edge that an image is resized or padded to."""

RESIZABLE_TOWERS = ("clip_vision_model", "siglip_vision_model")
"""LLaVA: vision towers that can interpolate their position embeddings."""


def set_resolution(
    processor: ProcessorMixin, config: PreTrainedConfig, settings: ModelSettings
) -> None:
    """Set the resolution of images in the processor. Calling it twice changes nothing.

    Args:
        processor: changed in place.
        config: of the model.
        settings: `max_pixels` or `visual_tokens`, and `split_images`.

    Raises:
        ConfigError: the family does not support a setting.
    """
    family = config.model_type
    if settings.max_pixels is not None and settings.visual_tokens is not None:
        raise ConfigError("max_pixels and visual_tokens set the same thing; leave one of them out.")
    for name in ("max_pixels", "visual_tokens"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}.")
    if family in ("idefics3", "smolvlm"):
        _set_tiles(processor, config, settings)
        return
    if settings.split_images:
        raise ConfigError(
            f"Only Idefics3 and SmolVLM split pictures into tiles, but this model is of the family "
            f"{family!r}; leave out split_images."
        )
    if family == "llava":
        _set_crop(processor, config, settings)
    else:
        _set_area(processor, settings)


def refuse_resolution(settings: ModelSettings) -> None:
    """Refuse settings of pictures for a model that sees none.

    Raises:
        ConfigError: one of them is set.
    """
    for name in ("max_pixels", "visual_tokens", "split_images"):
        if getattr(settings, name):
            raise ConfigError(f"This base model is text-only; leave out {name}.")


def check_edges(images: Any, subject: str) -> None:
    """Reject an image processor that makes images far larger than any model reads.

    Args:
        images: the image processor, after `set_resolution`. For Qwen, whose sizes are numbers of
            pixels, `set_resolution` has set them.
        subject: names it in an error message.

    Raises:
        ModelError: an edge is not a whole number of pixels up to `MAX_EDGE`.
    """
    counts_pixels = hasattr(images, "merge_size")
    for name in ("size", "crop_size", "max_image_size", "pad_size"):
        edges = getattr(images, name, None)
        if edges is None or (counts_pixels and name == "size"):
            continue
        for edge, value in (
            {"edge": edges}.items() if isinstance(edges, int) else dict(edges).items()
        ):
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_EDGE):
                raise ModelError(
                    f"{subject} sets {name} ({edge}) to {value!r}; it must be a number of pixels up to "
                    f"{MAX_EDGE:,}."
                )


def _set_area(processor: Any, settings: ModelSettings) -> None:
    """Qwen: any size that is a multiple of the size of a token."""
    images = processor.image_processor
    edge = images.patch_size * images.merge_size
    limit = settings.max_pixels or DEFAULT_MAX_PIXELS
    if settings.visual_tokens is not None:
        limit = settings.visual_tokens * edge**2
    if limit < edge**2:
        raise ConfigError(
            f"max_pixels is {limit}, but one token of this model covers {edge}×{edge} pixels; "
            f"set it to at least {edge**2}."
        )
    shortest = images.size["shortest_edge"]
    images.size = {"shortest_edge": min(shortest, limit), "longest_edge": limit}


def _set_tiles(processor: Any, config: Any, settings: ModelSettings) -> None:
    """Idefics3, SmolVLM: one square tile of the native size or smaller, or many of the native size."""
    images, vision = processor.image_processor, config.vision_config
    images.do_image_splitting = settings.split_images
    if settings.split_images:
        tile, tokens = images.max_image_size["longest_edge"], processor.image_seq_len
        side = None  # number of tiles along an edge
        if settings.visual_tokens is not None:
            side = isqrt(max(settings.visual_tokens // tokens - 1, 0))  # one is the whole image
        elif settings.max_pixels is not None:
            side = isqrt(settings.max_pixels) // tile
        if side is not None and side < 2:
            raise ConfigError(
                f"In tiles, a picture takes at least {(2 * tile) ** 2} pixels and {5 * tokens} "
                "tokens of this model; allow as many, or leave out split_images."
            )
        if side is not None:
            images.size = {"longest_edge": side * tile}
        return
    edge = images.max_image_size["longest_edge"]
    unit = vision.patch_size * config.scale_factor  # pixels along a token's edge
    side = _side(settings, unit, vision.image_size, "; set split_images for more")
    if side is not None:
        edge = vision.image_size if side == vision.image_size // unit else side * unit
        images.max_image_size = {"longest_edge": edge}
        processor.image_seq_len = side**2
    # Resize once, directly to the size of the tile.
    images.size = {"longest_edge": edge}


def _set_crop(processor: Any, config: Any, settings: ModelSettings) -> None:
    """LLaVA: one square crop of the native size, or smaller if the tower can interpolate positions."""
    vision = config.vision_config
    if settings.max_pixels is None and settings.visual_tokens is None:
        return
    if vision.model_type not in RESIZABLE_TOWERS:
        raise ConfigError(
            f"A LLaVA model with a vision tower of the type {vision.model_type!r} reads pictures of "
            "one size only; leave out max_pixels and visual_tokens."
        )
    side = _side(settings, vision.patch_size, vision.image_size, "")
    assert side is not None
    images, edge = processor.image_processor, side * vision.patch_size
    square = {"height": edge, "width": edge}
    images.size = {"shortest_edge": edge} if "shortest_edge" in images.size else square
    if getattr(images, "crop_size", None) is not None:
        images.crop_size = square


def _side(settings: ModelSettings, unit: int, native: int, hint: str) -> int | None:
    """The number of tokens along the edge of a square image; None if nothing is set.

    Args:
        settings: `max_pixels` or `visual_tokens`.
        unit: pixels along the edge of a token.
        native: pixels along the edge of the largest image.
        hint: completes the error message.

    Raises:
        ConfigError: the model cannot read an image of that size.
    """
    budget = settings.visual_tokens
    if settings.max_pixels is not None:
        budget = settings.max_pixels // unit**2
    if budget is None:
        return None
    most = native // unit
    if not 1 <= budget <= most**2:
        if settings.max_pixels is not None and budget and settings.max_pixels <= native**2:
            return most  # the native size is not a multiple of the token size
        raise ConfigError(
            f"This model reads one picture as 1 to {most**2} tokens, {unit}×{unit} to "
            f"{native}×{native} pixels; choose a value in this range{hint}."
        )
    return isqrt(budget)
