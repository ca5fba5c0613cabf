"""Names, roles and table order of the compared models."""

from collections.abc import Iterable, Mapping
from typing import Literal

from tpad.model.embedding_sets import EMBEDDING_SETS

Role = Literal["baseline", "tpad", "reference", "oracle"]
SUBJECT = "tpad"
SETS = tuple(name for name in EMBEDDING_SETS if name != SUBJECT)
"""Embedding sets in the order of a report; other sets follow, then TPAD and its variants."""
VARIANT = "tpad-"
"""Prefix of the names of ablations."""
FULL = "full"
"""Name of the full method that is trained with the ablations."""
NEIGHBOURS = "_neighbours"
"""Suffix of the names of models that recommend nearest neighbours in an embedding set."""
ENSEMBLES = {"vsknn_tfidf": "vsknn", "ease_tfidf": "ease"}
"""Name of an ensemble with nearest neighbours by TF-IDF -> its baseline by item id."""


def main_set(sets: Iterable[str]) -> str:
    """The main one of several sets: "tpad", or else the first, such as the given vectors of a bundle that
    was trained on them alone."""
    names = list(sets)
    return SUBJECT if SUBJECT in names or not names else names[0]


def subject_of(roles: Mapping[str, str]) -> str:
    """The model that a report is about by default.

    Args:
        roles: name -> role of each model.
    """
    ours = (name for name, role in roles.items() if role == "tpad")
    return main_set(name for name in ours if not name.startswith(VARIANT))


def order_of(name: str) -> tuple[int, int, str]:
    """Sort key of a model in a table: baselines by item id, ensembles, embedding sets, TPAD, references."""
    from eval.baselines import BASELINES  # imports torch, which is not needed for the names

    base = name.removesuffix(NEIGHBOURS)
    by_id, plain = [*BASELINES, *ENSEMBLES], list(SETS)
    if name in by_id:
        return 0, by_id.index(name), ""
    if base in ("attributes", "oracle"):
        return 5, 2 * (base == "oracle") + (base == name), ""
    if base.startswith(SUBJECT):
        return 3 + (base == name == SUBJECT), 0, name
    place = plain.index(base) if base in plain else len(plain)
    return 1 + (base == name), place, name
