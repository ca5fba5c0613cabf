"""Where a visitor is among the test cases, and what the visitor changed in the catalogue."""

from dataclasses import dataclass, replace

from app.shell.session import Element
from tpad.errors import DataError

MAX_ADDED = 5  # pictures that one visitor may add to the catalogue


@dataclass(frozen=True)
class Position:
    """Where a visitor is among the test cases.

    Attributes:
        key: fingerprint of the cases; "" before anything was opened.
        part: the slice.
        rule: one of `app.cold_start.cases.RULES`.
        first, second: the model that is rated and the one it is compared with.
        index: of the case among those that the rule selects.
        number: of the case; -1 if none is open.
        hidden: rows that the visitor removed from the catalogue.
        added: items that the visitor added to it.
        address: number of the last address of the page that was followed.
    """

    key: str = ""
    part: str = "cold"
    rule: str = "all"
    first: str = ""
    second: str = ""
    index: int = 0
    number: int = -1
    hidden: tuple[int, ...] = ()
    added: tuple[Element, ...] = ()
    address: int = 0

    def hide(self, row: int, n_items: int) -> "Position":
        """Remove an item from the catalogue; one that the visitor added is gone for good.

        Args:
            row: of the item; added items follow those of the catalogue.
            n_items: size of the catalogue.
        """
        if row >= n_items:
            added = [e for number, e in enumerate(self.added) if number != row - n_items]
            return replace(self, added=tuple(added))
        if row < 0 or row in self.hidden:
            return self
        return replace(self, hidden=(*self.hidden, row))

    def unhide(self, row: int) -> "Position":
        """Put a removed item back."""
        return replace(self, hidden=tuple(one for one in self.hidden if one != row))

    def add(self, element: Element) -> "Position":
        """Add an item to the catalogue, for this visitor and this case only.

        Raises:
            DataError: the visitor has added `MAX_ADDED` items already.
        """
        if len(self.added) >= MAX_ADDED:
            raise DataError(f"At most {MAX_ADDED} pictures can be added; remove one first.")
        return replace(self, added=(*self.added, element))
