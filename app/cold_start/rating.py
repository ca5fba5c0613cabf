"""Stores and reads the verdicts of visitors."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd

from app.cold_start import verdicts
from app.cold_start.position import Position
from app.cold_start.visitor import Visitor
from app.shell.case_reader import CaseReader
from app.shell.shop import Shop
from app.shell.text import readable
from eval.database.records import RunInfo, Verdict
from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.io.texts import checked_text

MAX_NOTE = 500
MAX_NAME = 60


class Rating:
    """The verdicts on the cases of a results database.

    A visitor sees the verdicts of others on a case only after giving one, so that nobody is
    influenced.

    Args:
        shop: the open bundle, with a results database.

    Attributes:
        reader: reads the cases of the open bundle's dataset.
    """

    def __init__(self, shop: Shop) -> None:
        assert shop.results is not None
        self.shop, self.results = shop, shop.results
        self.reader = self.results.reader or CaseReader(shop.catalogue.dataset)

    def runs(self, position: Position, model: str) -> Sequence[RunInfo]:
        """The stored runs of a model."""
        return self.results.evaluation(position.key).selection.runs[model]

    def verdicts(self, position: Position, me: Visitor) -> list[Verdict]:
        """Verdicts on the rated model that the visitor may see, the latest of each person."""
        ids = {run.id for run in self.runs(position, position.first)}
        found = [one for one in verdicts.latest(self._all(me)).values() if one.run_id in ids]
        rated = {one.case for one in found if me.wrote(one)}
        return [one for one in found if one.case in rated]

    def add_verdict(
        self, position: Position, verdict: str, note: str, name: str, me: Visitor
    ) -> Visitor:
        """Store a verdict on the open case, or keep it with the visitor if nothing can be stored.

        Returns:
            The visitor, with the verdicts that are kept.
        """
        if verdict not in verdicts.VERDICTS or position.number < 0:
            raise DataError("The page and the app have different versions; reload the page.")
        note, name = checked_text(note, "The note"), checked_text(name, "Your name")
        note, name = readable(note)[:MAX_NOTE], readable(name)[:MAX_NAME]
        who = verdicts.signature(name, me.id)
        run = self.runs(position, position.first)[0]
        if self.results.read_only:
            one = Verdict(run.id, position.number, verdict, note, who, datetime.now(UTC))
            return replace(me, kept=(*me.kept, one))
        self.results.store.add_verdict(run.id, position.number, verdict, note=note, who=who)
        return me

    def on_case(self, position: Position, me: Visitor) -> tuple[str, list[str]]:
        """The visitor's verdict on the open case ("" without one), and those of others."""
        here = [one for one in self.verdicts(position, me) if one.case == position.number]
        words = [verdicts.VERDICTS.get(one.verdict, one.verdict) for one in here]
        own = [word for word, one in zip(words, here, strict=True) if me.wrote(one)]
        others = [word for word, one in zip(words, here, strict=True) if not me.wrote(one)]
        return (own[-1] if own else ""), others

    def table(self, me: Visitor) -> pd.DataFrame:
        """All verdicts, on any model, on cases that the visitor has rated."""
        runs = {run.id: run for run in self.results.runs()}
        found = self._all(me)
        rated = {(one.run_id, one.case) for one in found if me.wrote(one)}
        found = [one for one in found if (one.run_id, one.case) in rated]
        ids = self.shop.catalogue.items[Columns.ITEM_ID].to_numpy()
        used = {one.run_id for one in found}
        tables = {run: self.results.store.case_table(run) for run in used}
        ranks = {run: self.results.store.ranks(run) for run in used}

        def items_of(run: str, number: int) -> tuple[str, str]:
            fingerprint = runs[run].dataset_fingerprint
            if not self.reader.knows(fingerprint):
                return "", ""
            case = self.reader.case(fingerprint, tables[run], number)
            return " ".join(ids[list(case.prefix)]), str(ids[case.target])

        def rank_of(run: str, number: int) -> float:
            return float(ranks[run][number])

        return verdicts.verdict_frame(found, runs, rank_of, items_of)

    def _all(self, me: Visitor) -> Sequence[Verdict]:
        """All stored verdicts, or those kept with the visitor if nothing can be stored."""
        return me.kept if self.results.read_only else self.results.verdicts()
