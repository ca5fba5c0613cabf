"""Reads environment variables; an empty or blank variable is treated as unset."""

import os

from tpad.errors import ConfigError

# Variables of other libraries. CUDA_VISIBLE_DEVICES is not among them: an empty value has a meaning.
_PREFIXES = ("ACCELERATE_", "FSDP_", "GRADIO_", "HF_", "HUGGINGFACE_", "TPAD_", "TRANSFORMERS_")
_NAMES = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def variable(name: str, default: str = "") -> str:
    """Value of the variable without surrounding spaces; the default if it is unset or blank."""
    return os.environ.get(name, "").strip() or default


def flag(name: str) -> bool:
    """Whether a variable is 1, true, yes or on; False if it is unset.

    Raises:
        ConfigError: it is neither one of these nor 0, false, no or off.
    """
    value = variable(name, "0").lower()
    if value not in (*_YES, *_NO):
        raise ConfigError(f"{name} must be 1 or 0, not {value[:40]!r}.")
    return value in _YES


def whole_number(name: str, default: int, most: int | None = None) -> int:
    """The variable as a whole number from 0 to `most`.

    Raises:
        ConfigError: it is not such a number.
    """
    value = variable(name, str(default))
    if not (value.isdecimal() and value.isascii()) or (most is not None and int(value) > most):
        limit = "" if most is None else f" up to {most}"
        raise ConfigError(f"{name} must be a whole number{limit}, not {value[:40]!r}.")
    return int(value)


def forget_blank_variables() -> None:
    """Remove blank variables of other libraries; call this before importing them.

    For instance, Gradio converts `GRADIO_SERVER_PORT` to a number on import.
    """
    for name, value in list(os.environ.items()):
        if not value.strip() and (name.startswith(_PREFIXES) or name in _NAMES):
            del os.environ[name]
