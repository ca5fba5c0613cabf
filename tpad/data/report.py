"""Reports of invalid rows: they are counted and described, and stop nothing by themselves."""

from collections.abc import Iterable
from dataclasses import dataclass

from tpad.errors import DataError, shown

EXAMPLES_KEPT = 5
_LONGEST_EXAMPLE = 300  # characters


@dataclass(frozen=True)
class Finding:
    """One kind of error or change, and how often it occurred.

    Attributes:
        reason: what was found, for instance "duplicate item_id".
        action: what was done about it, for instance "the first row is kept".
        count: number of affected rows (or sessions, or pictures).
        examples: the first few, each with its row.
        is_error: False for a change that follows from the settings.
    """

    reason: str
    action: str
    count: int
    examples: tuple[str, ...] = ()
    is_error: bool = True

    def __str__(self) -> str:
        examples = f" (for instance {'; '.join(self.examples)})" if self.examples else ""
        return f"{self.count:>8,}  {self.reason}: {self.action}{examples}"


@dataclass(frozen=True)
class LoadReport:
    """All findings of loading one dataset, in the order in which they occurred."""

    findings: tuple[Finding, ...] = ()

    def count(self, reason: str) -> int:
        """How often `reason` occurred."""
        return sum(finding.count for finding in self.findings if finding.reason == reason)

    @property
    def errors(self) -> int:
        """Number of errors in the tables, without changes that follow from the settings."""
        return sum(finding.count for finding in self.findings if finding.is_error)

    def __add__(self, other: "LoadReport") -> "LoadReport":
        return LoadReport(self.findings + other.findings)

    def as_dict(self) -> dict[str, dict]:
        """The report as plain JSON values: count, action and examples by reason."""
        merged: dict[str, dict] = {}
        for f in self.findings:  # both tables may have the same reason
            entry = merged.setdefault(f.reason, {"count": 0, "action": f.action, "examples": []})
            entry["count"] += f.count
            entry["examples"] = [*entry["examples"], *f.examples][:EXAMPLES_KEPT]
        return merged

    def __str__(self) -> str:
        if not self.findings:
            return "The tables have no errors."
        return "\n".join(map(str, self.findings))


class ReportBuilder:
    """Collects findings while a dataset is read.

    Args:
        strict: raise a `DataError` at the first error instead of counting it.
    """

    def __init__(self, strict: bool = False):
        self.strict = strict
        self._findings: list[Finding] = []

    def error(self, reason: str, action: str, examples: Iterable[str], count: int) -> None:
        """Record `count` errors of the user's table; nothing if `count` is 0."""
        self._add(reason, action, examples, count, is_error=True)

    def note(self, reason: str, action: str, examples: Iterable[str], count: int) -> None:
        """Record `count` changes that follow from the settings; never raised."""
        self._add(reason, action, examples, count, is_error=False)

    def __len__(self) -> int:
        """Number of findings so far."""
        return len(self._findings)

    def evidence(self, since: int = 0) -> str:
        """The findings from number `since` on, as part of a sentence; "" if there are none.

        For instance "3 × unreadable timestamp, such as clicks.csv row 2 ('soon')".
        """
        return "; ".join(
            f"{f.count:,} × {f.reason}" + (f", such as {f.examples[0]}" if f.examples else "")
            for f in self._findings[since:]
        )

    def build(self) -> LoadReport:
        return LoadReport(tuple(self._findings))

    def _add(
        self, reason: str, action: str, examples: Iterable[str], count: int, is_error: bool
    ) -> None:
        if count == 0:
            return
        kept = tuple(
            shown(example, _LONGEST_EXAMPLE)
            for example, _ in zip(examples, range(EXAMPLES_KEPT), strict=False)
        )
        if is_error and self.strict:
            where = kept[0] if kept else "the table"
            more = f" ({count:,} such cases)" if count > 1 else ""
            raise DataError(
                f"{where}: {reason}{more}; correct the table, or load it without strict mode; "
                f"then {action}."
            )
        self._findings.append(Finding(reason, action, int(count), kept, is_error))
