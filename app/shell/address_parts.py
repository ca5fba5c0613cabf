"""What the page's address is made of: names, and how their texts are read, with distrust."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from app.dashboard.tables import DEFAULT_METRIC, METRICS
from app.dashboard.view import ALL_SEEDS, LEADERBOARD, MEANS, RECOMMENDERS, SECTIONS, View
from app.shell.own_items import OWN
from app.shell.state import Element, VisitorSession
from app.shell.text import readable
from eval.metrics.averaging import CASE

MAX_TEXT = 400  # characters of a filter's value
SESSION_KEYS = ("session", "next", "revealed")
BOARD_KEYS = {
    "choice": "of",
    "part": "part",
    "kind": "kind",
    "metric": "metric",
    "seed": "seed",
    "models": "models",
    "stage": "stage",
    "extras": "extras",
    "mean": "mean",
}
"""The dashboard's filters: name -> key."""
BOARD_USUAL = {
    "choice": "",
    "part": "all",
    "kind": "",
    "metric": DEFAULT_METRIC,
    "seed": ALL_SEEDS,
    "models": "",
    "stage": RECOMMENDERS,
    "extras": "0",
    "mean": CASE,
}
HAND_KEYS = {
    "key": "hand-of",
    "part": "hand-part",
    "rule": "hand-rule",
    "first": "hand-first",
    "second": "hand-second",
}
"""The settings of “Cold start by hand”: attribute of `Walk` -> key."""

Read = Callable[[str, Mapping[str, str]], Any]
"""From a value's text, and all values of the query, to what the control shows."""


@dataclass(frozen=True)
class Field:
    """One control whose value is in the address.

    Attributes:
        key: its name there.
        control: the component.
        usual: its value on a fresh page, as text; it is left out of the address.
        read: from text to the value; what it does not know becomes one that is offered.
    """

    key: str
    control: Any
    usual: str
    read: Read


@dataclass(frozen=True)
class Wanted:
    """What an address asks of a tab that fills itself.

    Attributes:
        number: counts the addresses that were opened, so that each is followed once.
        values: of the query.
        now: whether the tab is the one to be shown.
    """

    number: int = 0
    values: Mapping[str, str] | None = field(default=None, compare=False)  # the number tells it
    now: bool = False


def one_of(offered: Sequence[Any], text: str) -> Any:
    """The value with this text, else the first."""
    return next((one for one in offered if str(one) == text), offered[0])


def choice(offered: Sequence[Any]) -> Read:
    """Reads one of `offered`, the first being the usual one."""
    return lambda text, _: one_of(offered, text)


def several(offered: Sequence[str], most: int) -> Read:
    """Reads some of `offered`, separated by commas."""
    return lambda text, _: [name for name in text.split(",") if name in offered][:most]


def flag(text: str, _: Mapping[str, str]) -> bool:
    """Reads "1" as yes."""
    return text == "1"


def words(text: str, _: Mapping[str, str]) -> str:
    """Reads a text as it is."""
    return text


def board_view(values: Mapping[str, str]) -> View:
    """What an address asks of the dashboard; the dashboard replaces what it does not offer."""
    return View(
        section=one_of(list(SECTIONS), values.get("section", LEADERBOARD)),
        choice=values.get("of", ""),
        part=values.get("part", "all"),
        metric=one_of([DEFAULT_METRIC, *METRICS], values.get("metric", "")),
        seed=values.get("seed", ALL_SEEDS),
        extras=values.get("extras") == "1",
        kind=values.get("kind", ""),
        models=tuple(name for name in values.get("models", "").split(",") if name),
        stage=values.get("stage", RECOMMENDERS),
        run=values.get("run", ""),
        mean=one_of(list(MEANS), values.get("mean", CASE)),
    )


def address_of(element: Element) -> str:
    """What names an element in a link; "" for one of the visitor's own."""
    return (
        ""
        if element.item_id == "" and element.key.startswith(OWN)
        else (element.item_id or element.key)
    )


def linked(session: VisitorSession) -> str:
    """The elements that a link can carry, by their quoted ids."""
    ids = [address_of(element) for element in session.elements]
    return ",".join(quote(item_id, safe=":") for item_id in ids if item_id)


def addresses(session: VisitorSession) -> str:
    """All elements, those of the visitor's own by keys that this server alone knows."""
    return ",".join(quote(e.item_id or e.key, safe=":") for e in session.elements)


def keep_in_address(listener: Any, control: Any, key: str, usual: str = "") -> None:
    """Have the browser write a control's value into the address when `listener` is triggered."""
    script = f"(value) => {{ window.tpad?.put({{'{key}': value}}, {{'{key}': '{usual}'}}); }}"
    listener(None, control, None, js=script)


def sent(data: Any) -> tuple[dict[str, str], str, str]:
    """What the browser sends of an address: the query, the whole session, where it came from."""
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
