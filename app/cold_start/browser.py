"""Moves among the test cases of a results database."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.cold_start import cases
from app.cold_start.position import Position
from app.cold_start.rating import Rating
from app.cold_start.visitor import Visitor
from app.shell.case_reader import Case
from app.shell.shop import Shop
from eval.models.naming import NEIGHBOURS, VARIANT
from tpad.errors import DataError

if TYPE_CHECKING:
    from app.shell.evaluation import Evaluation
    from app.shell.results import CaseSet

KEYS = {
    "key": "cases-of",
    "part": "cases-part",
    "rule": "cases-rule",
    "first": "cases-first",
    "second": "cases-second",
}
"""Attribute of `Position` -> its key in the page's address."""


class CaseBrowser:
    """Selects and opens test cases.

    Args:
        shop: the open bundle, with a results database.

    Attributes:
        rating: the verdicts on the cases.
    """

    def __init__(self, shop: Shop) -> None:
        assert shop.results is not None
        self.shop, self.results = shop, shop.results
        self.rating = Rating(shop)

    def case_sets(self) -> "list[CaseSet]":
        """Sets of cases with a run of one of the open bundle's models."""
        return [
            one
            for one in self.results.case_sets()
            if self.own_models(self.results.evaluation(one.key))
        ]

    def own_models(self, evaluation: "Evaluation") -> list[str]:
        """Models that can be rated: those of the open bundle that have runs."""
        return [name for name in self.shop.models if name in evaluation.by_name]

    def other_models(self, evaluation: "Evaluation", first: str) -> list[str]:
        """Models that one can be compared with, the open bundle's first."""
        own = [name for name in self.own_models(evaluation) if name != first]
        return own + [
            name
            for name in evaluation.by_name
            if name not in own and name != first and not is_variant(name)
        ]

    def start(self, key: str = "") -> Position:
        """The position of a new visitor.

        Args:
            key: of a set of cases; the first set if there is no such set.
        """
        found = self.case_sets()
        if not found:
            return Position()
        key = key if key in {one.key for one in found} else found[0].key
        return self.valid(Position(key))

    def valid(self, position: Position) -> Position:
        """The same, with whatever does not exist replaced by a default."""
        evaluation = self.results.evaluation(position.key)
        own = self.own_models(evaluation)
        first = position.first if position.first in own else own[0]
        others = self.other_models(evaluation, first)
        second = position.second
        if second not in others:
            second = "knowledge" if "knowledge" in others else others[0] if others else first
        part = position.part if position.part in evaluation.masks else "all"
        return replace(position, first=first, second=second, part=part)

    def numbers(self, position: Position, me: Visitor) -> np.ndarray:
        """(m,) numbers of the selected cases."""
        evaluation = self.results.evaluation(position.key)
        rated = {one.case for one in self.rating.verdicts(position, me) if me.wrote(one)}
        names = [name for name in evaluation.by_name if not is_variant(name)]
        table = cases.rank_table([evaluation.by_name[name] for name in names])
        real = [name for name in names if evaluation.by_name[name].role in ("baseline", "tpad")]
        if position.rule == "none":  # an oracle cannot be wrong
            table = table[[*dict.fromkeys([*real, position.first, position.second])]]
        return cases.select_cases(
            table,
            evaluation.masks[position.part],
            position.rule,
            position.first,
            position.second,
            sorted(rated),
        )

    def open(self, position: Position, index: int, me: Visitor) -> Position:
        """Open the case with an index, or the nearest one; changes of the catalogue are dropped."""
        numbers = self.numbers(position, me)
        if not len(numbers):
            return replace(position, index=0, number=-1, hidden=(), added=())
        index = min(max(index, 0), len(numbers) - 1)
        return replace(position, index=index, number=int(numbers[index]), hidden=(), added=())

    def at_case(self, key: str, number: int) -> Position:
        """Open one case, with all cases selected."""
        position = self.start(key)
        if position.key != key:
            raise DataError("This case belongs to another dataset than the open bundle's.")
        if not 0 <= number < len(self.results.evaluation(key).selection.cases):
            raise DataError(f"There is no case {number} here; reload the page.")
        return replace(position, part="all", rule="all", index=number, number=number)

    def address(self, position: Position) -> dict[str, str]:
        """A position as values of the page's address; "" for defaults."""
        default = self.start()
        changed = {
            key: getattr(position, name)
            for name, key in KEYS.items()
            if getattr(position, name) != getattr(default, name)
        }
        values = {key: changed.get(key, "") for key in KEYS.values()}
        return values | {"case": str(position.number)}

    def from_address(self, values: Mapping[str, str], me: Visitor) -> Position | None:
        """The position that the page's address asks for; what does not exist is replaced.

        Args:
            values: of the address's query.
            me: the visitor.

        Returns:
            None if there are no cases.
        """
        start = self.start(values.get(KEYS["key"], ""))
        if not start.key:
            return None
        rule = values.get(KEYS["rule"], "")
        names = {
            name: values.get(KEYS[name], getattr(start, name))
            for name in ("part", "first", "second")
        }
        position = self.valid(replace(start, rule=rule if rule in cases.RULES else "all", **names))
        text = values.get("case", "")
        number = int(text) if text.isdecimal() and len(text) < 10 else -1
        numbers = self.numbers(position, me)
        if number in numbers:
            return self.open(position, int(np.flatnonzero(numbers == number)[0]), me)
        if 0 <= number < len(self.results.evaluation(position.key).selection.cases):
            return self.at_case(position.key, number)
        return self.open(position, 0, me)

    def case(self, position: Position) -> Case:
        """The open case."""
        evaluation = self.results.evaluation(position.key)
        run = next(iter(evaluation.selection.runs.values()))[0]
        return self.rating.reader.case(
            run.dataset_fingerprint, evaluation.selection.cases, position.number
        )


def is_variant(name: str) -> bool:
    """Whether a model is an ablation or the like, which is shown on request only."""
    return name.startswith(VARIANT) or name.endswith(NEIGHBOURS)
