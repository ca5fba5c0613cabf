"""Who rates the test cases."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.cold_start.verdicts import visitor_of
from eval.database.records import Verdict


@dataclass(frozen=True)
class Visitor:
    """Who rates.

    Attributes:
        id: tells visitors apart; each browser stores its own. "" before the first verdict.
        kept: the visitor's verdicts, oldest first, if nothing can be stored.
    """

    id: str = ""
    kept: tuple[Verdict, ...] = ()

    @property
    def with_id(self) -> "Visitor":
        """The same visitor, with a new id if there was none."""
        return self if self.id else replace(self, id=secrets.token_hex(6))

    def wrote(self, verdict: Verdict) -> bool:
        """Whether a verdict is the visitor's own."""
        return bool(self.id) and visitor_of(verdict.who) == self.id


def visitor_from(browser: Any, kept: Sequence[Verdict]) -> Visitor:
    """The visitor with the id that a browser sends; one without an id if that is not valid.

    Args:
        browser: the id as sent, which may be anything.
        kept: the visitor's verdicts, if nothing can be stored.
    """
    valid = isinstance(browser, str) and re.fullmatch("[0-9a-f]{12}", browser)
    return Visitor(browser if valid else "", tuple(kept))
