"""Names of the models that are compared, the part that each plays, and their order in a table."""

from typing import Literal

from tpad.model.embedding_sets import EMBEDDING_SETS

Role = Literal["baseline", "tpad", "reference", "oracle"]
SUBJECT = "tpad"
SETS = tuple(name for name in EMBEDDING_SETS if name != SUBJECT)
"""Embedding sets as the report lists them; others follow, TPAD and its variants come last."""
VARIANT = "tpad-"
"""What stands before the name of an ablation."""
FULL = "full"
"""The set beside the ablations that leaves nothing out."""
NEIGHBOURS = "_neighbours"
"""What follows the name of a set whose nearest neighbours are recommended."""


def order_of(name: str) -> tuple[int, int, str]:
    """Where a model stands in a table: ids, sets and their neighbours, TPAD, what knows more."""
    from eval.baselines import BASELINES  # brings torch, which a reader of names can do without

    base = name.removesuffix(NEIGHBOURS)
    by_id, plain = list(BASELINES), list(SETS)
    if name in by_id:
        return 0, by_id.index(name), ""
    if base in ("attributes", "oracle"):
        return 5, 2 * (base == "oracle") + (base == name), ""
    if base.startswith(SUBJECT):
        return 3 + (base == name == SUBJECT), 0, name
    place = plain.index(base) if base in plain else len(plain)
    return 1 + (base == name), place, name
