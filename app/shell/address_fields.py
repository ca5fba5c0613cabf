"""The parts of the page's address, and how their texts are read. Nothing in an address is trusted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.shell.text import readable

MAX_TEXT = 400  # characters of a filter's value
SESSION_KEYS = ("session", "next", "revealed")

Read = Callable[[str, Mapping[str, str]], Any]
"""From a value's text, and all values of the query, to the value of the control."""


@dataclass(frozen=True)
class Field:
    """One control whose value is in the address.

    Attributes:
        key: its name in the query.
        control: the component.
        default: its value on a fresh page, as text; it is left out of the address.
        read: from text to the value; an unknown text gives a value that is offered.
    """

    key: str
    control: Any
    default: str
    read: Read


@dataclass(frozen=True)
class AddressRequest:
    """An address that the browser has opened.

    Attributes:
        number: counts the opened addresses, so that each is followed once.
        values: of the query.
        tab: name of the tab to show.
    """

    number: int = 0
    values: Mapping[str, str] = field(default_factory=dict, compare=False)
    tab: str = ""


@dataclass(frozen=True)
class AddressPart:
    """What one tab keeps in the address.

    Attributes:
        fields: controls of which every change is written to the address.
        keys: further keys of the query that belong to the tab.
        outputs: component -> its value for an opened address, for a tab that fills itself.
    """

    fields: Sequence[Field] = ()
    keys: Sequence[str] = ()
    outputs: Mapping[Any, Callable[[AddressRequest], Any]] = field(default_factory=dict)


def one_of(options: Sequence[Any], text: str) -> Any:
    """The option with this text, else the first."""
    return next((one for one in options if str(one) == text), options[0])


def choice(options: Sequence[Any]) -> Read:
    """Reads one of `options`; the first is the default."""
    return lambda text, _: one_of(options, text)


def several(options: Sequence[str], most: int) -> Read:
    """Reads up to `most` of `options`, separated by commas."""
    return lambda text, _: [name for name in text.split(",") if name in options][:most]


def flag(text: str, _: Mapping[str, str]) -> bool:
    """Reads "1" as True."""
    return text == "1"


def words(text: str, _: Mapping[str, str]) -> str:
    """Reads a text as it is."""
    return text


def keep_in_address(listener: Any, control: Any, key: str, default: str = "") -> None:
    """Have the browser write a control's value to the address when `listener` is triggered."""
    script = f"(value) => {{ window.tpad?.put({{'{key}': value}}, {{'{key}': '{default}'}}); }}"
    listener(None, control, None, js=script)


def read_message(data: Any) -> tuple[dict[str, str], str, str]:
    """What the browser sends of an address: the query, the whole session, and its source."""
    data = data if isinstance(data, dict) else {}
    query = data.get("query")
    values = {
        str(key): text
        for key, text in (query if isinstance(query, dict) else {}).items()
        if isinstance(text, str) and (key == "session" or len(text) <= MAX_TEXT)
    }
    everything, source = data.get("all"), data.get("source")
    return (
        values,
        everything if isinstance(everything, str) else "",
        readable(source)[:80] if isinstance(source, str) else "",
    )
