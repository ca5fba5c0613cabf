"""One line of a table of figures: ours, the other side's, and how they compare."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure, with the other side of the same run where there is one.

    Attributes:
        what: is measured.
        ours, other: figures with their units.
        ratio: how many times as fast as the other side we are.
    """

    what: str
    ours: str
    other: str = ""
    ratio: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of the columns."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.what, self.ours, self.other, ratio


HEADER = ("what", "ours", "other side", "ratio")


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = [HEADER, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = tuple(
        "-" * widths[0] if place == 0 else "-" * (width - 1) + ":"
        for place, width in enumerate(widths)
    )
    return "\n".join(
        "| "
        + " | ".join(
            _padded(cell, width, place)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def _padded(cell: str, width: int, place: int) -> str:
    return cell.ljust(width) if place == 0 else cell.rjust(width)
