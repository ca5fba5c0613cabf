"""What one visitor has on the table: an immutable session, with every step able to be undone."""

from dataclasses import dataclass, field, replace

from PIL import Image

from tpad.errors import ConfigError
from tpad.items import NewItem

MAX_ELEMENTS = 24
MAX_UNDO = 40
FORGET_AFTER = 2 * 3600  # seconds after which what a visitor has, uploads too, is dropped


class SessionFull(ConfigError):
    """There is no room for a further element; the session strip says so as long as that is so."""


@dataclass(frozen=True)
class Element:
    """One item of a visitor's session.

    Attributes:
        item_id: the catalogue's id; "" for a picture that is in no catalogue.
        title: shown under the picture.
        picture: address of its thumbnail, relative to the page, or a data URL; "" without picture.
        price: in the shop's own currency; None if unknown.
        is_cold: whether nobody clicked it in the training sessions.
        content: the item itself, for one that is in no catalogue (not compared: `key` is).
        key: tells uploads apart that look alike.
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
        """Whether the item is in no catalogue."""
        return not self.item_id

    @property
    def value(self) -> str | Image.Image | NewItem:
        """The element as `Recommender.recommend` takes it."""
        if self.item_id:
            return self.item_id
        assert self.content is not None
        return self.content


@dataclass(frozen=True)
class Table:
    """What is on the table at one moment.

    Attributes:
        elements: the session, the most recent last.
        source: where it came from ("" if the visitor made it), in words.
        target: item_id of the true next item; "" if there is none.
        revealed: whether the visitor has seen the true next item.
    """

    elements: tuple[Element, ...] = ()
    source: str = ""
    target: str = ""
    revealed: bool = False


@dataclass(frozen=True)
class VisitorSession:
    """The present table and those before it; each method returns a new object."""

    table: Table = Table()
    past: tuple[Table, ...] = ()

    def __len__(self) -> int:
        return len(self.table.elements)

    @property
    def elements(self) -> tuple[Element, ...]:
        return self.table.elements

    @property
    def values(self) -> list[str | Image.Image | NewItem]:
        """The session as `Recommender.recommend` takes it."""
        return [element.value for element in self.elements]

    def add(self, element: Element) -> "VisitorSession":
        """Append an element; the true next item no longer applies.

        Raises:
            SessionFull: it holds `MAX_ELEMENTS` already.
        """
        if len(self) >= MAX_ELEMENTS:
            raise SessionFull(
                f"A session holds at most {MAX_ELEMENTS} items here; "
                "remove one before you add another."
            )
        return self._changed((*self.elements, element))

    def remove(self, index: int) -> "VisitorSession":
        """Take one element out; an index that is not there changes nothing."""
        if not 0 <= index < len(self):
            return self
        return self._changed(self.elements[:index] + self.elements[index + 1 :])

    def move(self, index: int, by: int) -> "VisitorSession":
        """Move one element `by` places to the right (negative: left), as far as there is room."""
        if not 0 <= index < len(self):
            return self
        to = min(max(index + by, 0), len(self) - 1)
        if to == index:
            return self
        elements = list(self.elements)
        elements.insert(to, elements.pop(index))
        return self._changed(tuple(elements))

    def clear(self) -> "VisitorSession":
        """Empty the table."""
        return self if self.table == Table() else self._put(Table())

    def open(self, table: Table) -> "VisitorSession":
        """Put a whole session on the table, instead of what lies there."""
        return self._put(table)

    def undo(self) -> "VisitorSession":
        """The table as it was before the last change."""
        return VisitorSession(self.past[-1], self.past[:-1]) if self.past else self

    def reveal(self) -> "VisitorSession":
        """Turn the true next item face up. Not a step to undo: it cannot be unseen."""
        if not self.table.target:
            return self
        return replace(self, table=replace(self.table, revealed=True))

    def _changed(self, elements: tuple[Element, ...]) -> "VisitorSession":
        return self._put(Table(elements))

    def _put(self, table: Table) -> "VisitorSession":
        return VisitorSession(table, (*self.past, self.table)[-MAX_UNDO:])
