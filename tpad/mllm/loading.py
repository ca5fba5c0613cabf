"""Read a checkpoint from a folder or from the hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tpad.errors import ModelError, TpadError, one_line
from tpad.mllm.bounds import check_size
from tpad.mllm.hugging_face import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
    cached_file,
    extract_commit_hash,
)
from tpad.mllm.image_tokens import follow_model
from tpad.mllm.precision import choose_dtypes
from tpad.mllm.processors import FAMILIES, load_processor
from tpad.mllm.quantisation import check_4bit, loading_options
from tpad.mllm.resolution import check_edges, set_resolution
from tpad.mllm.safety import check_checkpoint
from tpad.mllm.settings import ModelSettings

COMMIT = re.compile(r"[0-9a-f]{40}")


def read_checkpoint(
    path_or_hub_id: str | Path,
    settings: ModelSettings,
    *,
    revision: str | None,
    device: torch.device,
    local_files_only: bool,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Read model and processor; arguments and errors as in `MLLM.load`."""
    path = str(path_or_hub_id)
    if not Path(path).is_dir() and not is_hub_id(path):
        raise ModelError(f"There is no model folder {path}; give a folder or a hub id.")
    compute, _, weights = choose_dtypes(settings.dtype, device)
    hub: dict[str, Any] = {"local_files_only": local_files_only}
    if revision is not None:
        hub["revision"] = revision
    with loading(path):
        check_checkpoint(path, **hub)
        plain, _ = PreTrainedConfig.get_config_dict(path, **hub)
    if "model_type" not in plain:
        raise ModelError(f"The model {path} has no config.json that names its model_type.")
    family = check_family(plain["model_type"], f"The model {path}")
    packed = plain.get("quantization_config")
    if packed and not settings.load_in_4bit:
        raise ModelError(
            f"The weights of {path} are quantised ({packed.get('quant_method')}); use the checkpoint "
            "in full precision, or set load_in_4bit."
        )
    options: dict[str, Any] = {}
    if settings.load_in_4bit:
        check_4bit(device)
        options = loading_options(device, compute)
        if packed:  # keep the quantisation of the checkpoint
            del options["quantization_config"]
    with loading(path):
        check_size(plain, path, **hub)
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, **hub)
        processor = load_processor(path, family, **hub)
        follow_model(processor, config)
        config._attn_implementation = "sdpa"  # overrides the file, for all parts of the model
        set_resolution(processor, config, settings)
        check_edges(processor.image_processor, f"The image processor of {path}")
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            path,
            config=config,
            trust_remote_code=False,
            dtype=weights,
            use_safetensors=True,
            output_loading_info=True,
            **options,
            **hub,
        )
    model, info = loaded
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"The model {path} lacks weights ({some}, …); download it again.")
    return model, processor


def is_hub_id(path: str) -> bool:
    """Whether a path has the form OWNER/NAME and is not an existing folder."""
    return path.count("/") == 1 and not Path(path).is_absolute() and not Path(path).exists()


def pinned_revision(hub_id: str, revision: str | None = None) -> str:
    """The commit of a branch or tag of a model on the hub; without a network, that of the local cache.

    Raises:
        ModelError: the model or the revision does not exist, or the hub cannot be reached.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    with loading(hub_id):
        file = cached_file(hub_id, "config.json", revision=revision)
        commit = extract_commit_hash(file, None)
    if commit is None:
        raise ModelError(f"The hub names no commit for {hub_id}; set the revision to a commit.")
    return commit


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


@contextmanager
def loading(path: str | Path) -> Iterator[None]:
    """Turn any failure to read a checkpoint into a `ModelError`."""
    try:
        yield
    except TpadError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # damaged files make Rust panic, which is not an Exception
        raise ModelError(
            f"The model {path} cannot be loaded; check the folder or the hub id, the revision "
            f"and the network ({one_line(error)})."
        ) from error
