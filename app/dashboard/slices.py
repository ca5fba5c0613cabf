"""Slices of the test cases, in words."""

from app.shell.evaluation import Evaluation
from eval.metrics.slices import KINDS, informative, kind_of

_TITLES = {
    "all": "All targets",
    "warm": "Warm targets, clicked in training",
    "cold": "Cold targets, never clicked in training",
    "held out": "Held-out targets",
    "few shot": "Few-shot targets",
    "repeat": "Targets already in the session",
    "no repeat": "Targets new to the session",
    "other categories": "Targets of other categories",
    "no category": "Targets without category",
}
_FORMS = {
    "length": "Sessions of {} items",
    "frequency": "Targets with {} training clicks",
    "category": "Targets of category {}",
}


def part_title(name: str) -> str:
    """A slice in words."""
    if name in _TITLES:
        return _TITLES[name]
    kind, _, rest = name.partition(" ")
    title = _FORMS.get(kind, "{}").format(rest or name)
    return title.replace(" 1 items", " 1 item")


def part_choices(evaluation: Evaluation, *, main: bool = False) -> list[tuple[str, str]]:
    """Slices to choose from, as (words, name).

    Args:
        evaluation: the runs.
        main: leave out the finer slices.
    """
    return [
        (f"{part_title(name)} ({int(mask.sum()):,})", name)
        for name, mask in informative(evaluation.masks).items()
        if not main or kind_of(name) is None
    ]


def kind_choices(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Kinds of finer slices that divide the cases, as (words, kind)."""
    found = [kind_of(name) for name in informative(evaluation.masks)]
    return [(f"By {words}", kind) for kind, words in KINDS.items() if kind in found]
