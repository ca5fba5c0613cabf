"""Pseudo-cold items: warm items whose clicks are held out, to validate how new items are ranked.

Validation sessions have warm targets only. A tenth of the warm items is therefore held out of the
training sessions **[ours]**. Neither test sessions nor cold items are used.
"""

import numpy as np

from tpad.data.sessions import Sessions

PSEUDO_COLD_SHARE = 0.1
PSEUDO_COLD_SEED = 41  # one draw for all embedding sets, so that they face the same items


def pseudo_cold(warm: np.ndarray) -> np.ndarray:
    """(n_items,) bool, the tenth of the warm items that plays cold; the same for all embedding sets."""
    warm = np.asarray(warm, dtype=bool)
    rows = np.flatnonzero(warm)
    draw = np.random.default_rng(PSEUDO_COLD_SEED).permutation(rows)
    found = np.zeros(len(warm), bool)
    found[draw[: max(1, round(PSEUDO_COLD_SHARE * len(rows)))]] = True
    return found


def hold_out(sessions: Sessions, kept: np.ndarray) -> Sessions:
    """The sessions without the clicks on items that are not `kept`; short ones drop out."""
    shorter = [items[kept[items]] for items in sessions.items]
    rows = np.array([i for i, items in enumerate(shorter) if len(items) > 1], dtype=np.int64)
    return Sessions(sessions.ids[rows], [shorter[i] for i in rows], sessions.starts[rows])
