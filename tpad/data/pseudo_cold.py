"""Pseudo-cold items: warm items that are held out of training, to validate the ranking of new items.

All targets of validation sessions are warm. Therefore a tenth of the warm items is held out of the
training sessions **[ours]**. Neither test sessions nor cold items are used.
"""

import numpy as np

from tpad.data.sessions import Sessions

PSEUDO_COLD_SHARE = 0.1
PSEUDO_COLD_SEED = 41  # fixed, so that all embedding sets have the same pseudo-cold items


def pseudo_cold(warm: np.ndarray) -> np.ndarray:
    """Draw the pseudo-cold items, a tenth of the warm items: (n_items,) bool."""
    warm = np.asarray(warm, dtype=bool)
    rows = np.flatnonzero(warm)
    draw = np.random.default_rng(PSEUDO_COLD_SEED).permutation(rows)
    found = np.zeros(len(warm), bool)
    found[draw[: max(1, round(PSEUDO_COLD_SHARE * len(rows)))]] = True
    return found


def hold_out(sessions: Sessions, kept: np.ndarray) -> Sessions:
    """The sessions without clicks on items that are not `kept`; those of less than two clicks are dropped."""
    shorter = [items[kept[items]] for items in sessions.items]
    rows = np.array([i for i, items in enumerate(shorter) if len(items) > 1], dtype=np.int64)
    return Sessions(sessions.ids[rows], [shorter[i] for i in rows], sessions.starts[rows])
