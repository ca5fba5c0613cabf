"""A hand-sized shop for the tests of `eval`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tpad.data.dataset import Dataset
from tpad.data.sessions import Sessions

KINDS, COLOURS = 4, 6


def sessions_of(items: list, prefix: str = "s") -> Sessions:
    ids = np.array([f"{prefix}{i}" for i in range(len(items))], dtype=object)
    rows = [np.asarray(session, dtype=np.int32) for session in items]
    return Sessions(ids, rows, np.arange(len(items), dtype=np.int64))


def dataset_of(train: list, validation: list, test: list, n_items: int, **columns) -> Dataset:
    items = pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(n_items)],
            "title": columns.pop("title", [f"item {row}" for row in range(n_items)]),
            "description": "",
            "category": columns.pop("category", ""),
            "price": columns.pop("price", np.nan),
            "image": "",
            **columns,
        }
    )
    parts = [
        sessions_of(split, name)
        for name, split in (("train", train), ("validation", validation), ("test", test))
    ]
    return Dataset(items, Path("."), *parts)


@pytest.fixture(scope="session")
def shop() -> Dataset:
    """Items are (kind, colour); the next kind in the same colour follows. 7 and 16 are cold."""
    n_items = KINDS * COLOURS
    kind, colour = np.divmod(np.arange(n_items), COLOURS)
    cold = np.isin(np.arange(n_items), [7, 16])
    rng = np.random.default_rng(0)

    def walks(count: int, allow_cold: bool) -> list:
        found = []
        while len(found) < count:
            start = int(rng.integers(n_items))
            walk = [((start // COLOURS + i) % KINDS) * COLOURS + start % COLOURS for i in range(3)]
            if allow_cold or not cold[walk].any():
                found.append(walk)
        return found

    kinds, colours = ["phone", "case", "cable", "charger"], list("abcdef")
    return dataset_of(
        walks(200, False),
        walks(30, False),
        walks(40, True),
        n_items,
        title=[f"{kinds[k]} colour{colours[c]}" for k, c in zip(kind, colour, strict=True)],
        category=[kinds[k] for k in kind],
        price=np.where(np.arange(n_items) == 3, np.nan, 5.0 + 10 * kind),
        attr_kind=[kinds[k] for k in kind],
        attr_colour=[colours[c] for c in colour],
    )
