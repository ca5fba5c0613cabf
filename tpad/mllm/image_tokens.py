"""Make the processor write as many tokens for an image as the model makes of it.

Processor files often lack the settings that the number of tokens depends on, and transformers then
falls back on the defaults of another model. So these settings are taken from the model's config, and
the two numbers are compared once, when the model is loaded.
"""

from collections.abc import Callable
from typing import Any

from PIL import Image

from tpad.errors import ModelError, one_line
from tpad.mllm.hugging_face import PreTrainedConfig, ProcessorMixin
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.processors import Pixels, is_qwen_vl, preprocess

_PROBE = (96, 64)  # pixels; not square, like most images


def follow_model(processor: ProcessorMixin, config: PreTrainedConfig) -> None:
    """Set what the number of image tokens depends on to the model's values.

    Call it before `set_resolution`. Calling it twice changes nothing.

    Args:
        processor: changed in place.
        config: of the model.

    Raises:
        ModelError: the processor and the model use different image tokens.
    """
    _check_image_token(processor, config)
    if is_qwen_vl(config.model_type):
        _follow_merging(processor, config)
    elif config.model_type == "llava":
        _follow_tower(processor, config)
    else:
        _follow_connector(processor, config)


def check_image_tokens(
    processor: Any, family: str, run_vision: Callable[[Pixels], ImageCache], subject: str
) -> None:
    """Encode one image, and compare the number of its tokens with what the processor writes.

    For LLaVA, this sets how many tokens the vision tower adds to those of the patches.

    Args:
        processor: of the model.
        family: one of `FAMILIES`.
        run_vision: runs the vision tower of the model.
        subject: names the model in an error message.

    Raises:
        ModelError: the numbers differ, or the vision tower cannot read what the processor prepares.
    """
    try:
        cache = run_vision(preprocess(processor, [Image.new("RGB", _PROBE, "grey")]))
    except Exception as error:  # damaged files can raise anything
        raise ModelError(
            f"{subject} cannot read pictures as its processor prepares them ({one_line(error)}); take "
            "model and processor files from one checkpoint."
        ) from error
    made = int(cache.counts[0])
    written = cache.expansions[0].count(processor.image_token)
    if family == "llava" and made != written:
        processor.num_additional_image_tokens += made - written
        written = made if processor.num_additional_image_tokens >= 0 else written
    if made != written:
        raise ModelError(
            f"{subject} makes {made} tokens of a picture, but its processor writes {written}; take "
            "model and processor files from one checkpoint."
        )


def _check_image_token(processor: Any, config: Any) -> None:
    token, expected = processor.image_token, config.image_token_id
    found = processor.tokenizer.convert_tokens_to_ids(token)
    if found != expected:
        raise ModelError(
            f"The processor of {config.name_or_path} writes pictures as token {found} ({token}), but "
            f"the model reads token {expected} as a picture; take all files from one checkpoint."
        )


def _follow_merging(processor: Any, config: Any) -> None:
    """Qwen: a token is a square of merged patches."""
    images, vision = processor.image_processor, config.vision_config
    images.patch_size = vision.patch_size
    images.temporal_patch_size = vision.temporal_patch_size
    images.merge_size = vision.spatial_merge_size


def _follow_tower(processor: Any, config: Any) -> None:
    """LLaVA: a token is a patch; `check_image_tokens` finds the number of additional tokens."""
    patch = getattr(config.vision_config, "patch_size", None)
    if not isinstance(patch, int):  # a tower without patches: the whole image is one
        images = processor.image_processor
        square = getattr(images, "crop_size", None) or images.size
        patch = square.get("height") or square.get("shortest_edge")
    processor.patch_size = patch
    processor.num_additional_image_tokens = 0
    processor.vision_feature_select_strategy = config.vision_feature_select_strategy


def _follow_connector(processor: Any, config: Any) -> None:
    """Idefics3, SmolVLM: a token is a square of patches of a tile."""
    images, vision = processor.image_processor, config.vision_config
    edge = images.max_image_size["longest_edge"]
    if edge > vision.image_size or edge // vision.patch_size % config.scale_factor:
        edge = vision.image_size  # the file has no tile size, and the default does not fit
        images.max_image_size = {"longest_edge": edge}
    processor.image_seq_len = (edge // vision.patch_size // config.scale_factor) ** 2
