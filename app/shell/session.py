"""A visitor's session: immutable, with every step undoable."""

from dataclasses import dataclass, field, replace

from PIL import Image

from tpad.errors import ConfigError
from tpad.items import NewItem

MAX_ELEMENTS = 24
MAX_UNDO = 40
FORGET_AFTER = 2 * 3600  # seconds after which a visitor's session and uploads are deleted


class SessionFull(ConfigError):
    """The session has no room for another element; the session strip says so while it is full."""


@dataclass(frozen=True)
class Element:
    """One item of a visitor's session.

    Attributes:
        item_id: the catalogue's id; "" for an item that is not in the catalogue.
        title: shown under the picture.
        picture: address of its thumbnail, relative to the page, or a data URL; "" without a picture.
        price: in the shop's own currency; None if unknown.
        is_cold: whether nobody clicked it in the training sessions.
        content: the item itself, if it is not in the catalogue (compared by `key` instead).
        key: identifies an item that is not in the catalogue.
    """

    item_id: str
    title: str
    picture: str = ""
    price: float | None = None
    is_cold: bool = False
    content: NewItem | None = field(default=None, compare=False, repr=False)
    key: str = ""

    @property
    def is_new(self) -> bool:
        """Whether the item is not in the catalogue."""
        return not self.item_id

    @property
    def value(self) -> str | Image.Image | NewItem:
        """The element as `Recommender.recommend` takes it."""
        if self.item_id:
            return self.item_id
        assert self.content is not None
        return self.content


@dataclass(frozen=True)
class Snapshot:
    """A session at one moment.

    Attributes:
        elements: most recent last.
        source: where the session came from, in words; "" if the visitor built it.
        target: item_id of the true next item; "" if it is unknown.
        revealed: whether the visitor has seen the true next item.
    """

    elements: tuple[Element, ...] = ()
    source: str = ""
    target: str = ""
    revealed: bool = False


@dataclass(frozen=True)
class VisitorSession:
    """The present session and its history; each method returns a new object."""

    now: Snapshot = Snapshot()
    past: tuple[Snapshot, ...] = ()

    def __len__(self) -> int:
        return len(self.now.elements)

    @property
    def elements(self) -> tuple[Element, ...]:
        """The elements of the present session, most recent last."""
        return self.now.elements

    @property
    def values(self) -> list[str | Image.Image | NewItem]:
        """The session as `Recommender.recommend` takes it."""
        return [element.value for element in self.elements]

    def add(self, element: Element) -> "VisitorSession":
        """Append an element; the true next item no longer applies.

        Raises:
            SessionFull: there are `MAX_ELEMENTS` already.
        """
        if len(self) >= MAX_ELEMENTS:
            raise SessionFull(
                f"A session has at most {MAX_ELEMENTS} items here; "
                "remove one before you add another."
            )
        return self._changed((*self.elements, element))

    def remove(self, index: int) -> "VisitorSession":
        """Remove one element; an invalid index changes nothing."""
        if not 0 <= index < len(self):
            return self
        return self._changed(self.elements[:index] + self.elements[index + 1 :])

    def move(self, index: int, by: int) -> "VisitorSession":
        """Move one element `by` places to the right (negative: left), at most to the end."""
        if not 0 <= index < len(self):
            return self
        to = min(max(index + by, 0), len(self) - 1)
        if to == index:
            return self
        elements = list(self.elements)
        elements.insert(to, elements.pop(index))
        return self._changed(tuple(elements))

    def clear(self) -> "VisitorSession":
        """Remove all elements."""
        return self if self.now == Snapshot() else self._put(Snapshot())

    def open(self, snapshot: Snapshot) -> "VisitorSession":
        """Replace the whole session."""
        return self._put(snapshot)

    def undo(self) -> "VisitorSession":
        """The session before the last change."""
        return VisitorSession(self.past[-1], self.past[:-1]) if self.past else self

    def reveal(self) -> "VisitorSession":
        """Reveal the true next item. This cannot be undone."""
        if not self.now.target:
            return self
        return replace(self, now=replace(self.now, revealed=True))

    def _changed(self, elements: tuple[Element, ...]) -> "VisitorSession":
        return self._put(Snapshot(elements))

    def _put(self, snapshot: Snapshot) -> "VisitorSession":
        return VisitorSession(snapshot, (*self.past, self.now)[-MAX_UNDO:])
