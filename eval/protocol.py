"""The evaluation protocol: which test cases there are, and which items are ranked.

All items are ranked, except those of the session if the history is masked. If it is masked, a case whose
target is already in its session cannot be predicted and is left out; the number of such cases is
reported.
"""

import typing
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from tpad import ConfigError, Dataset

CELLS_AT_ONCE = 8_000_000  # scores in memory at once: 32 MB
SLICES = ("all", "warm", "cold")
CASES = {"every_prefix": "every prefix", "last_item": "last item"}


class RankingModel(typing.Protocol):
    """A model that ranks items: TPAD and every baseline."""

    can_score_new_items: bool
    """Whether items without training clicks get a score other than −inf."""

    def fit(self, dataset: Dataset) -> "RankingModel":
        """Trains on the training sessions, with early stopping and the like on validation sessions."""
        ...

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        """(n, n_items) float32; −inf for an item that the model cannot score."""
        ...


@dataclass(frozen=True)
class Protocol:
    """Which cases are made of a test session, and whether its history is masked.

    Raises:
        ConfigError: `cases` is unknown.
    """

    cases: str = "every_prefix"
    """"every_prefix": each prefix predicts its next item, as in SR-GNN (Wu et al. 2019) and MMSBR
    (Zhang et al. 2023). "last_item": all clicks but the last predict the last."""
    mask_history: bool = True
    """Whether the items of the prefix are excluded from the candidates."""

    def __post_init__(self) -> None:
        if self.cases not in CASES:
            raise ConfigError(f"Unknown cases {self.cases!r}; choose one of {', '.join(CASES)}.")

    def __str__(self) -> str:
        """A line that is stored with the cases and is part of their fingerprint."""
        history = "masked" if self.mask_history else "kept"
        return f"{CASES[self.cases]}, all items ranked, history {history}"


@dataclass(frozen=True, eq=False)
class TestCases:
    """The test cases: every model predicts the same targets.

    Attributes:
        dataset: fingerprint of the dataset.
        protocol: the protocol in words.
        session: (n,) int64, row of the test session.
        prefixes: n int32 arrays of item rows, the most recent last.
        targets: (n,) int32, the next item.
        cold: (n,) bool, whether the target occurs in no training session.
        mask_history: whether the items of the prefix are excluded from the candidates.
        left_out: number of cases left out because their target is in the prefix.
    """

    __test__ = False  # not a test class for pytest

    dataset: str
    protocol: str
    session: np.ndarray
    prefixes: list[np.ndarray]
    targets: np.ndarray
    cold: np.ndarray
    mask_history: bool
    left_out: int

    def __len__(self) -> int:
        return len(self.prefixes)

    @classmethod
    def of(cls, dataset: Dataset, protocol: Protocol | None = None) -> "TestCases":
        """The cases of a dataset's test sessions; by default every prefix, history masked.

        Clicks marked as history are not targets, so a leave-one-out dataset has one case per user under
        either protocol.
        """
        protocol = protocol or Protocol()
        cases = dataset.test.prefixes()
        keep = np.ones(len(cases), dtype=bool)
        if protocol.cases == "last_item":
            keep[:-1] = np.diff(cases.session) != 0  # (n,); the cases of a session are adjacent
        n = int(keep.sum())
        if protocol.mask_history:
            keep &= ~contains_target(cases.prefixes, cases.targets)
        targets = cases.targets[keep]
        return cls(
            dataset.fingerprint,
            str(protocol),
            cases.session[keep],
            [prefix for prefix, kept in zip(cases.prefixes, keep, strict=True) if kept],
            targets,
            dataset.cold[targets],
            protocol.mask_history,
            n - int(keep.sum()),
        )

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) int64, items of each prefix."""
        return np.fromiter(map(len, self.prefixes), np.int64, len(self))

    @property
    def one_per_session(self) -> bool:
        """Whether no session has two cases, as in leave-one-out."""
        return len(np.unique(self.session)) == len(self)

    @cached_property
    def repeats(self) -> np.ndarray:
        """(n,) bool, whether the target is an item of its prefix; False if the history is masked."""
        return contains_target(self.prefixes, self.targets)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the cases; runs on cases with equal fingerprints can be compared."""
        digest = sha256(f"{self.dataset}/{self.protocol}".encode())
        for values in (self.session, self.targets, self.cold, self.lengths, *self.prefixes):
            digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
        return digest.hexdigest()

    def slice(self, name: str) -> np.ndarray:
        """(n,) bool, the cases of a slice: "all", "warm" or "cold" targets.

        For finer slices see `eval.metrics.slices`.
        """
        return {"all": np.ones(len(self), dtype=bool), "warm": ~self.cold, "cold": self.cold}[name]


def contains_target(prefixes: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Whether each of n prefixes contains its target (n,): (n,) bool."""
    # One by one: all prefixes of a long sequence together need memory quadratic in its length.
    pairs = zip(prefixes, targets, strict=True)
    return np.fromiter((target in prefix for prefix, target in pairs), bool, len(targets))
