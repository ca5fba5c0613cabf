"""Counts of the rows that an import reads, keeps, drops and changes; they can be stored and restored."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tpad.data.report import EXAMPLES_KEPT, Finding, LoadReport


class RowError(Exception):
    """A row is invalid. The message is the reason, the same for all rows of this sort.

    Args:
        reason: key of the report.
        shown: the invalid value, for an example in the report.
    """

    def __init__(self, reason: str, shown: str = "") -> None:
        super().__init__(reason)
        self.reason, self.shown = reason, shown


class RowCounts:
    """Counts of one kind of rows; `read` is `kept` plus all dropped rows.

    `added` counts items that occur in clicks, but in no item file.

    Args:
        what: "interaction" or "item".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.read = 0
        self.kept = 0
        self.added = 0
        self._dropped: dict[str, Finding] = {}
        self._changed: dict[str, Finding] = {}

    def drop(self, reason: str, examples: Iterable[str], count: int = 1) -> None:
        """Record `count` rows that are skipped."""
        _add(self._dropped, reason, f"the {self.what} is skipped", examples, count)

    def change(self, reason: str, action: str, examples: Iterable[str], count: int = 1) -> None:
        """Record `count` rows that are kept, but changed."""
        _add(self._changed, reason, action, examples, count)

    @property
    def dropped(self) -> LoadReport:
        """Dropped rows, by reason."""
        return LoadReport(tuple(self._dropped.values()))

    @property
    def changed(self) -> LoadReport:
        """Changed rows, by reason."""
        return LoadReport(tuple(self._changed.values()))

    def as_dict(self) -> dict[str, Any]:
        """The counts, for the report of the import."""
        return {
            "read": self.read,
            "kept": self.kept,
            "added": self.added,
            "dropped": self.dropped.as_dict(),
            "changed": self.changed.as_dict(),
        }

    def state(self) -> dict[str, Any]:
        """Everything as plain JSON values, for `restored`."""
        found = ([asdict(f) for f in of.values()] for of in (self._dropped, self._changed))
        return {"read": self.read, "kept": self.kept, "added": self.added, "found": list(found)}

    @classmethod
    def restored(cls, what: str, state: dict[str, Any]) -> "RowCounts":
        """The counts of a stored `state`."""
        counts = cls(what)
        counts.read, counts.kept, counts.added = state["read"], state["kept"], state["added"]
        for findings, stored in zip(
            (counts._dropped, counts._changed), state["found"], strict=True
        ):
            for values in stored:
                values = {**values, "examples": tuple(values["examples"])}
                findings[values["reason"]] = Finding(**values)
        return counts


def _add(
    findings: dict[str, Finding], reason: str, action: str, examples: Iterable[str], count: int
) -> None:
    if not count:
        return
    old = findings.get(reason) or Finding(reason, action, 0)
    kept = old.examples
    if len(kept) < EXAMPLES_KEPT:
        more = zip(examples, range(EXAMPLES_KEPT - len(kept)), strict=False)
        kept = (*kept, *(example for example, _ in more))
    findings[reason] = Finding(reason, action, old.count + int(count), kept)
