"""What the files of a checkpoint may ask for: nothing that runs code or loads another repository."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from tpad.errors import ModelError

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
"""Files of settings that transformers reads from a checkpoint."""

LARGEST_CONFIG = 20_000_000  # bytes; tokenizer_config.json lists every added token

ATTENTION = (
    "eager",
    "sdpa",
    "flex_attention",
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
)
"""Kinds of attention that transformers has itself; any other name is that of a hub repository."""

EXPERTS = ("eager", "batched_mm", "grouped_mm")
"""Kinds of experts that transformers has itself."""

QUANTISERS = ("bitsandbytes",)
"""Kinds of quantised weights that can be read; others load kernels from the hub or own classes."""

_ALLOWED = {
    **dict.fromkeys(("attn_implementation", "_attn_implementation"), ATTENTION),
    "_attn_implementation_internal": ATTENTION,
    **dict.fromkeys(("experts_implementation", "_experts_implementation"), EXPERTS),
    "_experts_implementation_internal": EXPERTS,
}
_REFUSED = {
    "auto_map": "code of its own",
    "trust_remote_code": "code of its own",
    "kernel_config": "kernels of the hub",
    "use_kernels": "kernels of the hub",
    "configuration_files": "another file of settings",
}


def check_checkpoint(path: str | Path, *, subfolder: str = "", **hub: Any) -> None:
    """Refuses a checkpoint that would run code or load anything from elsewhere.

    To be called before transformers reads any of its files.

    Args:
        path: folder or hub id.
        subfolder: where the model is in it.
        **hub: revision, local_files_only and the like, as in `from_pretrained`.

    Raises:
        ModelError: a file of settings asks for code, kernels, a quantiser or another repository, is
            damaged, or is that of an adapter. The sentence names the file.
        OSError: the hub cannot be reached.
    """
    found = dict(_config_files(str(path), subfolder, hub))
    if ADAPTER_FILE in found:
        _refuse_adapter(path, found[ADAPTER_FILE], alone="config.json" not in found)
    for name, settings in found.items():
        check_settings(settings, f"{name} of the model {path}")


def check_settings(settings: Any, whose: str) -> None:
    """Refuses settings, nested ones included, that ask for code or for another repository.

    Args:
        settings: what a JSON file holds.
        whose: names the file, as the subject of a sentence.

    Raises:
        ModelError: as in `check_checkpoint`.
    """
    for holder in _dictionaries(settings):
        for key, value in holder.items():
            if key in _REFUSED and value:
                raise ModelError(
                    f"{whose} asks for {_REFUSED[key]} ({key}), which is never loaded; take a "
                    "checkpoint that transformers supports itself."
                )
            for name in _names(value) if key in _ALLOWED else ():
                if name not in _ALLOWED[key]:
                    raise ModelError(
                        f"{whose} asks for the kernel {name!r} ({key}), which is never loaded; "
                        "remove that line, or take another checkpoint."
                    )
            if key == "quantization_config" and value:
                _check_quantiser(value, whose)


def read_settings(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        ModelError: it cannot be read, is too large, is not JSON, or holds something else.
    """
    try:
        if not file.is_file():
            raise ModelError(f"{file} is not a file.")
        if file.stat().st_size > LARGEST_CONFIG:
            raise ModelError(
                f"{file} has {file.stat().st_size / 1e6:.0f} MB, more than settings need; get it "
                "again."
            )
        settings = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} is damaged, it is not JSON; get it again.") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{file} is damaged, it holds no object; get it again.")
    return settings


def _config_files(
    path: str, subfolder: str, hub: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each file of settings that there is."""
    for name in CONFIG_FILES:
        if Path(path).is_dir():
            file = Path(path) / subfolder / name
            there = file.exists() or file.is_symlink()
        else:
            cached = cached_file(
                path, name, subfolder=subfolder, _raise_exceptions_for_missing_entries=False, **hub
            )
            there, file = cached is not None, Path(cached or "")
        if there:
            yield name, read_settings(file)


def _refuse_adapter(path: str | Path, settings: dict[str, Any], alone: bool) -> None:
    base = settings.get("base_model_name_or_path") or "the model it was trained on"
    if alone:
        raise ModelError(
            f"{path} holds an adapter alone ({ADAPTER_FILE}) and no model; merge it into its base "
            f"model ({base}) by PEFT's merge_and_unload(), save that and give its folder, or give "
            "the base model."
        )
    raise ModelError(
        f"{path} holds an adapter ({ADAPTER_FILE}) beside a model; merge it into the model by PEFT's "
        "merge_and_unload() and save that, or give a folder without the adapter."
    )


def _check_quantiser(settings: Any, whose: str) -> None:
    method = settings.get("quant_method") if isinstance(settings, dict) else settings
    if method not in QUANTISERS:
        raise ModelError(
            f"The weights that {whose} describes are quantised ({method}); take the checkpoint in full "
            "precision."
        )


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in a JSON value, however deep."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _names(value: Any) -> list[str]:
    """The strings of a setting that is one, none, or a collection of them by part of the model."""
    if isinstance(value, dict):
        return [name for part in value.values() for name in _names(part)]
    if isinstance(value, list):
        return [name for part in value for name in _names(part)]
    return [] if value is None or value == "" else [str(value)]
