"""Records that the results database returns, detached from it."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np


@dataclass(frozen=True)
class RunInfo:
    """A run, with the names of its model, dataset and split.

    Attributes:
        id: of the run.
        model, role: name and role of the model.
        dataset, dataset_fingerprint: name and content of the dataset.
        cases, protocol, n_cases: fingerprint of the cases, how they were made, and their number.
        split, split_id: name and number of the split, if the run has one.
        seed, config, key: see `Store.run`.
        status: "running", "done", "interrupted" or "failed".
        started, ended: in UTC; `ended` is None while it runs.
        fit_seconds, score_seconds: None if they were not measured.
        package_version, commit: of the code.
    """

    id: str
    model: str
    role: str
    dataset: str
    dataset_fingerprint: str
    cases: str
    protocol: str
    n_cases: int
    split: str | None
    split_id: int | None
    seed: int
    config: dict
    key: str
    status: str
    started: datetime
    ended: datetime | None
    fit_seconds: float | None
    score_seconds: float | None
    package_version: str
    commit: str


@dataclass(frozen=True, eq=False)
class CaseTable:
    """The cases of a run, in the order of its ranks.

    Attributes:
        fingerprint, protocol, left_out: as in `eval.protocol.TestCases`.
        session: (n,) int32, row of the test session.
        length: (n,) int32, items of the prefix.
        target: (n,) int32, item row.
        cold: (n,) bool, whether the target occurs in no training session.
    """

    fingerprint: str
    protocol: str
    left_out: int
    session: np.ndarray
    length: np.ndarray
    target: np.ndarray
    cold: np.ndarray

    def __len__(self) -> int:
        return len(self.session)


@dataclass(frozen=True)
class SplitInfo:
    """A stored split; `counts` has the number of items of each role."""

    id: int
    name: str
    kind: str
    seed: int
    params: dict
    fingerprint: str
    dataset: str
    dataset_fingerprint: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Verdict:
    """A person's verdict on one case of a run, and when it was given (UTC)."""

    run_id: str
    case: int
    verdict: str
    note: str
    who: str
    time: datetime


def as_utc(time: datetime) -> datetime:
    """A stored time in UTC: SQLite drops the time zone, and a server may return another."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
