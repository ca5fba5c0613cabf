"""Builds and checks the settings of baselines, which are frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from tpad import ConfigError

T = TypeVar("T")


def build(kind: type[T], settings: Mapping[str, Any] | None) -> T:
    """A settings dataclass from plain values; settings that are not given keep their defaults.

    Raises:
        ConfigError: a name or a value is invalid.
    """
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    for name in settings or {}:
        if name not in known:
            raise ConfigError(
                f"There is no setting {name!r}; choose from {', '.join(known)}."
                if known
                else f"There is no setting {name!r}; this model has no settings."
            )
    return kind(**(settings or {}))


def need_count(config: object, *names: str, least: int = 1) -> None:
    """Checks that settings are integers of at least `least`."""
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
    """Checks that settings are numbers in [least, below) and at most `most`."""
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
    """Checks that settings are finite numbers above 0."""
    need_number(config, *names)
    for name in names:
        if not getattr(config, name):
            raise ConfigError(f"{name} must be above 0.")


def need_choice(config: object, name: str, choices: tuple[str, ...]) -> None:
    """Checks that a setting is one of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
