"""Settings of baselines: frozen dataclasses, built from plain values and checked in one place."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from tpad import ConfigError

T = TypeVar("T")


def build(kind: type[T], settings: Mapping[str, Any] | None) -> T:
    """A settings dataclass from plain values; what is not named keeps its default.

    Raises:
        ConfigError: a name or a value is wrong.
    """
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    for name in settings or {}:
        if name not in known:
            raise ConfigError(
                f"There is no setting {name!r}; choose from {', '.join(known)}."
                if known
                else f"There is no setting {name!r}; this model has none."
            )
    return kind(**(settings or {}))


def need_count(config: object, *names: str, least: int = 1) -> None:
    """Refuses settings that are no whole number of at least `least`."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def need_number(
    config: object,
    *names: str,
    least: float = 0.0,
    below: float = float("inf"),
    most: float = float("inf"),
) -> None:
    """Refuses settings that are no number in [least, below), or above `most`."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} must be a number, not {value!r}.")
        if not least <= value < below:
            bound = f" and below {below:g}" if below < float("inf") else ""
            raise ConfigError(f"{name} must be at least {least:g}{bound}, not {value!r}.")
        if value > most:
            raise ConfigError(f"{name} must be at most {most:g}, not {value!r}.")


def need_positive(config: object, *names: str) -> None:
    """Refuses settings that are no finite number above 0."""
    need_number(config, *names)
    for name in names:
        if not getattr(config, name):
            raise ConfigError(f"{name} must be above 0.")


def need_choice(config: object, name: str, choices: tuple[str, ...]) -> None:
    """Refuses a setting that is none of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
