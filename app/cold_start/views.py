"""HTML of the tab “Cold-start cases”."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.cold_start.cases import HIT_WITHIN
from app.cold_start.verdicts import VERDICTS
from app.shell.case_reader import Case
from app.shell.templates import render
from app.shell.views import csv_link

MAX_SHOWN = 8  # most recent items of a session that are shown


@dataclass(frozen=True)
class ModelRank:
    """The rank of the true next item under one model.

    Attributes:
        title: the model's name in words.
        rank: median over seeds; inf if the model cannot rank the item.
        seeds: number of runs.
        role: "first" for the rated model, "second" for the one it is compared with, "other", or
            "variant" for an ablation and the like, which is shown on request.
    """

    title: str
    rank: float
    seeds: int
    role: str

    @property
    def is_known(self) -> bool:
        """Whether the model can rank the item."""
        return bool(np.isfinite(self.rank))


@dataclass(frozen=True)
class ModelList:
    """The first items of one model's list.

    Attributes:
        title: the model's name in words.
        rows: item rows, best first; rows beyond the catalogue are items that the visitor added.
        rank: of the true next item in this list; None if the visitor removed it.
        before: its rank without the visitor's changes.
    """

    title: str
    rows: Sequence[int]
    rank: int | None
    before: int


@dataclass(frozen=True)
class UploadRanks:
    """The ranks of one picture that the visitor added.

    Attributes:
        title, picture: as in `app.shell.session.Element`.
        row: of the item, behind those of the catalogue.
        ranks: model in words -> rank.
    """

    title: str
    picture: str
    row: int
    ranks: Mapping[str, int]


def no_such_case(rule: str) -> str:
    """Shown in place of a case if a rule selects none."""
    return render("cold_start/no_such_case.html", rule=rule)


def toolbar(
    index: int,
    count: int,
    number: int,
    own: str = "",
    others: Sequence[str] = (),
    address: Mapping[str, str] | None = None,
) -> str:
    """The line that leads to the previous, the next, or a random case.

    Args:
        index: from 0, among the `count` selected cases.
        count: number of selected cases.
        number: of the case.
        own: the visitor's own verdict, in words; "" without one.
        others: the verdicts of others; to be shown only beside one's own.
        address: what the page's address says of the position.
    """
    return render(
        "cold_start/toolbar.html",
        index=index,
        count=count,
        number=number,
        own=own,
        others=[f"{n} {word.lower()}" for word, n in Counter(others).most_common()],
        address=json.dumps(address or {}),
    )


def case_view(case: Case, items: pd.DataFrame) -> str:
    """The session so far, and the true next item."""
    shown = case.prefix[-MAX_SHOWN:]
    return render(
        "cold_start/case.html",
        session=items.iloc[list(shown)].to_dict("records"),
        earlier=len(case.prefix) - len(shown),
        target=items.iloc[case.target].to_dict(),
        is_cold=case.cold,
    )


def model_ranks(found: Sequence[ModelRank], n_items: int) -> str:
    """The rank of the true next item under every model, on a logarithmic scale."""
    main = sorted((one for one in found if one.role != "variant"), key=lambda one: one.rank)
    shown = [one for one in main if one.is_known or one.role != "other"]
    variants = sorted((one for one in found if one.role == "variant"), key=lambda one: one.rank)
    limit = 100 * (1 - np.log2(HIT_WITHIN) / np.log2(max(n_items, HIT_WITHIN + 1)))
    return render(
        "cold_start/model_ranks.html",
        shown=[_gauge(one, n_items) for one in shown],
        variants=[_gauge(one, n_items) for one in variants],
        unable=[one.title for one in found if one.role == "other" and not one.is_known],
        n_items=n_items,
        limit=limit,
        hit_within=HIT_WITHIN,
    )


def lists(
    found: Sequence[ModelList], items: pd.DataFrame, target: int, hidden: Sequence[int]
) -> str:
    """The first items of the open bundle's models for the session of a case.

    Args:
        found: one per model.
        items: item_id, title, picture, is_cold of all rows, the visitor's own last.
        target: row of the true next item.
        hidden: rows that the visitor removed.
    """
    return render(
        "cold_start/lists.html",
        lists=[
            {
                "title": one.title,
                "rank": one.rank,
                "before": one.before,
                "items": [{**items.iloc[row].to_dict(), "row": row} for row in one.rows],
            }
            for one in found
        ],
        hidden=[{**items.iloc[row].to_dict(), "row": row} for row in hidden],
        target=target,
        hit_within=HIT_WITHIN,
    )


def upload_ranks(found: Sequence[UploadRanks], n_items: int) -> str:
    """The visitor's pictures, each with its rank under every model and a button to remove it.

    Args:
        found: one per picture.
        n_items: number of items that are ranked.
    """
    return render(
        "cold_start/upload_ranks.html",
        uploads=[
            {
                "title": one.title,
                "picture": one.picture,
                "row": one.row,
                "ranks": sorted(one.ranks.items(), key=lambda pair: pair[1]),
            }
            for one in found
        ],
        n_items=n_items,
        hit_within=HIT_WITHIN,
    )


def progress(
    summary: Mapping[str, float],
    count: int,
    model: str,
    table: pd.DataFrame | None,
    is_read_only: bool,
) -> str:
    """How many cases were rated, and how verdicts and ranks agree.

    Args:
        summary: of `app.cold_start.verdicts.summary`.
        count: number of selected cases.
        model: name of the rated model in words.
        table: the verdicts for download; None if there are none.
        is_read_only: whether the verdicts are kept for the visitor only, as nothing can be stored.
    """
    counts = {name: int(summary[name]) for name in VERDICTS}
    kinds = {"hits": f"found among the first {HIT_WITHIN}", "misses": "missed"}
    return render(
        "cold_start/progress.html",
        rated=int(summary["cases"]),
        counts=[f"{number} {name}" for name, number in counts.items()],
        includes_others=sum(counts.values()) > summary["cases"],
        selected=count,
        model=model,
        is_read_only=is_read_only,
        agreement=[
            (words, int(summary[f"{kind}_plausible"]), int(summary[kind]))
            for kind, words in kinds.items()
            if summary[kind]
        ],
        auc=None if np.isnan(summary["auc"]) else summary["auc"],
        csv="" if table is None else csv_link(table, "verdicts"),
    )


def _gauge(one: ModelRank, n_items: int) -> dict:
    """A model's rank as text, and the width of its bar in percent."""
    digits = ",.0f" if one.rank.is_integer() or not one.is_known else ",.1f"
    width = 0.0
    if one.is_known:
        width = 100 * (1 - np.log2(one.rank) / np.log2(max(n_items, 2)))
    return {
        "title": one.title,
        "role": one.role,
        "seeds": one.seeds,
        "is_known": one.is_known,
        "rank": format(one.rank, digits),
        "is_hit": one.rank <= HIT_WITHIN,
        "width": max(width, 0.0),
    }
