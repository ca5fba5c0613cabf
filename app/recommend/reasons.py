"""Which part of the recommender speaks for an item, with its evidence. Pure computation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tpad.model.session.evidence import Evidence, ScoreParts, sessions_with

NEGLIGIBLE = 0.005  # parts that add less, in nats, are left out
MOST_PAIRS = 3  # of clicked items, shown as evidence


@dataclass(frozen=True)
class Pair:
    """Two clicked items whose clicks in training speak for an item.

    Attributes:
        element: place in the session of the element that the pair is about.
        other: title of that element, or of the clicked item that stands in for it.
        other_stands_in: whether `other` is a stand-in.
        item: title of the clicked item that stands in for the explained item; "" for the item itself.
        other_first: whether `other` was clicked first.
        sessions: number of training sessions with these clicks in this order; None if the bundle has no
            training sessions.
    """

    element: int
    other: str
    other_stands_in: bool
    item: str
    other_first: bool = True
    sessions: int | None = None


@dataclass(frozen=True)
class Reason:
    """What one part of the recommender adds to the score of an item.

    Attributes:
        part: "memory", "neighbours", "network", "cosine" or "offset".
        value: what it adds, in nats; exp(value) is the factor of the item's weight.
        element: place in the session of the element that adds most to the part; None if the part does
            not tell the elements apart.
        pairs: the evidence of the memory, the largest share first.
    """

    part: str
    value: float
    element: int | None = None
    pairs: tuple[Pair, ...] = ()


def reasons_of(
    parts: ScoreParts, network_of: np.ndarray, pairs: Sequence[Pair] = ()
) -> list[Reason]:
    """The parts of a score, the largest first, without those that add nothing.

    Args:
        parts: of the score.
        network_of: (n,), what each element of the session adds to the network's part.
        pairs: the evidence of the memory, see `pairs_of`.
    """
    found = [
        Reason("memory", parts.memory, int(parts.memory_of.argmax()), tuple(pairs)),
        Reason("neighbours", parts.neighbours),
        Reason("network", parts.network, int(network_of.argmax())),
        Reason("cosine", parts.cosine, int(parts.cosine_of.argmax())),
        Reason("offset", parts.offset),
    ]
    found = [reason for reason in found if abs(reason.value) >= NEGLIGIBLE]
    return sorted(found, key=lambda reason: -reason.value)


def pairs_of(
    parts: ScoreParts,
    places: Sequence[int | None],
    row: int,
    title: Callable[[int], str],
    clicks: np.ndarray,
    owners: np.ndarray,
) -> list[Pair]:
    """The clicks that give an item its memory score, in words.

    The memory counts a pair in both orders. A pair that no session has in the order from the session to
    the item is shown in the opposite order.

    Args:
        parts: of the item's score.
        places: row of each element of the session; None for one that is not in the catalogue.
        row: of the item.
        title: of a row.
        clicks, owners: of the training sessions, see `Sessions`; empty if they are not known.
    """
    evidence = [(one, number) for number, group in enumerate(parts.evidence) for one in group]
    evidence.sort(key=lambda pair: -pair[0].share)
    found = []
    for one, number in evidence:
        first, sessions = _counted(one, clicks, owners)
        if sessions == 0:  # the memory was fitted to other sessions
            continue
        item = "" if one.target == row else title(one.target)
        stands_in = one.source != places[number]
        found.append(Pair(number, title(one.source), stands_in, item, first, sessions))
        if len(found) == MOST_PAIRS:
            break
    return found


def _counted(one: Evidence, clicks: np.ndarray, owners: np.ndarray) -> tuple[bool, int | None]:
    """Whether the source was clicked first, and in how many sessions."""
    if one.sessions is None or one.sessions:
        return True, one.sessions
    return False, sessions_with(clicks, owners, one.target, one.source)
