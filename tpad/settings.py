"""Settings as frozen dataclasses: values are checked, changed by name, and documented.

    @settings
    class TransferConfig:
        epochs: Annotated[int, Field(ge=1)] = 3
        \"\"\"Passes over the training sessions.\"\"\"

A value of the wrong type or out of bounds is a `ConfigError`. Integers are accepted as floats; nothing
else is converted.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from functools import wraps
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

import pydantic.dataclasses
from pydantic import ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from tpad.errors import ConfigError

T = TypeVar("T")

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
CountOrZero = Annotated[int, Field(ge=0)]
"""A whole number of at least 0."""
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A probability or share in [0, 1)."""
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""A finite number of at least 0."""
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""A number above 0."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number."""


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def settings(cls: type[T]) -> type[T]:
    """Class decorator: make a frozen dataclass with checked values; see the example of the module."""
    config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)
    made = pydantic.dataclasses.dataclass(cls, frozen=True, config=config)
    check = made.__init__

    @wraps(check)
    def checked(self: Any, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise ConfigError(f"{_sentence(error, cls)}.") from None

    made.__init__ = checked  # type: ignore[method-assign]
    return cast(type[T], made)


def _sentence(error: ValidationError, kind: type) -> str:
    """A message about the first invalid value, such as "epochs must be at least 1, not 0"."""
    fault = error.errors(include_url=False)[0]
    first, *rest = fault["loc"] or ("",)
    if isinstance(first, int):  # an argument without its name
        first = list(inspect.signature(kind).parameters)[first]
    place = [part for part in (first, *rest) if isinstance(part, str) and part.isidentifier()]
    name, value = ".".join(place) or "the settings", fault["input"]
    bounds = {
        key: f"{b:g}" if isinstance(b, float) else b for key, b in fault.get("ctx", {}).items()
    }
    wanted = {
        "greater_than_equal": f"must be at least {bounds.get('ge')}",
        "greater_than": f"must be above {bounds.get('gt')}",
        "less_than": f"must be below {bounds.get('lt')}",
        "less_than_equal": f"must be at most {bounds.get('le')}",
        "finite_number": "must be a finite number",
        "literal_error": f"must be {bounds.get('expected')}",
        "too_short": "must not be empty",
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "unexpected_keyword_argument": "is not a setting",
    }.get(fault["type"])
    if wanted is None:  # such as "Input should be a valid string"
        words = (
            fault["msg"]
            .removeprefix("Value error, ")
            .removeprefix("Input should be ")
            .removeprefix("a valid ")
        )
        wanted = f"must be {words if fault['type'] == 'value_error' else _article(words)}"
    return f"{name} {wanted}, not {value!r}"


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def from_json(kind: Callable[..., T], values: Any) -> T:
    """Make settings from a JSON object.

    Raises:
        ValueError: a value has another type or is out of bounds, or there is no such setting.
    """
    if not isinstance(values, dict):
        raise ValueError(f"the settings must be an object, not {values!r}")
    try:
        return kind(**{name: _tuples(value) for name, value in values.items()})
    except (ConfigError, TypeError) as error:
        raise ValueError(str(error)) from error


def _tuples(value: Any) -> Any:
    """Convert lists of JSON to tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def override(config: T, path: str, value: Any) -> T:
    """A copy with one setting changed, which `path` names, such as `distillation.epochs`.

    Raises:
        ConfigError: there is no such setting, or the value is invalid.
    """
    names, owners = path.split("."), [config]
    for place, name in enumerate(names):
        owner = owners[-1]
        if not is_dataclass(owner):
            raise ConfigError(f"The setting {'.'.join(names[:place])!r} in {path!r} has no parts.")
        known = [field.name for field in fields(owner)]
        if name not in known:
            close = get_close_matches(path, [one.path for one in explain(config)], n=1)
            guess = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"There is no setting {path!r}.{guess} There are: {', '.join(sorted(known))}."
            )
        owners.append(getattr(owner, name))
    if is_dataclass(owners[-1]) and not isinstance(value, type(owners[-1])):
        parts = ", ".join(field.name for field in fields(owners[-1]))
        raise ConfigError(f"The setting {path!r} has parts; name one of them: {parts}.")
    value = _tuples(value)
    for place, owner in reversed(list(enumerate(owners[:-1]))):
        try:
            value = replace(owner, **{names[place]: value})  # type: ignore[type-var]
        except ConfigError as error:
            prefix = "".join(f"{name}." for name in names[:place])
            raise ConfigError(f"{prefix}{error}") from None
    return value


class Setting(NamedTuple):
    """Documentation of one setting."""

    path: str
    default: Any
    kind: str
    text: str


def explain(config: Any, path: str = "") -> Iterator[Setting]:
    """Documentation of all settings, with their values in `config`."""
    known = dict[str, FieldInfo]()
    for base in reversed(
        type(config).__mro__
    ):  # inherited settings are documented in the base class
        for name, info in getattr(base, "__pydantic_fields__", {}).items():
            if info.description or name not in known:
                known[name] = info
    for field in fields(config):
        value = getattr(config, field.name)
        full = f"{path}.{field.name}" if path else field.name
        if is_dataclass(value):
            yield from explain(value, full)
        else:
            yield Setting(
                full, value, _kind(known[field.name]), known[field.name].description or ""
            )


def _kind(field: FieldInfo) -> str:
    """A setting's type and bounds in words: "int, at least 1"."""
    return ", ".join([_words(field.annotation), *filter(None, map(_bound, field.metadata))])


def _words(kind: Any) -> str:
    """A type in words, without bounds of nested types."""
    parts = [part for part in get_args(kind) if part is not Ellipsis]
    if get_origin(kind) is Annotated:
        return _words(parts[0])
    if get_origin(kind) is Literal:
        return " or ".join(json.dumps(part) for part in parts)
    if get_origin(kind) is tuple:
        return f"list of ({_words(parts[0])})"
    if parts:  # a union
        return " or ".join(map(_words, parts))
    return "null" if kind is type(None) else kind.__name__


def _bound(part: Any) -> str:
    """A bound in words; "" if this is not a bound."""
    names = {"ge": "at least", "gt": "above", "lt": "below", "le": "at most"}
    return " and ".join(
        f"{words} {getattr(part, name)}" for name, words in names.items() if hasattr(part, name)
    )
