"""Read a checkpoint from a folder, from the hub, or from a GGUF file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tpad.errors import ModelError, TpadError, one_line
from tpad.mllm.attention import attention_of
from tpad.mllm.bounds import check_size
from tpad.mllm.gguf_files import is_gguf, unpacked
from tpad.mllm.hugging_face import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
    cached_file,
    extract_commit_hash,
)
from tpad.mllm.image_tokens import follow_model
from tpad.mllm.precision import choose_dtypes
from tpad.mllm.processors import FAMILIES, check_family, load_processor, sees
from tpad.mllm.quantisation import check_4bit, loading_options
from tpad.mllm.resolution import check_edges, refuse_resolution, set_resolution
from tpad.mllm.safety import check_checkpoint, read_settings
from tpad.mllm.settings import ModelSettings

COMMIT = re.compile(r"[0-9a-f]{40}")


def read_checkpoint(
    path_or_hub_id: str | Path,
    settings: ModelSettings,
    *,
    revision: str | None,
    device: torch.device,
    local_files_only: bool,
) -> tuple[PreTrainedModel, Any]:
    """Read model and processor; arguments and errors as in `MLLM.load`."""
    path = str(path_or_hub_id)
    if is_gguf(path):
        with unpacked(Path(path)) as folder:
            model, processor = read_checkpoint(
                folder, settings, revision=None, device=device, local_files_only=True
            )
        return model, processor
    if not Path(path).is_dir() and not is_hub_id(path):
        raise ModelError(
            f"There is no model folder {path}; give a folder, a hub id or a GGUF file."
        )
    compute, _, weights = choose_dtypes(settings.dtype, device)
    hub: dict[str, Any] = {"local_files_only": local_files_only}
    if revision is not None:
        hub["revision"] = revision
    plain = _checked_config(path, settings, hub)
    family: str = plain["model_type"]
    options: dict[str, Any] = {}
    if settings.load_in_4bit:
        check_4bit(device)
        options = loading_options(device, compute)
        if plain.get("quantization_config"):  # keep the quantisation of the checkpoint
            del options["quantization_config"]
    kind = AutoModelForImageTextToText if sees(family) else AutoModelForCausalLM
    with loading(path):
        check_size(plain, path, kind, **hub)
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, **hub)
        processor = load_processor(path, family, **hub)
        config._attn_implementation = attention_of(family)  # overrides the file, for all parts
        if sees(family):
            follow_model(processor, config)
            set_resolution(processor, config, settings)
            check_edges(processor.image_processor, f"The image processor of {path}")
        else:
            refuse_resolution(settings)
        loaded: Any = kind.from_pretrained(
            path,
            config=config,
            trust_remote_code=False,
            dtype=weights,
            use_safetensors=True,
            output_loading_info=True,
            **options,
            **hub,
        )
    return with_all_weights(loaded, path), processor


def with_all_weights(loaded: tuple[Any, dict[str, Any]], path: str) -> Any:
    """The model that `from_pretrained` loaded.

    Args:
        loaded: the model and what `output_loading_info` tells.
        path: folder or hub id.

    Raises:
        ModelError: the checkpoint lacks weights.
    """
    model, info = loaded
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"The model {path} lacks weights ({some}, …); download it again.")
    return model


def _checked_config(path: str, settings: ModelSettings, hub: dict[str, Any]) -> dict[str, Any]:
    """The content of `config.json`, of a supported model that is quantised only if the settings say so."""
    with loading(path):
        check_checkpoint(path, **hub)
        plain, _ = PreTrainedConfig.get_config_dict(path, **hub)
    if "model_type" not in plain:
        raise ModelError(f"The model {path} has no config.json that names its model_type.")
    check_family(plain["model_type"], f"The model {path}")
    if plain.get("use_bidirectional_attention"):
        raise ModelError(
            f"The model {path} reads texts in both directions, so it writes none; use a language model, "
            "or give its vectors with --features."
        )
    packed = plain.get("quantization_config")
    if packed and not settings.load_in_4bit:
        raise ModelError(
            f"The weights of {path} are quantised ({packed.get('quant_method')}); use the checkpoint "
            "in full precision, or set load_in_4bit."
        )
    return plain


def is_hub_id(path: str) -> bool:
    """Whether a path has the form OWNER/NAME, and is neither a folder nor a file."""
    named = path.count("/") == 1 and not Path(path).is_absolute() and not is_gguf(path)
    return named and not Path(path).exists()


def may_see(path: str, revision: str | None = None) -> bool:
    """Whether a checkpoint sees pictures, according to its `config.json` alone.

    True as well for a checkpoint that cannot be loaded: `read_checkpoint` reports the reason.

    Args:
        path: folder, hub id or GGUF file.
        revision: commit on the hub.

    Raises:
        ModelError: the hub cannot be reached, or the file is damaged.
    """
    if is_gguf(path):
        return False
    if not Path(path).is_dir() and not is_hub_id(path):
        return True
    with loading(path):
        file = cached_file(
            path, "config.json", revision=revision, _raise_exceptions_for_missing_entries=False
        )
        family = read_settings(Path(file)).get("model_type") if file else None
    return family not in FAMILIES or sees(family)


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
