"""Datasets from lists of sessions, for the tests of `eval`."""

from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.dataset import Dataset
from tpad.data.sessions import Sessions


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
