"""Draws sessions from the law of the demo shop."""

from collections.abc import Iterator

import numpy as np

from tpad.world.law import Law

MIN_LENGTH, MAX_LENGTH = 2, 12
STOP = 0.36  # probability to leave after each click from the second on; 3.7 clicks on average


def draw_sessions(
    law: Law, count: int, rng: np.random.Generator, allowed: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield `count` sessions as arrays of item rows, of 2 to 12 items.

    Args:
        law: of the shop.
        count: how many.
        rng: random generator.
        allowed: (n_items,) bool, items that exist at that time; all by default.
    """
    for _ in range(count):
        length = MIN_LENGTH
        while length < MAX_LENGTH and rng.random() > STOP:
            length += 1
        session: list[int] = []
        for _ in range(length):
            cumulative = np.cumsum(law.next_item(np.array(session, dtype=np.int64), allowed))
            session.append(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], "right")))
        yield np.array(session, dtype=np.int32)
