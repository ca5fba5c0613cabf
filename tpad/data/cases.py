"""Validation cases, and the items that are excluded from a case's ranking."""

from collections.abc import Sequence

import numpy as np

from tpad.data.sessions import Cases, Sessions


def known_cases(
    sessions: Sessions, known: np.ndarray, *, max_length: int | None, mask_seen: bool
) -> Cases:
    """The prefixes of the sessions whose next item is a possible target.

    Args:
        sessions: for instance the validation sessions.
        known: (n_items,) bool, items that may be targets.
        max_length: cut a prefix to its most recent items; None keeps all.
        mask_seen: skip cases whose target is in the (cut) prefix.
    """
    cases = sessions.prefixes(max_length)
    keep = np.array(
        [
            bool(known[target]) and not (mask_seen and target in prefix)
            for prefix, target in zip(cases.prefixes, cases.targets, strict=True)
        ],
        dtype=bool,
    )
    prefixes = [prefix for prefix, kept in zip(cases.prefixes, keep, strict=True) if kept]
    return Cases(cases.session[keep], prefixes, cases.targets[keep])


def mask_history(scores: np.ndarray, prefixes: Sequence[np.ndarray]) -> None:
    """Set the scores of each prefix's items to −inf, in place.

    Args:
        scores: (n, n_items) float.
        prefixes: n arrays of item rows.
    """
    if len(prefixes):
        row = np.repeat(np.arange(len(prefixes)), [len(prefix) for prefix in prefixes])
        scores[row, np.concatenate(prefixes)] = -np.inf
