"""How many tokens stand for a picture: a processor writes them, and the model decides their number.

Files of processors often lack the settings that the number depends on, and then a default of another
model is taken. So these settings are taken from the model, and the number is compared once.
"""

from typing import TYPE_CHECKING, Any

from PIL import Image
from transformers import PreTrainedConfig
from transformers.processing_utils import ProcessorMixin

from tpad.errors import ModelError, one_line
from tpad.mllm.processors import is_qwen

if TYPE_CHECKING:
    from tpad.mllm.model import MLLM

_PROBE = (96, 64)  # pixels; not square, as most pictures are not


def follow_model(processor: ProcessorMixin, config: PreTrainedConfig) -> None:
    """Sets in a processor what the number of image tokens depends on, as the model has it.

    To be called before the resolution is set; doing it again changes nothing.

    Args:
        processor: changed in place.
        config: of the model.

    Raises:
        ModelError: the processor writes pictures as another token than the model reads.
    """
    _check_image_token(processor, config)
    if is_qwen(config.model_type):
        _follow_merging(processor, config)
    elif config.model_type == "llava":
        _follow_tower(processor, config)
    else:
        _follow_connector(processor, config)


def check_image_tokens(mllm: "MLLM", whose: str) -> None:
    """Reads one picture and compares how many tokens the model makes of it and the processor writes.

    A LLaVA processor learns here how many tokens besides those of patches the vision tower gives.

    Args:
        mllm: the model with its processor.
        whose: names the model, as the subject of a sentence.

    Raises:
        ModelError: the numbers differ, or the vision tower cannot read what the processor prepares.
    """
    try:
        cache = mllm.image_features([Image.new("RGB", _PROBE, "grey")])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ModelError(
            f"{whose} cannot read pictures as its processor prepares them ({one_line(error)}); take model and "
            "processor files from one checkpoint."
        ) from error
    made = int(cache.counts[0])
    written = cache.expansions[0].count(mllm.processor.image_token)
    if mllm.family == "llava" and made != written:
        mllm.processor.num_additional_image_tokens += made - written
        written = made if mllm.processor.num_additional_image_tokens >= 0 else written
    if made != written:
        raise ModelError(
            f"{whose} makes {made} tokens of a picture, but its processor writes {written}; take "
            "model and processor files from one checkpoint."
        )


def _check_image_token(processor: Any, config: Any) -> None:
    token, wanted = processor.image_token, config.image_token_id
    found = processor.tokenizer.convert_tokens_to_ids(token)
    if found != wanted:
        raise ModelError(
            f"The processor of {config.name_or_path} writes pictures as token {found} ({token}), but the "
            f"model reads token {wanted} as a picture; take all files from one checkpoint."
        )


def _follow_merging(processor: Any, config: Any) -> None:
    """Qwen: a token is a square of merged patches."""
    images, vision = processor.image_processor, config.vision_config
    images.patch_size = vision.patch_size
    images.temporal_patch_size = vision.temporal_patch_size
    images.merge_size = vision.spatial_merge_size


def _follow_tower(processor: Any, config: Any) -> None:
    """LLaVA: a token is a patch; `check_image_tokens` finds how many there are besides."""
    patch = getattr(config.vision_config, "patch_size", None)
    if not isinstance(patch, int):  # a tower without patches: the whole picture is one
        images = processor.image_processor
        square = getattr(images, "crop_size", None) or images.size
        patch = square.get("height") or square.get("shortest_edge")
    processor.patch_size = patch
    processor.vision_feature_select_strategy = config.vision_feature_select_strategy


def _follow_connector(processor: Any, config: Any) -> None:
    """Idefics3, SmolVLM: a token is a square of patches of a tile."""
    images, vision = processor.image_processor, config.vision_config
    edge = images.max_image_size["longest_edge"]
    if edge > vision.image_size or edge // vision.patch_size % config.scale_factor:
        edge = vision.image_size  # the file names no size of tiles, and the default fits not
        images.max_image_size = {"longest_edge": edge}
    processor.image_seq_len = (edge // vision.patch_size // config.scale_factor) ** 2
