"""Reject checkpoints whose files request code or another repository, or sizes that no model has."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tpad.errors import ModelError
from tpad.io.git_lfs import refuse_pointer
from tpad.mllm.bounds import check_config
from tpad.mllm.hugging_face import cached_file
from tpad.mllm.tokenizer_bounds import check_tokenizer, dictionaries

ADAPTER_FILE = "adapter_config.json"
CONFIG_FILES = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "tokenizer_config.json",
    ADAPTER_FILE,
)
"""The JSON files that transformers reads from a checkpoint."""

MAX_CONFIG_BYTES = 20_000_000  # tokenizer_config.json lists every added token
TOKENIZER_FILE = "tokenizer.json"
MAX_TOKENIZER_BYTES = 200_000_000  # it contains the vocabulary

ATTENTION = (
    "eager",
    "sdpa",
    "flex_attention",
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
)
"""Attention implementations within transformers; any other name refers to a hub repository."""

EXPERTS = ("eager", "batched_mm", "grouped_mm")
"""Expert implementations within transformers."""

QUANTISERS = ("bitsandbytes",)
"""Supported quantisation methods; others load kernels from the hub or custom classes."""

_ALLOWED = {
    **dict.fromkeys(("attn_implementation", "_attn_implementation"), ATTENTION),
    "_attn_implementation_internal": ATTENTION,
    **dict.fromkeys(("experts_implementation", "_experts_implementation"), EXPERTS),
    "_experts_implementation_internal": EXPERTS,
}
_REJECTED = {
    "auto_map": "custom code",
    "trust_remote_code": "custom code",
    "kernel_config": "kernels from the hub",
    "use_kernels": "kernels from the hub",
    "configuration_files": "another config file",
    "fast_tokenizer_files": "another tokenizer file",
}


def check_checkpoint(path: str | Path, *, subfolder: str = "", **hub: Any) -> None:
    """Reject a checkpoint that would run code, load anything from elsewhere, or never end.

    Call it before transformers reads any of the files.

    Args:
        path: folder or hub id.
        subfolder: the folder of the model within it.
        **hub: options of `from_pretrained`, such as revision and local_files_only.

    Raises:
        ModelError: a file requests code, kernels, a quantiser or another repository, contains sizes
            that no model has, is damaged, or belongs to an adapter. The message names the file.
        OSError: the hub cannot be reached.
    """
    folder = Path(path) / subfolder
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_file():
            refuse_pointer(file, ModelError)
    found = dict(_json_files(CONFIG_FILES, str(path), subfolder, hub))
    if ADAPTER_FILE in found:
        _reject_adapter(path, found[ADAPTER_FILE], alone="config.json" not in found)
    for name, settings in found.items():
        check_settings(settings, f"{name} of the model {path}")
    if "config.json" in found:
        check_config(found["config.json"], str(path))
    for name, settings in _json_files((TOKENIZER_FILE,), str(path), subfolder, hub):
        check_tokenizer(settings, f"{name} of the model {path}")


def check_settings(settings: Any, subject: str) -> None:
    """Reject settings, including nested ones, that request code or another repository.

    Args:
        settings: the content of a JSON file.
        subject: names the file in an error message.

    Raises:
        ModelError: as in `check_checkpoint`.
    """
    for dictionary in dictionaries(settings):
        for key, value in dictionary.items():
            if key in _REJECTED and value:
                raise ModelError(
                    f"{subject} requests {_REJECTED[key]} ({key}), which is never loaded; use a "
                    "checkpoint that transformers supports by itself."
                )
            for name in _names(value) if key in _ALLOWED else ():
                if name not in _ALLOWED[key]:
                    raise ModelError(
                        f"{subject} requests the kernel {name!r} ({key}), which is never loaded; "
                        "remove that line, or use another checkpoint."
                    )
            if key == "quantization_config" and value:
                _check_quantiser(value, subject)


def read_settings(file: Path, max_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises:
        ModelError: the file cannot be read, is too large, or does not contain a JSON object.
    """
    try:
        if not file.is_file():
            raise ModelError(f"{file} is not a file.")
        if file.stat().st_size > max_bytes:
            raise ModelError(
                f"{file} has {file.stat().st_size / 1e6:.0f} MB, which is too large for a config "
                "file; download it again."
            )
        settings = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: it is not valid JSON; download it again.") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{file} is damaged: it does not contain an object; download it again.")
    return settings


def _json_files(
    names: Iterable[str], path: str, subfolder: str, hub: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each of these files that exists."""
    for name in names:
        if Path(path).is_dir():
            file = Path(path) / subfolder / name
            exists = file.exists() or file.is_symlink()
        else:
            cached = cached_file(
                path, name, subfolder=subfolder, _raise_exceptions_for_missing_entries=False, **hub
            )
            exists, file = cached is not None, Path(cached or "")
        if exists:
            most = MAX_TOKENIZER_BYTES if name == TOKENIZER_FILE else MAX_CONFIG_BYTES
            yield name, read_settings(file, most)


def _reject_adapter(path: str | Path, settings: dict[str, Any], alone: bool) -> None:
    base = settings.get("base_model_name_or_path") or "the model it was trained on"
    if alone:
        raise ModelError(
            f"{path} contains only an adapter ({ADAPTER_FILE}) and no model; merge it into its base "
            f"model ({base}) with PEFT's merge_and_unload() and give the folder of the result, or give "
            "the base model."
        )
    raise ModelError(
        f"{path} contains an adapter ({ADAPTER_FILE}) beside a model; merge it into the model with "
        "PEFT's merge_and_unload() and save the result, or give a folder without the adapter."
    )


def _check_quantiser(settings: Any, subject: str) -> None:
    method = settings.get("quant_method") if isinstance(settings, dict) else settings
    if method not in QUANTISERS:
        raise ModelError(
            f"The weights that {subject} describes are quantised ({method}), which is not supported; use "
            "the checkpoint in full precision."
        )


def _names(value: Any) -> list[str]:
    """The strings in a setting, which may be a string, None, or a collection by part of the model."""
    if isinstance(value, dict):
        return [name for part in value.values() for name in _names(part)]
    if isinstance(value, list):
        return [name for part in value for name in _names(part)]
    return [] if value is None or value == "" else [str(value)]
