"""A forward pass through the vision tower and the connector."""

from typing import Any

import torch

from tpad.mllm.image_cache import ImageCache
from tpad.mllm.processors import Pixels, is_qwen_vl
from tpad.mllm.resolution import RESIZABLE_TOWERS


def run_vision(model: Any, pixels: Pixels) -> ImageCache:
    """Run the vision tower and the connector on preprocessed images.

    Gradients flow if they are enabled.

    Args:
        model: the Hugging Face model.
        pixels: the images, on the model's device.
    """
    options = {}
    config, family = model.config.vision_config, model.config.model_type
    if family == "llava" and config.model_type in RESIZABLE_TOWERS:
        resized = pixels.tensors["pixel_values"].shape[-1] != config.image_size
        options["interpolate_pos_encoding"] = resized
    outputs = model.model.get_image_features(**pixels.tensors, **options, return_dict=True)
    tokens = list(outputs.pooler_output)  # n tensors of shape (tokens, d)
    patches = outputs.last_hidden_state
    if is_qwen_vl(family):  # (all patches, d_vision)
        sizes = pixels.tensors["image_grid_thw"].prod(-1).tolist()
        tower = torch.stack([part.mean(0) for part in patches.split(sizes)])
    else:  # (tiles, patches, d_vision); an image has one tile or more, all with as many tokens
        per_tile = sum(map(len, tokens)) // len(patches)
        sizes = [len(part) // per_tile for part in tokens]
        tower = torch.stack([part.mean(0) for part in patches.mean(1).split(sizes)])
    deepstack = getattr(outputs, "deepstack_features", None) or ()
    return ImageCache(
        torch.cat(tokens),
        torch.tensor([len(part) for part in tokens]),
        tower,
        pixels.expansions,
        None if pixels.grids is None else pixels.grids.cpu(),
        tuple(torch.cat(list(extra)) for extra in deepstack),
    )
