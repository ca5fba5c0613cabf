"""Environment variables. One that is empty or blank counts as unset, whoever reads it."""

import os

from tpad.errors import ConfigError

# What the libraries read themselves. An empty CUDA_VISIBLE_DEVICES, in contrast, has a meaning.
_PREFIXES = ("ACCELERATE_", "FSDP_", "GRADIO_", "HF_", "HUGGINGFACE_", "TPAD_", "TRANSFORMERS_")
_NAMES = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def variable(name: str, default: str = "") -> str:
    """The variable's value without spaces around it; the default where it is unset or blank."""
    return os.environ.get(name, "").strip() or default


def flag(name: str) -> bool:
    """Whether a variable is set to 1, true, yes or on; False where it is unset.

    Raises:
        ConfigError: it is set to anything else than these or 0, false, no and off.
    """
    value = variable(name, "0").lower()
    if value not in (*_YES, *_NO):
        raise ConfigError(f"{name} must be 1 or 0, not {value[:40]!r}.")
    return value in _YES


def whole_number(name: str, default: int, most: int | None = None) -> int:
    """The variable as a whole number from 0 to `most`.

    Raises:
        ConfigError: it is no such number.
    """
    value = variable(name, str(default))
    if not (value.isdecimal() and value.isascii()) or (most is not None and int(value) > most):
        limit = "" if most is None else f" up to {most}"
        raise ConfigError(f"{name} must be a whole number{limit}, not {value[:40]!r}.")
    return int(value)


def forget_blank_variables() -> None:
    """Removes blank variables that libraries read; to be called before they are imported.

    Gradio, for one, turns `GRADIO_SERVER_PORT` into a number when it is imported.
    """
    for name, value in list(os.environ.items()):
        if not value.strip() and (name.startswith(_PREFIXES) or name in _NAMES):
            del os.environ[name]
