"""Named parts of the cases of a run: by target, session length, training frequency, category."""

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
    "repeat": "whether the session holds the target",
}
"""Kinds of the finer slices, in words."""


def slices(
    cases: TestCases,
    dataset: Dataset,
    *,
    roles: np.ndarray | None = None,
    most_categories: int = MOST_CATEGORIES,
) -> dict[str, np.ndarray]:
    """The slices of some cases.

    Lengths count the items of the prefix, with repeats; frequencies are the target's clicks in
    training sessions; categories are the target's. Each of these three divides the cases, as "warm"
    and "cold" do and "repeat" and "no repeat" (whether the target is an item of the prefix).

    Args:
        cases: n cases of the dataset.
        dataset: what they were made of.
        roles: (n_items,) str, `Split.roles`: adds "held out" and "few shot" targets, if any.
        most_categories: so many categories, those of most cases, get a slice of their own.

    Returns:
        Name -> (n,) bool, in the order of a report. Names do not depend on the cases, but for the
        categories; a slice may be empty.

    Raises:
        DataError: the cases are of another dataset.
    """
    if cases.dataset != dataset.fingerprint:
        raise DataError("The cases were made of another dataset; make them of this one.")
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
    """Kind of a finer slice, one of `KINDS`; None for all, warm, cold, held out and few shot."""
    first = name.removeprefix("no ").removeprefix("other ").split(" ")[0]
    first = {"categories": "category"}.get(first, first)
    return first if first in KINDS else None


def informative(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The slices that say something: those with cases, if their kind divides the cases at all."""
    some = {name: mask for name, mask in masks.items() if mask.any()}
    kinds = [kind_of(name) for name in some]
    return {
        name: mask
        for (name, mask), kind in zip(some.items(), kinds, strict=True)
        if kind is None or kinds.count(kind) > 1
    }


def by_length(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """The slices by length of the prefix: (n,) items of each -> name -> (n,) bool."""
    return _binned("length", lengths, LENGTHS)


def _binned(kind: str, values: np.ndarray, bins: Mapping[str, tuple]) -> dict[str, np.ndarray]:
    return {
        f"{kind} {name}": (values >= low) & (values <= high) for name, (low, high) in bins.items()
    }


def _by_category(cases: TestCases, dataset: Dataset, most: int) -> dict[str, np.ndarray]:
    """Masks of the largest categories in the order of their names, then of all others together."""
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
