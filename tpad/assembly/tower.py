"""Takes the vision tower of a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tpad.errors import ModelError, shown
from tpad.mllm.bounds import check_size
from tpad.mllm.gguf_files import is_gguf
from tpad.mllm.hugging_face import AutoImageProcessor, AutoModel, PreTrainedConfig
from tpad.mllm.loading import loading, with_all_weights
from tpad.mllm.model import MLLM
from tpad.mllm.processors import FAMILIES, sees
from tpad.mllm.resolution import RESIZABLE_TOWERS, check_edges
from tpad.mllm.safety import check_checkpoint
from tpad.mllm.settings import ModelSettings
from tpad.training.base import Base

ENCODERS = ("clip", "siglip", *RESIZABLE_TOWERS)
"""Types of checkpoints that have a vision tower and no language model that writes."""

GIVE = "give a CLIP or SigLIP model, or a vision-language model of the family Idefics3, SmolVLM or LLaVA"


@dataclass(frozen=True)
class Tower:
    """A vision tower.

    Attributes:
        layout: the layout of a vision-language model that it fits, a key of `layouts.LAYOUTS`.
        config: its settings, as plain values.
        state: its weights by name.
        image_processor: prepares its input.
        options: settings of the layout that depend on the tower.
    """

    layout: str
    config: dict[str, Any]
    state: dict[str, Tensor]
    image_processor: Any
    options: dict[str, Any]


def load_tower(base: Base) -> Tower:
    """Load the vision tower of a CLIP or SigLIP model, or of a vision-language model.

    Args:
        base: folder or hub id.

    Raises:
        ModelError: the checkpoint does not exist, is damaged, or has no tower that can be used.
    """
    path = base.path
    if is_gguf(path):
        raise ModelError(f"The GGUF file {path} has no vision tower; {GIVE}.")
    if not base.is_hub and not Path(path).is_dir():
        raise ModelError(f"There is no model folder {path}; give a folder or a hub id.")
    hub = {"revision": base.revision} if base.is_hub else {"local_files_only": True}
    with loading(path):
        check_checkpoint(path, **hub)
        plain, _ = PreTrainedConfig.get_config_dict(path, **hub)
    family = plain.get("model_type")
    if family in ENCODERS:
        with loading(path):
            return _of_encoder(path, plain, hub)
    if family in FAMILIES and sees(family):
        return _of_checkpoint(base)
    kind = "names no model_type" if family is None else f"is of the type {shown(family)!r}"
    raise ModelError(f"{path} {kind} and has no vision tower that can be used; {GIVE}.")


def _of_encoder(path: str, plain: dict[str, Any], hub: dict[str, Any]) -> Tower:
    """The tower of a CLIP or SigLIP model, which may also have a text encoder."""
    check_size(plain, path, AutoModel, **hub)
    loaded: Any = AutoModel.from_pretrained(
        path,
        trust_remote_code=False,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        **hub,
    )
    model = with_all_weights(loaded, path)
    tower = getattr(model, "vision_model", model)
    config, state = tower.config.to_dict(), tower.state_dict()
    if "vision_use_head" in config:  # SigLIP: pools the patches, which the connector reads
        config["vision_use_head"] = False
        state = {name: value for name, value in state.items() if not name.startswith("head.")}
    images = AutoImageProcessor.from_pretrained(path, trust_remote_code=False, backend="pil", **hub)
    check_edges(images, f"The image processor of {path}")
    has_class_token = config["model_type"] == "clip_vision_model"
    strategy = "default" if has_class_token else "full"  # "default" drops the first token
    options = {"vision_feature_layer": -2, "vision_feature_select_strategy": strategy}
    return Tower("llava", config, state, images, options)


def _of_checkpoint(base: Base) -> Tower:
    """The tower of a vision-language model that `MLLM` loads."""
    mllm = MLLM.load(
        base.path, ModelSettings(dtype="float32"), revision=base.revision, device="cpu"
    )
    config = mllm.model.config
    vision = config.vision_config
    images = mllm.processor.image_processor
    if mllm.family in ("idefics3", "smolvlm"):
        tower, layout = mllm.model.model.vision_model, "idefics3"
        options: tuple[str, ...] = ("scale_factor",)
        plain = {**vision.to_dict(), "model_type": "idefics3_vision"}  # the same network
    elif mllm.family == "llava" and vision.model_type in RESIZABLE_TOWERS:
        tower, layout, plain = mllm.model.model.vision_tower, "llava", vision.to_dict()
        options = ("vision_feature_layer", "vision_feature_select_strategy")
    else:
        raise ModelError(
            f"The vision tower of {base.path} ({vision.model_type}) cannot be taken out of its model; "
            f"{GIVE}."
        )
    chosen = {name: getattr(config, name) for name in options}
    return Tower(layout, plain, tower.state_dict(), images, chosen)
