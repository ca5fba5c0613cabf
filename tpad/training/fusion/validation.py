"""The sessions and cases on which the fused recommender is tuned.

A tenth of the clicked items is pseudo-cold: their clicks are removed from the training sessions. Targets are
all clicks of the validation sessions, on clicked, pseudo-cold and new items, in their shares. Candidates are
the items that occur in training or validation sessions. If there are few validation sessions, the last
training sessions are added to them **[ours]**. Test sessions are not used.
"""

from dataclasses import dataclass, replace

import numpy as np

from tpad.data.cases import known_cases
from tpad.data.pseudo_cold import hold_out, pseudo_cold
from tpad.data.sessions import Cases, Sessions

K = 20
GAINS = 1 + 1 / np.arange(1, K + 1)
"""What a target at each rank adds to P@20 + MRR@20."""
ENOUGH = 1_000
"""Validation sessions; if there are fewer, training sessions are added."""
SHARE = 0.2
"""Largest share of the training sessions that are added."""
MAX_CASES = 6_000
MAX_SCORES = 150_000_000
"""Upper bound on validation cases times items."""
SEED = 17  # of the sample of validation cases


@dataclass(frozen=True, eq=False)
class Validation:
    """What is held out while tuning.

    Attributes:
        train: the remaining training sessions.
        cases: validation cases.
        candidates: (n_items,) bool.
        clicked: (n_items,) bool, the items with clicks in `train`.
        mask_seen: whether items of the session are excluded from its candidates and targets.
    """

    train: Sessions
    cases: Cases
    candidates: np.ndarray
    clicked: np.ndarray
    mask_seen: bool

    @classmethod
    def of(
        cls, train: Sessions, validation: Sessions, warm: np.ndarray, *, mask_seen: bool
    ) -> "Validation":
        """Hold out pseudo-cold items, and training sessions if there are few validation sessions.

        Args:
            train, validation: sessions.
            warm: (n_items,) bool, items of the training sessions.
            mask_seen: see above.
        """
        candidates = np.zeros(len(warm), bool)
        candidates[train.clicks] = candidates[validation.clicks] = True
        more = min(max(ENOUGH - len(validation), 0), int(SHARE * len(train)))
        if not len(validation):
            more = 0  # then nothing is tuned
        rest = train.take(np.arange(len(train) - more))
        last = train.take(np.arange(len(train) - more, len(train)))
        reduced = hold_out(rest, warm & ~pseudo_cold(warm))
        clicked = np.zeros(len(warm), bool)
        clicked[reduced.clicks] = True
        found = [
            known_cases(part, candidates, max_length=None, mask_seen=mask_seen)
            for part in (last, validation)
        ]
        cases = Cases(
            np.concatenate([found[0].session, len(last) + found[1].session]),
            found[0].prefixes + found[1].prefixes,
            np.concatenate([found[0].targets, found[1].targets]),
        )
        most = min(MAX_CASES, max(1, MAX_SCORES // len(warm)))
        return cls(reduced, sampled(cases, most), candidates, clicked, mask_seen)

    def on_clicked(self) -> "Validation":
        """Only the cases with clicked targets."""
        return replace(self, cases=some(self.cases, self.clicked[self.cases.targets]))


def sampled(cases: Cases, most: int) -> Cases:
    """All cases, or a sample of so many."""
    if len(cases) <= most:
        return cases
    order = np.random.default_rng(SEED).permutation(len(cases))
    return some(cases, np.sort(order[:most]))


def some(cases: Cases, rows: np.ndarray) -> Cases:
    """The cases of some rows, given by number or by a mask."""
    numbers = np.arange(len(cases))[rows]
    prefixes = [cases.prefixes[row] for row in numbers]
    return Cases(cases.session[numbers], prefixes, cases.targets[numbers])
