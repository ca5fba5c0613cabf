"""HTML of the tab where test cases are checked by hand."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from app.cold_start.cases import RIGHT_WITHIN, VERDICTS, Case
from app.dashboard.views import csv_link
from app.shell.views import cold_badge, picture, quoted
from tpad.data.columns import Columns

SESSION_SHOWN = 8  # most recent items of a session that are laid out


@dataclass(frozen=True)
class Standing:
    """Where one model puts the true next item.

    Attributes:
        model: its name as stored.
        title: its name in words.
        rank: median over seeds; inf if it was not found.
        seeds: how many runs.
        role: "first" for the model that is judged, "second" for the one beside it, "other", or
            "variant" for an ablation and the like, which is shown on request.
    """

    model: str
    title: str
    rank: float
    seeds: int
    role: str


@dataclass(frozen=True)
class Shown:
    """The first items of one model's list.

    Attributes:
        title: the model's name in words.
        rows: item rows, best first; those from `n_items` on are items that the visitor added.
        place: of the true next item in this list; None if it is hidden.
        before: its place without what the visitor changed; None if nothing was changed.
    """

    title: str
    rows: Sequence[int]
    place: int | None
    before: int | None = None


@dataclass(frozen=True)
class Answer:
    """Where one picture that the visitor added stands.

    Attributes:
        title, picture: of it, as in `app.shell.state.Element`.
        row: of it, behind the catalogue's.
        places: model in words -> place from 1.
    """

    title: str
    picture: str
    row: int
    places: Mapping[str, int]


def no_such_case(rule: str) -> str:
    """What stands in place of a case where a rule picks none."""
    return (
        f'<div class="tp-empty"><b>No case fits “{escape(rule)}”.</b>'
        "<p>Choose another rule, another slice or another model.</p></div>"
    )


def walker(
    position: int,
    count: int,
    number: int,
    judged: str = "",
    others: Sequence[str] = (),
    address: Mapping[str, str] | None = None,
) -> str:
    """The line that walks: back, where one is, onwards, anywhere.

    Args:
        position: from 0, among `count` cases.
        number: of the case.
        judged: the visitor's own verdict, in words; "" before there is one.
        others: the verdicts of others; to be given only once there is one's own.
        address: what the page's address is to say of the walk.
    """
    mark = f'<span class="tp-said">you: {escape(judged)}</span>' if judged else ""
    if others:
        counts = Counter(others).most_common()
        said = ", ".join(f"{number} {word.lower()}" for word, number in counts)
        mark += f'<span class="tp-said">others: {escape(said)}</span>'
    back, on = (" disabled" if off else "" for off in (position == 0, position + 1 >= count))
    return (
        f'<div class="tp-walker" data-address="{quoted(json.dumps(address or {}))}">'
        f'<button type="button" data-act="back" aria-label="The case before"{back}>‹</button>'
        f"<b>{position + 1:,}</b> of {count:,}"
        f'<button type="button" data-act="on" aria-label="The next case"{on}>›</button>'
        '<button type="button" data-act="any" aria-label="Any of these cases">⚄ any</button>'
        f'<span class="tp-muted">case {number:,}</span>{mark}</div>'
    )


def case_view(case: Case, items: pd.DataFrame) -> str:
    """The session so far, and the true next item."""
    shown = case.prefix[-SESSION_SHOWN:]
    left_out = len(case.prefix) - len(shown)
    cells = "".join(_tile(row, items) for row in shown)
    more = f'<li class="tp-earlier tp-muted">{left_out} earlier</li>' if left_out else ""
    target = items.iloc[case.target]
    cold = "nobody had clicked it in training" if case.cold else "clicked in training"
    return (
        '<div class="tp-case"><section aria-label="The session so far"><h3>The session</h3>'
        f'<ol class="tp-tiles">{more}{cells}</ol></section>'
        '<section class="tp-truth-side" aria-label="The true next item"><h3>Clicked next</h3>'
        f'<div class="tp-tile tp-true"><span class="tp-pic">{_picture(target)}'
        f"{cold_badge(case.cold)}</span></div>"
        f'<p><span class="tp-title">{escape(target[Columns.TITLE])}</span>'
        f'<span class="tp-muted">{cold}</span></p></section></div>'
    )


def standings(found: Sequence[Standing], n_items: int) -> str:
    """The rank of the true next item under every model, on a scale of doublings."""
    rest = [one for one in found if one.role == "variant"]
    main = [one for one in found if one.role != "variant"]
    ranked = [one for one in main if np.isfinite(one.rank) or one.role != "other"]
    lines = "".join(_standing(one, n_items) for one in sorted(ranked, key=lambda o: o.rank))
    unable = [one.title for one in main if one not in ranked]
    more = ""
    if unable:
        more += f'<p class="tp-small"><b>Cannot rank it:</b> {escape(", ".join(unable))}.</p>'
    if rest:
        further = "".join(_standing(one, n_items) for one in sorted(rest, key=lambda o: o.rank))
        more += (
            f"<details><summary>{len(rest)} further: ablations and nearest neighbours</summary>"
            f'<ol class="tp-standings">{further}</ol></details>'
        )
    return (
        '<section class="tp-panel"><h3>Its place in every model</h3>'
        f'<ol class="tp-standings">{lines}</ol>{more}'
        f'<p class="tp-muted tp-small">Of {n_items:,} items, as stored with the runs (median over '
        f"seeds), on a scale of doublings; the line is place {RIGHT_WITHIN}.</p></section>"
    )


def lists(shown: Sequence[Shown], items: pd.DataFrame, target: int, hidden: Sequence[int]) -> str:
    """The first items of the open bundle's models for this session.

    Args:
        shown: one a model.
        items: item_id, title, picture, is_cold of all rows, the visitor's own last.
        target: row of the true next item.
        hidden: rows that the visitor took out.
    """
    columns = "".join(_list(one, items, target) for one in shown)
    taken = ""
    if hidden:
        chips = "".join(
            f'<button type="button" class="tp-chip" data-act="unhide" data-id="{row}" '
            f'aria-label="Put back: {quoted(items.iloc[row][Columns.TITLE])}">'
            f"{escape(items.iloc[row][Columns.TITLE])} ↩</button>"
            for row in hidden
        )
        taken = f'<p class="tp-chips"><span class="tp-muted">Taken out:</span> {chips}</p>'
    return (
        f'<div class="tp-handlists">{columns}</div>{taken}'
        '<p class="tp-muted tp-small">Ranked now by the recommender in the open bundle. '
        "The places in every model are medians over seeds, so they differ a little. "
        "× takes an item out of the catalogue, to see what moves up.</p>"
    )


def answers(found: Sequence[Answer], n_items: int) -> str:
    """The visitor's pictures, each with its place under every model and a way to take it out.

    Args:
        found: one a picture.
        n_items: how many items take part.
    """
    cards = "".join(_answer(one) for one in found)
    return (
        '<section class="tp-panel tp-answers" role="status" aria-label="Places of your pictures">'
        f"<h3>Your picture’s place among {n_items:,} items</h3>{cards}</section>"
    )


def _answer(one: Answer) -> str:
    lines = "".join(
        f'<li><span class="tp-who">{escape(model)}</span> <b class="tp-at '
        f'{"tp-hit" if place <= RIGHT_WITHIN else "tp-miss"}">{place:,}</b></li>'
        for model, place in sorted(one.places.items(), key=lambda item: item[1])
    )
    return (
        f'<div class="tp-answer"><div class="tp-tile"><span class="tp-pic">'
        f"{picture(one.picture, one.title, lazy=False)}</span></div>"
        f'<div class="tp-words"><p class="tp-title">{escape(one.title)}</p>'
        f'<ol class="tp-places">{lines}</ol></div>'
        f'<button type="button" class="tp-chip" data-act="hide" data-id="{one.row}" '
        f'aria-label="Take out: {quoted(one.title)}">Take out</button></div>'
    )


def progress(
    summary: Mapping[str, float], count: int, model: str, table: pd.DataFrame | None, own: bool
) -> str:
    """How far the checking got, and how verdicts and ranks agree.

    Args:
        summary: of `app.cold_start.cases.summary`.
        count: cases of the present walk.
        model: the judged model's name in words.
        table: the verdicts to take away; None if there are none.
        own: whether they are kept for the visitor alone, as nothing can be stored.
    """
    judged = int(summary["cases"])
    where = "kept for you alone until you leave; download them" if own else "by you"
    if not judged:
        note = "Yours are kept for you alone; download them when done." if own else ""
        return (
            f'<p class="tp-progress tp-muted">No verdict of yours on {escape(model)} yet. '
            f"Would a shop be right to show this list after that session? {note}</p>"
        )
    counts = " · ".join(f"{int(summary[name])} {name}" for name in VERDICTS)
    with_others = ""
    if sum(summary[name] for name in VERDICTS) > judged:
        with_others = ", what others said of the same cases counted in"
    agree = []
    for kind, words in (("hits", f"found among {RIGHT_WITHIN}"), ("misses", "missed")):
        if summary[kind]:
            share = f"{int(summary[kind + '_plausible'])} of {int(summary[kind])}"
            agree.append(f"plausible where {words}: <b>{share}</b>")
    if not np.isnan(summary["auc"]):
        agree.append(
            '<span title="How likely a plausible case has a better rank than a wrong one; one half '
            f'is chance">plausible outranks wrong: <b>{summary["auc"]:.0%}</b></span>'
        )
    link = "" if table is None else csv_link(table, "verdicts")
    return (
        f'<div class="tp-progress"><span><b>{judged:,}</b> case{"s" * (judged > 1)} of '
        f"{escape(model)} judged, {where}"
        f" ({counts}{with_others}); this walk has {count:,}.</span>"
        f"<span>{' · '.join(agree)}</span>{link}</div>"
    )


def _standing(one: Standing, n_items: int) -> str:
    found = np.isfinite(one.rank)
    rank = f"{one.rank:,.0f}" if one.rank.is_integer() or not found else f"{one.rank:,.1f}"
    width = 0.0 if not found else 100 * (1 - np.log2(one.rank) / np.log2(max(n_items, 2)))
    kind = "tp-hit" if one.rank <= RIGHT_WITHIN else "tp-miss"
    said = f"place {rank}" if found else "cannot rank it"
    limit = 100 * (1 - np.log2(RIGHT_WITHIN) / np.log2(max(n_items, RIGHT_WITHIN + 1)))
    seeds = f" (median of {one.seeds} seeds)" if one.seeds > 1 else ""
    return (
        f'<li class="tp-stand tp-{one.role}"><span class="tp-who">{escape(one.title)}</span>'
        f'<span class="tp-gauge {kind}" style="--limit:{limit:.1f}%" title="{said}{seeds}">'
        f'<span style="width:{max(width, 0):.1f}%"></span></span>'
        f'<span class="tp-at {kind}">{rank if found else "–"}</span></li>'
    )


def _list(one: Shown, items: pd.DataFrame, target: int) -> str:
    cells = "".join(
        f'<li class="tp-tile{" tp-true" if row == target else ""}" '
        f'title="{quoted(items.iloc[row][Columns.TITLE])}">'
        f'<span class="tp-pic">{_picture(items.iloc[row])}<span class="tp-rank">{place}</span>'
        f"{cold_badge(items.iloc[row][Columns.IS_COLD])}"
        f'<button type="button" class="tp-hide" data-act="hide" data-id="{row}" '
        f'aria-label="Take out: {quoted(items.iloc[row][Columns.TITLE])}">×</button></span></li>'
        for place, row in enumerate(one.rows, 1)
    )
    if one.place is None:
        standing = "the true next item is taken out"
    else:
        kind = "tp-hit" if one.place <= RIGHT_WITHIN else "tp-miss"
        moved = f", before {one.before:,}" if one.before not in (None, one.place) else ""
        standing = f'true next item at <b class="{kind}">{one.place:,}</b>{moved}'
    return (
        f'<section class="tp-panel" aria-label="First of {quoted(one.title)}"><h3>{escape(one.title)}'
        f' <span class="tp-muted">{standing}</span></h3><ol class="tp-tiles">{cells}</ol></section>'
    )


def _tile(row: int, items: pd.DataFrame) -> str:
    item = items.iloc[row]
    return (
        f'<li class="tp-tile" title="{quoted(item[Columns.TITLE])}"><span class="tp-pic">'
        f"{_picture(item)}{cold_badge(item[Columns.IS_COLD])}</span></li>"
    )


def _picture(item: pd.Series) -> str:
    return picture(item["picture"], item[Columns.TITLE], lazy=False)
