"""Builds the settings of baselines."""

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
