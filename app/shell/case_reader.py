"""Turns the numbers of stored test cases back into sessions of the open bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.database.records import CaseTable, SplitInfo
from tpad.data.dataset import Dataset
from tpad.data.sessions import Sessions
from tpad.errors import DataError, TpadError


@dataclass(frozen=True)
class Case:
    """One test case.

    Attributes:
        number: from 0, in the order of the runs' ranks.
        prefix: item rows of the session so far, most recent last.
        target: row of the true next item.
        cold: whether the target occurs in no training session.
    """

    number: int
    prefix: tuple[int, ...]
    target: int
    cold: bool


class CaseReader:
    """Reads the cases of a dataset and of its splits.

    Args:
        dataset: of the open bundle.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._test: dict[str, Sessions] = {dataset.fingerprint: dataset.test}
        self._tried: set[str] = set()  # fingerprints of splits that were made or cannot be made

    def knows(self, fingerprint: str) -> bool:
        """Whether the cases of the dataset with this fingerprint can be read."""
        return fingerprint in self._test

    def add_splits(self, splits: Sequence[SplitInfo], wanted: Mapping[int, str]) -> None:
        """Make stored splits of the dataset again, so that their cases can be read.

        Args:
            splits: as stored.
            wanted: id of a split -> fingerprint of the dataset that its runs were evaluated on.
        """
        from eval.splits.split import SplitConfig, make_split  # imports scipy.stats

        for split in splits:
            fingerprint = wanted.get(split.id)
            if fingerprint is None or fingerprint in self._tried or self.knows(fingerprint):
                continue
            self._tried.add(fingerprint)
            try:
                made = make_split(
                    self.dataset, SplitConfig(split.kind, split.seed, **split.params)
                ).dataset
            except (TpadError, TypeError):  # a split of another shop, or of a later version
                continue
            if made.fingerprint == fingerprint:
                self._test[fingerprint] = made.test

    def case(self, fingerprint: str, cases: CaseTable, number: int) -> Case:
        """One case.

        Args:
            fingerprint: of the dataset.
            cases: the cases of a run.
            number: of the case.

        Raises:
            DataError: the session does not exist or has other items.
        """
        sessions = self._test[fingerprint].items
        session, length = int(cases.session[number]), int(cases.length[number])
        target = int(cases.target[number])
        rows = sessions[session].tolist() if 0 <= session < len(sessions) else []
        if length >= len(rows) or rows[length] != target:
            raise DataError("This case is not one of the open bundle's test sessions.")
        return Case(number, tuple(rows[:length]), target, bool(cases.cold[number]))
