"""What the tab for checking by hand does: from results and a visitor's place in them to its HTML."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from app.cold_start import cases, views
from app.cold_start.cases import Case, CaseBook
from app.cold_start.views import Answer, Shown, Standing
from app.compare.agreement import ranks as places_of
from app.shell.actions import Shop
from app.shell.address_parts import HAND_KEYS
from app.shell.names import model_title
from app.shell.state import Element
from app.shell.text import readable
from eval.database.records import RunInfo, Verdict
from eval.models.naming import NEIGHBOURS, VARIANT
from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.io.texts import checked_text

if TYPE_CHECKING:
    from app.shell.results import Choice, Outcome, Results

LIST_LENGTH = 6  # items shown of each list
MOST_ADDED = 5  # pictures that one visitor may add to the catalogue
MAX_NOTE = 500
MAX_NAME = 60


@dataclass(frozen=True)
class Walk:
    """Where a visitor is among the cases.

    Attributes:
        key: fingerprint of the cases; "" before anything was opened.
        part: the slice.
        rule: one of `app.cold_start.cases.RULES`.
        first, second: the model that is judged and the one it is held against.
        position: among the cases that the rule picks.
        number: of the case that is open; -1 if none was opened yet.
        hidden: rows that the visitor took out of the catalogue.
        added: what the visitor put into it.
        address: number of the last address of the page that was followed.
    """

    key: str = ""
    part: str = "cold"
    rule: str = "all"
    first: str = ""
    second: str = ""
    position: int = 0
    number: int = -1
    hidden: tuple[int, ...] = ()
    added: tuple[Element, ...] = ()
    address: int = 0


@dataclass(frozen=True)
class Visitor:
    """Who judges.

    Attributes:
        id: tells visitors apart; a browser keeps its own. "" before the first verdict.
        kept: the verdicts given, oldest first, where nothing can be stored.
    """

    id: str = ""
    kept: tuple[Verdict, ...] = ()

    @property
    def named(self) -> "Visitor":
        """The same, with an id."""
        return self if self.id else replace(self, id=secrets.token_hex(6))

    def wrote(self, verdict: Verdict) -> bool:
        """Whether a verdict is this visitor's own."""
        return bool(self.id) and cases.visitor_of(verdict.who) == self.id


def visitor_from(browser: Any, kept: Sequence[Verdict]) -> Visitor:
    """The visitor whom a browser names; one without an id where it names none.

    Args:
        browser: what it sends as its id, which may be anything.
        kept: the visitor's verdicts, where nothing can be stored.
    """
    known = isinstance(browser, str) and re.fullmatch("[0-9a-f]{12}", browser)
    return Visitor(browser if known else "", tuple(kept))


