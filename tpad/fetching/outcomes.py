"""What can become of an address: a picture, or one of three kinds of failure."""

from dataclasses import dataclass
from enum import StrEnum

DETAIL_LENGTH = 300  # characters kept of a detail, which may quote what a server sent


class Kind(StrEnum):
    """What a later run does with an address."""

    KEPT = "kept"  # there is a picture
    LASTING = "lasting"  # the server or the file is at fault: left alone until asked for
    PASSING = "passing"  # may pass by itself: retried in this run, and by the next one
    REFUSED = "refused"  # by our own rules, which may have changed by the next run


class FetchError(Exception):
    """Why one address gave no picture this time; never shown to a user as it is.

    Args:
        kind: LASTING, PASSING or REFUSED.
        reason: a few words that are the same for all such failures.
        detail: a sentence about this one.
        status: of HTTP; 0 if there was no answer.
        pause: seconds that the host asks to be left alone; None where it does not ask.
    """

    def __init__(
        self, kind: Kind, reason: str, detail: str, status: int = 0, pause: float | None = None
    ) -> None:
        super().__init__(detail)
        self.kind, self.reason, self.status, self.pause = kind, reason, status, pause
        self.detail = "".join(c if c.isprintable() else "?" for c in detail[:DETAIL_LENGTH])


@dataclass(frozen=True)
class Outcome:
    """What became of one address.

    Attributes:
        url: as the table has it.
        kind: what a later run does with it.
        picture: path of the file, relative to the folder; "" if it failed.
        reason: of the failure, the same for all of its sort; "" for a picture.
        detail: one sentence on this failure.
        status: of the last HTTP answer; 0 if there was none.
        attempts: requests made; redirects do not count.
    """

    url: str
    kind: Kind
    picture: str = ""
    reason: str = ""
    detail: str = ""
    status: int = 0
    attempts: int = 0
