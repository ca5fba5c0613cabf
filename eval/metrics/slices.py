"""Named slices of the test cases: by target, session length, training frequency and category."""

from collections.abc import Mapping

import numpy as np

from eval.protocol import SLICES, TestCases
from tpad import Columns, DataError, Dataset

LENGTHS = {"1": (1, 1), "2": (2, 2), "3–4": (3, 4), "5+": (5, np.inf)}
FREQUENCIES = {
    "0": (0, 0),
    "1–5": (1, 5),
    "6–20": (6, 20),
    "21–100": (21, 100),
    ">100": (101, np.inf),
}
MOST_CATEGORIES = 20
KINDS = {
    "length": "length of the session",
    "frequency": "training clicks of the target",
    "category": "category of the target",
    "repeat": "whether the session contains the target",
}
"""Kinds of finer slices -> their names for people."""


def slices(
    cases: TestCases,
    dataset: Dataset,
    *,
    roles: np.ndarray | None = None,
    most_categories: int = MOST_CATEGORIES,
) -> dict[str, np.ndarray]:
    """All slices of the cases.

    "length" is the number of items of the prefix, repeats included; "frequency" is the number of clicks
    on the target in training sessions; "category" is that of the target; "repeat" means that the target
    is an item of the prefix. Each kind divides the cases, and so do "warm" and "cold".

    Args:
        cases: n cases of the dataset.
        dataset: the dataset.
        roles: (n_items,) str, see `Split.roles`; adds "held out" and "few shot" targets, if any.
        most_categories: number of categories with a slice of their own; those with the most cases.

    Returns:
        Name -> (n,) bool, in the order of a report; a slice may be empty.

    Raises:
        DataError: the cases are of another dataset.
    """
    if cases.dataset != dataset.fingerprint:
        raise DataError("The cases belong to another dataset; make them from this one.")
    masks = {name: cases.slice(name) for name in SLICES}
    if roles is not None:
        for role in ("held_out", "few_shot"):
            if (roles == role).any():
                masks[role.replace("_", " ")] = roles[cases.targets] == role
    masks |= by_length(cases.lengths)
    masks |= _binned("frequency", dataset.popularity[cases.targets], FREQUENCIES)
    masks |= _by_category(cases, dataset, most_categories)
    masks |= {"repeat": cases.repeats, "no repeat": ~cases.repeats}
    return masks


def kind_of(name: str) -> str | None:
    """Kind of a finer slice, one of `KINDS`; None for "all", "warm", "cold", "held out", "few shot"."""
    first = name.removeprefix("no ").removeprefix("other ").split(" ")[0]
    first = {"categories": "category"}.get(first, first)
    return first if first in KINDS else None


def informative(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Slices worth reporting: those with cases whose kind has several such slices."""
    some = {name: mask for name, mask in masks.items() if mask.any()}
    kinds = [kind_of(name) for name in some]
    return {
        name: mask
        for (name, mask), kind in zip(some.items(), kinds, strict=True)
        if kind is None or kinds.count(kind) > 1
    }


def by_length(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Slices by length of the prefix (n,): name -> (n,) bool."""
    return _binned("length", lengths, LENGTHS)


def _binned(kind: str, values: np.ndarray, bins: Mapping[str, tuple]) -> dict[str, np.ndarray]:
    return {
        f"{kind} {name}": (values >= low) & (values <= high) for name, (low, high) in bins.items()
    }


def _by_category(cases: TestCases, dataset: Dataset, most: int) -> dict[str, np.ndarray]:
    """Slices of the largest categories in alphabetical order, then of all other categories."""
    categories = dataset.items[Columns.CATEGORY].to_numpy(dtype=object)[cases.targets]
    names, place, counts = np.unique(categories, return_inverse=True, return_counts=True)
    counts[names == ""] = 0
    largest = np.argsort(-counts, kind="stable")[:most]
    kept = sorted(row for row in largest.tolist() if counts[row])
    if not kept:
        return {}
    masks = {f"category {names[row]}": place == row for row in kept}
    others = np.isin(place, kept, invert=True) & (categories != "")
    if others.any():
        masks["other categories"] = others
    if (categories == "").any():
        masks["no category"] = categories == ""
    return masks
