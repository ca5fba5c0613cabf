"""Counting what an import reads, keeps, drops and changes; it can be stored and gone on with."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tpad.data.report import EXAMPLES_KEPT, Finding, LoadReport


class Fault(Exception):
    """One row that cannot be used; the message is the reason, the same for all such rows."""

    def __init__(self, reason: str, shown: str = "") -> None:
        super().__init__(reason)
        self.reason, self.shown = reason, shown


class Tally:
    """Counts of one kind of rows; `read` is `kept` plus all that was dropped.

    `added` counts the rows that no file holds: items of which only the clicks tell.

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
        """Records `count` rows that are left out."""
        _add(self._dropped, reason, f"the {self.what} is left out", examples, count)

    def change(self, reason: str, action: str, examples: Iterable[str], count: int = 1) -> None:
        """Records `count` rows that are kept, but not as they were."""
        _add(self._changed, reason, action, examples, count)

    @property
    def dropped(self) -> LoadReport:
        """What was left out, by reason."""
        return LoadReport(tuple(self._dropped.values()))

    @property
    def changed(self) -> LoadReport:
        """What was changed, by reason."""
        return LoadReport(tuple(self._changed.values()))

    def as_dict(self) -> dict[str, Any]:
        """The counts, for people and programs to read."""
        return {
            "read": self.read,
            "kept": self.kept,
            "added": self.added,
            "dropped": self.dropped.as_dict(),
            "changed": self.changed.as_dict(),
        }

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON values, for `restored`."""
        found = ([asdict(f) for f in of.values()] for of in (self._dropped, self._changed))
        return {"read": self.read, "kept": self.kept, "added": self.added, "found": list(found)}

    @classmethod
    def restored(cls, what: str, state: dict[str, Any]) -> "Tally":
        """The tally that `state` was taken of."""
        tally = cls(what)
        tally.read, tally.kept, tally.added = state["read"], state["kept"], state["added"]
        for findings, stored in zip((tally._dropped, tally._changed), state["found"], strict=True):
            for values in stored:
                values = {**values, "examples": tuple(values["examples"])}
                findings[values["reason"]] = Finding(**values)
        return tally


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
