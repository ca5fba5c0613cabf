"""The result of downloading an address: a picture, or one of three kinds of failure."""

from dataclasses import dataclass
from enum import StrEnum

DETAIL_LENGTH = 300  # characters kept of a detail, which may quote what a server sent


class Kind(StrEnum):
    """Kind of a result; it decides whether a later run tries again."""

    OK = "ok"
    PERMANENT = "permanent"  # retried only on request
    TEMPORARY = "temporary"  # retried in this run and by the next one
    REFUSED = "refused"  # not allowed by the settings; checked again by the next run


class FetchError(Exception):
    """An address could not be downloaded. It becomes a `FetchResult` and is never shown as it is.

    Args:
        kind: PERMANENT, TEMPORARY or REFUSED.
        reason: short text, the same for all failures of this sort.
        detail: one sentence about this failure.
        status: HTTP status; 0 if there was no response.
        pause: seconds that the host asks clients to wait; None if it does not ask.
    """

    def __init__(
        self, kind: Kind, reason: str, detail: str, status: int = 0, pause: float | None = None
    ) -> None:
        super().__init__(detail)
        self.kind, self.reason, self.status, self.pause = kind, reason, status, pause
        self.detail = "".join(c if c.isprintable() else "?" for c in detail[:DETAIL_LENGTH])


@dataclass(frozen=True)
class FetchResult:
    """The result of one address.

    Attributes:
        url: as the table has it.
        kind: success, or the kind of failure.
        picture: path of the file, relative to the folder; "" after a failure.
        reason: of the failure, the same for all failures of this sort; "" after a success.
        detail: one sentence about this failure.
        status: HTTP status of the last response; 0 if there was none.
        attempts: number of requests; redirects do not count.
    """

    url: str
    kind: Kind
    picture: str = ""
    reason: str = ""
    detail: str = ""
    status: int = 0
    attempts: int = 0
