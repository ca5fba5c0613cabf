"""How models are asked: which cases, all items ranked, history masked or not.

Masking the history is a recorded choice: in the demo shop a session never repeats an item, so an
item of the session is no candidate for any model. Where sessions of a real shop do repeat an item,
such a case has no candidate that is right and is left out; how many were is part of the record.
"""

import typing
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from tpad import ConfigError, Dataset

CELLS_AT_ONCE = 8_000_000  # scores held in memory at once: 32 MB
SLICES = ("all", "warm", "cold")
CASES = {"every_prefix": "every prefix", "last_item": "last item"}


class RankingModel(typing.Protocol):
    """A model that ranks: TPAD and every baseline."""

    can_score_new_items: bool
    """Whether items of no training session get a score other than −inf."""

    def fit(self, dataset: Dataset) -> "RankingModel":
        """Learns from the training sessions, and settles choices on the validation sessions."""
        ...

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        """(n, n_items) float32; −inf for an item that the model cannot score."""
        ...


@dataclass(frozen=True)
class Protocol:
    """What is asked of a test session. All items are ranked, always.

    Raises:
        ConfigError: there are no such cases.
    """

    cases: str = "every_prefix"
    """"every_prefix": each prefix predicts its next item, as in SR-GNN (Wu et al. 2019) and MMSBR
    (Zhang et al. 2023). "last_item": all clicks but the last predict the last."""
    mask_history: bool = True
    """Whether the items of the prefix are no candidates."""

    def __post_init__(self) -> None:
        if self.cases not in CASES:
            raise ConfigError(
                f"There are no cases {self.cases!r}; choose one of {', '.join(CASES)}."
            )

    def __str__(self) -> str:
        """The line that is recorded. It enters fingerprints, so it never changes."""
        history = "masked" if self.mask_history else "kept"
        return f"{CASES[self.cases]}, all items ranked, history {history}"


@dataclass(frozen=True, eq=False)
class TestCases:
    """The cases that every model is asked.

    Attributes:
        dataset: fingerprint of the dataset.
        protocol: what was done, in words; part of the record.
        session: (n,) int64, row of the test session.
        prefixes: n int32 arrays of item rows, the most recent last.
        targets: (n,) int32, the next item.
        cold: (n,) bool, whether the target occurs in no training session.
        mask_history: whether the items of the prefix are no candidates.
        left_out: number of cases left out since their target is in the prefix.
    """

    __test__ = False  # no test class, whatever its name

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

        Clicks that a session marks as history are no targets, so a leave-one-out dataset has one
        case a user under either protocol.
        """
        protocol = protocol or Protocol()
        cases = dataset.test.prefixes()
        keep = np.ones(len(cases), dtype=bool)
        if protocol.cases == "last_item":
            keep[:-1] = np.diff(cases.session) != 0  # (n,) the cases of a session are in order
        asked = int(keep.sum())
        if protocol.mask_history:
            keep &= ~holds(cases.prefixes, cases.targets)
        targets = cases.targets[keep]
        return cls(
            dataset.fingerprint,
            str(protocol),
            cases.session[keep],
            [prefix for prefix, kept in zip(cases.prefixes, keep, strict=True) if kept],
            targets,
            dataset.cold[targets],
            protocol.mask_history,
            asked - int(keep.sum()),
        )

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) int64, items of each prefix."""
        return np.fromiter(map(len, self.prefixes), np.int64, len(self))

    @cached_property
    def repeats(self) -> np.ndarray:
        """(n,) bool, whether the target is an item of its prefix; never if history is masked."""
        return holds(self.prefixes, self.targets)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the cases: ranks of equal fingerprints can be compared case by case."""
        digest = sha256(f"{self.dataset}/{self.protocol}".encode())
        for values in (self.session, self.targets, self.cold, self.lengths, *self.prefixes):
            digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
        return digest.hexdigest()

    def slice(self, name: str) -> np.ndarray:
        """(n,) bool, the cases of a slice: "all", "warm" or "cold" (of the target).

        `eval.metrics.slices.slices` has the finer ones.
        """
        return {"all": np.ones(len(self), dtype=bool), "warm": ~self.cold, "cold": self.cold}[name]


def holds(prefixes: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Whether each of n prefixes holds its target (n,): (n,) bool."""
    # Long sequences have many prefixes; joined, they would need memory squared in their length.
    pairs = zip(prefixes, targets, strict=True)
    return np.fromiter((target in prefix for prefix, target in pairs), bool, len(targets))