class Checking:
    """Everything that the tab asks for.

    Args:
        shop: the open bundle, with its results.
    """

    def __init__(self, shop: Shop) -> None:
        assert shop.results is not None
        self.shop = shop
        self.results: Results = shop.results
        self.book = self.results.book or CaseBook(shop.catalogue.dataset)

    # --- what there is to choose from ----------------------------------------------------------

    def choices(self) -> "list[Choice]":
        """Sets of cases that can be shown: those of the open bundle's shop with a run of its models."""
        return [one for one in self.results.choices() if self.judged(self.results.outcome(one.key))]

    def judged(self, outcome: "Outcome") -> list[str]:
        """Models that can be judged: stored runs of what the open bundle holds."""
        return [name for name in self.shop.models if name in outcome.by_name]

    def beside(self, outcome: "Outcome", first: str) -> list[str]:
        """Models that one can be held against, the open bundle's first."""
        own = [name for name in self.judged(outcome) if name != first]
        return own + [
            name
            for name in outcome.by_name
            if name not in own and name != first and not _is_variant(name)
        ]

    def start(self, key: str = "") -> Walk:
        """The first case that a visitor meets."""
        choices = self.choices()
        if not choices:
            return Walk()
        key = key if key in {one.key for one in choices} else choices[0].key
        return self.settled(Walk(key))

    def settled(self, walk: Walk) -> Walk:
        """The same, with whatever is not there replaced by the first that is."""
        outcome = self.results.outcome(walk.key)
        first = walk.first if walk.first in self.judged(outcome) else self.judged(outcome)[0]
        beside = self.beside(outcome, first)
        second = walk.second
        if second not in beside:
            second = "knowledge" if "knowledge" in beside else beside[0] if beside else first
        part = walk.part if walk.part in outcome.masks else "all"
        return replace(walk, first=first, second=second, part=part)

    # --- walking ---------------------------------------------------------------------------------

    def numbers(self, walk: Walk, me: Visitor) -> np.ndarray:
        """(m,) numbers of the cases of the walk."""
        outcome = self.results.outcome(walk.key)
        judged = {one.case for one in self.verdicts(walk, me) if me.wrote(one)}
        names = [name for name in outcome.by_name if not _is_variant(name)]
        table = cases.rank_table([outcome.by_name[name] for name in names])
        real = [name for name in names if outcome.by_name[name].role in ("baseline", "tpad")]
        if walk.rule == "none":  # an oracle is no model that could be wrong
            table = table[[*dict.fromkeys([*real, walk.first, walk.second])]]
        return cases.walk(
            table, outcome.masks[walk.part], walk.rule, walk.first, walk.second, sorted(judged)
        )

    def opened(self, walk: Walk, position: int, me: Visitor) -> Walk:
        """The walk at another position, as far as there are cases; what was changed is dropped."""
        numbers = self.numbers(walk, me)
        if not len(numbers):
            return replace(walk, position=0, number=-1, hidden=(), added=())
        position = min(max(position, 0), len(numbers) - 1)
        return replace(walk, position=position, number=int(numbers[position]), hidden=(), added=())

    def at_case(self, key: str, number: int) -> Walk:
        """The walk through all cases, at one of them."""
        walk = self.start(key)
        if walk.key != key:
            raise DataError("This case is of another shop than the open bundle's.")
        outcome = self.results.outcome(key)
        if not 0 <= number < len(outcome.selection.cases):
            raise DataError(f"There is no case {number} here; reload the page.")
        return replace(walk, part="all", rule="all", position=number, number=number)

    def address(self, walk: Walk) -> dict[str, str]:
        """What the page's address says of a walk; "" for what is as at the start."""
        usual = self.start()
        told = {
            key: getattr(walk, name)
            for name, key in HAND_KEYS.items()
            if getattr(walk, name) != getattr(usual, name)
        }
        return {key: told.get(key, "") for key in HAND_KEYS.values()} | {"case": str(walk.number)}

    def asked(self, values: Mapping[str, str], me: Visitor) -> Walk | None:
        """The walk that the page's address asks for; what is not there is replaced.

        Args:
            values: of the address's query.
            me: the visitor.

        Returns:
            None where there is nothing to walk through.
        """
        start = self.start(values.get(HAND_KEYS["key"], ""))
        if not start.key:
            return None
        rule = values.get(HAND_KEYS["rule"], "")
        names = {
            name: values.get(HAND_KEYS[name], getattr(start, name))
            for name in ("part", "first", "second")
        }
        walk = self.settled(replace(start, rule=rule if rule in cases.RULES else "all", **names))
        text = values.get("case", "")
        number = int(text) if text.isdecimal() and len(text) < 10 else -1
        numbers = self.numbers(walk, me)
        if number in numbers:
            return self.opened(walk, int(np.flatnonzero(numbers == number)[0]), me)
        if 0 <= number < len(self.results.outcome(walk.key).selection.cases):
            return self.at_case(walk.key, number)
        return self.opened(walk, 0, me)

    def case(self, walk: Walk) -> Case:
        """The case that is open."""
        outcome = self.results.outcome(walk.key)
        run = next(iter(outcome.selection.runs.values()))[0]
        return self.book.case(run.dataset_fingerprint, outcome.selection.cases, walk.number)

    # --- what is shown -----------------------------------------------------------------------------

    def standings(self, walk: Walk) -> str:
        """The true next item's place in every model."""
        outcome = self.results.outcome(walk.key)
        found = []
        for name, result in outcome.by_name.items():
            role = "first" if name == walk.first else "second" if name == walk.second else "other"
            if role == "other" and _is_variant(name):
                role = "variant"
            rank = float(cases.median_ranks(result.ranks.expected)[walk.number])
            found.append(Standing(name, model_title(name), rank, len(result.seeds), role))
        return views.standings(found, len(self.shop.catalogue.items))

    def lists(self, walk: Walk) -> str:
        """The lists of the judged model and of the one beside it, with the visitor's changes."""
        case, items = self.case(walk), self.items(walk)
        ids = self.shop.catalogue.items[Columns.ITEM_ID]
        session = [ids.iat[row] for row in case.prefix]
        shown = []
        for model in (walk.first, walk.second):
            if model not in self.shop.models:
                continue
            scores = self.shop.recommender.scores(session, model)[: len(ids)]
            seen = sorted(set(case.prefix))
            before = places_of(scores, seen)
            now = before
            if walk.hidden or walk.added:
                new = self.shop.recommender.scores_of(
                    session, [element.value for element in walk.added], model
                )
                now = places_of(np.concatenate([scores, new]), sorted({*seen, *walk.hidden}))
            best = np.argsort(np.where(now > 0, now, len(now) + 1), kind="stable")[:LIST_LENGTH]
            shown.append(
                Shown(
                    model_title(model),
                    [int(row) for row in best if now[row] > 0],
                    int(now[case.target]) or None,
                    int(before[case.target]),
                )
            )
        return views.lists(shown, items, case.target, walk.hidden)

    def answers(self, walk: Walk) -> str:
        """Where each picture that the visitor added stands under every model of the open bundle."""
        if not walk.added:
            return ""
        case = self.case(walk)
        ids = self.shop.catalogue.items[Columns.ITEM_ID]
        session = [ids.iat[row] for row in case.prefix]
        left_out = sorted({*case.prefix, *walk.hidden})
        added = [element.value for element in walk.added]
        places = {}
        for model in self.shop.models:
            known = self.shop.recommender.scores(session, model)[: len(ids)]
            new = self.shop.recommender.scores_of(session, added, model)
            places[model_title(model)] = places_of(np.concatenate([known, new]), left_out)[
                len(ids) :
            ]
        answers = [
            Answer(
                element.title,
                element.picture,
                len(ids) + number,
                {model: int(own[number]) for model, own in places.items()},
            )
            for number, element in enumerate(walk.added)
        ]
        return views.answers(answers, len(ids) + len(added) - len(left_out))

    def items(self, walk: Walk) -> pd.DataFrame:
        """The catalogue, and what the visitor added to it."""
        own = self.shop.catalogue.items
        if not walk.added:
            return own
        added = pd.DataFrame(
            {
                Columns.ITEM_ID: [element.key for element in walk.added],
                Columns.TITLE: [element.title for element in walk.added],
                Columns.CATEGORY: "",
                Columns.PRICE: [element.price for element in walk.added],
                Columns.IS_COLD: True,
                "picture": [element.picture for element in walk.added],
            }
        )
        return pd.concat([own, added.astype({Columns.PRICE: float})], ignore_index=True)

    def hide(self, walk: Walk, row: int) -> Walk:
        """Takes an item out of the catalogue, one that the visitor added for good."""
        known = len(self.shop.catalogue.items)
        if row >= known:
            added = [e for n, e in enumerate(walk.added) if n != row - known]
            return replace(walk, added=tuple(added))
        if row < 0 or row in walk.hidden:
            return walk
        return replace(walk, hidden=(*walk.hidden, row))

    def unhide(self, walk: Walk, row: int) -> Walk:
        """Puts it back."""
        return replace(walk, hidden=tuple(one for one in walk.hidden if one != row))

    def add(self, walk: Walk, element: Element) -> Walk:
        """Puts a picture into the catalogue, for this visitor and this case."""
        if len(walk.added) >= MOST_ADDED:
            raise DataError(f"At most {MOST_ADDED} pictures can be added; take one out first.")
        return replace(walk, added=(*walk.added, element))

    # --- verdicts ----------------------------------------------------------------------------------

    def runs(self, walk: Walk, model: str) -> Sequence[RunInfo]:
        """The stored runs of a model."""
        return self.results.outcome(walk.key).selection.runs[model]

    def verdicts(self, walk: Walk, me: Visitor) -> list[Verdict]:
        """What a visitor may see of what was said of the judged model: the last word of each person
        on each case that the visitor has judged, so that nobody's verdict leans on another's."""
        ids = {run.id for run in self.runs(walk, walk.first)}
        said = [one for one in cases.latest(self._said(me)).values() if one.run_id in ids]
        judged = {one.case for one in said if me.wrote(one)}
        return [one for one in said if one.case in judged]

    def judge(self, walk: Walk, verdict: str, note: str, name: str, me: Visitor) -> Visitor:
        """Stores a verdict on the open case, or keeps it for the visitor where nothing is stored.

        Returns:
            The visitor, with what is kept.
        """
        if verdict not in cases.VERDICTS or walk.number < 0:
            raise DataError("The page and the app are of different versions; reload the page.")
        note, name = checked_text(note, "The note"), checked_text(name, "Your name")
        note, name = readable(note)[:MAX_NOTE], readable(name)[:MAX_NAME]
        who = cases.signature(name, me.id)
        run = self.runs(walk, walk.first)[0]
        if self.results.read_only:
            one = Verdict(run.id, walk.number, verdict, note, who, datetime.now(UTC))
            return replace(me, kept=(*me.kept, one))
        self.results.store.add_verdict(run.id, walk.number, verdict, note=note, who=who)
        return me

    def judged_here(self, walk: Walk, me: Visitor) -> tuple[str, list[str]]:
        """The visitor's verdict on the open case ("" if there is none yet), and those of others."""
        here = [one for one in self.verdicts(walk, me) if one.case == walk.number]
        words = [cases.VERDICTS.get(one.verdict, one.verdict) for one in here]
        own = [word for word, one in zip(words, here, strict=True) if me.wrote(one)]
        others = [word for word, one in zip(words, here, strict=True) if not me.wrote(one)]
        return (own[-1] if own else ""), others

    def progress(self, walk: Walk, me: Visitor, count: int) -> str:
        """How far the checking got."""
        outcome = self.results.outcome(walk.key)
        ranks = cases.median_ranks(outcome.by_name[walk.first].ranks.expected)
        said = self.verdicts(walk, me)
        table = self.table(me) if said else None
        return views.progress(
            cases.summary(said, ranks),
            count,
            model_title(walk.first),
            table,
            self.results.read_only,
        )

    def table(self, me: Visitor) -> pd.DataFrame:
        """All verdicts, of whatever model, on cases that the visitor has judged."""
        runs = {run.id: run for run in self.results.runs()}
        said = self._said(me)
        judged = {(one.run_id, one.case) for one in said if me.wrote(one)}
        said = [one for one in said if (one.run_id, one.case) in judged]
        ids = self.shop.catalogue.items[Columns.ITEM_ID].to_numpy()
        asked = {one.run_id for one in said}
        tables = {run: self.results.store.case_table(run) for run in asked}
        ranks = {run: self.results.store.ranks(run) for run in asked}

        def items_of(run: str, number: int) -> tuple[str, str]:
            fingerprint = runs[run].dataset_fingerprint
            if not self.book.knows(fingerprint):
                return "", ""
            case = self.book.case(fingerprint, tables[run], number)
            return " ".join(ids[list(case.prefix)]), str(ids[case.target])

        def rank_of(run: str, number: int) -> float:
            return float(ranks[run][number])

        return cases.verdict_frame(said, runs, rank_of, items_of)

    def _said(self, me: Visitor) -> Sequence[Verdict]:
        """All that was stored, or what is kept for the visitor where nothing is."""
        return me.kept if self.results.read_only else self.results.verdicts()


def _is_variant(name: str) -> bool:
    """Whether a model is shown on request only."""
    return name.startswith(VARIANT) or name.endswith(NEIGHBOURS)
