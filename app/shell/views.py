"""The app's HTML: pure functions from tables and sessions to strings."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from app.compare.agreement import agreement, top
from app.shell.state import MAX_ELEMENTS, Element, VisitorSession
from tpad.data.columns import Columns

PAGE = 48  # cards of the catalogue that are sent at once


def header(n_items: int, n_cold: int) -> str:
    """The line above everything."""
    return (
        f'{_SKIPS}<p id="tp-said" class="tp-spoken" role="status"></p>'
        '<header class="tp-header"><div><h1>What comes next?</h1>'
        "<p>TPAD reads the pictures and words of a session and ranks the next item.</p></div>"
        f'<div class="tp-facts"><span><b>{n_items:,}</b> products</span>'
        '<span title="in no session that a model was trained on">'
        f"<b>{n_cold:,}</b> never clicked</span>"
        '<button type="button" data-act="theme" aria-label="Switch between light and dark">◐'
        "</button></div></header>"
    )


def price_tag(price: float | None) -> str:
    """A price as text; "" if unknown."""
    return "" if price is None or np.isnan(price) else f"{price:,.2f}"


def picture(address: str, title: str, *, lazy: bool = True) -> str:
    """An image, or the title's first letters where there is none."""
    if not address:
        letters = "".join(word[0] for word in title.split()[:2]).upper() or "?"
        return f'<span class="tp-nopic" role="img" aria-label="{quoted(title)}">{escape(letters)}</span>'
    loading = ' loading="lazy"' if lazy else ""
    return f'<img src="{quoted(address)}" alt="{quoted(title)}"{loading} decoding="async" draggable="false">'


def strip(
    session: VisitorSession,
    target: Element | None = None,
    addresses: Mapping[str, str] | None = None,
) -> str:
    """The session in order, with its controls.

    Args:
        session: the visitor's.
        target: the true next item, if there is one.
        addresses: "session" and "all", how the page's address and its step name the session.
    """
    table = session.table
    told = {
        **(addresses or {}),
        "next": table.target,
        "source": table.source,
        "revealed": "1" if table.revealed else "",
    }
    data = "".join(f' data-{name}="{quoted(text)}"' for name, text in told.items())
    count = len(session)
    source = session.table.source or (_plural(count, "item") if count else "empty")
    tools = (
        _tool("shopper", "Random shopper", "Borrow the session of a random shopper", icon="⚄")
        + _tool("undo", "Undo", "Undo the last change", icon="↶", off=not session.past)
        + _tool("clear", "Clear", "Take everything out of the session", icon="✕", off=not count)
        + _SHARE
    )
    said = f'<span class="tp-muted tp-source">{escape(source)}</span>'
    if count >= MAX_ELEMENTS:
        said = f'<span class="tp-full">Full: {count} items. Remove one to add another.</span>'
    head = f'<div class="tp-strip-head"><h2>Session</h2>{said}<div class="tp-tools">{tools}</div></div>'
    if not count:
        body = (
            '<p class="tp-empty-strip">Nothing here yet. Click a product below, add a picture of '
            "your own, or borrow a random shopper.</p>"
        )
        return f'<section class="tp-strip" aria-label="Session"{data}>{head}{body}</section>'
    cells = [_strip_cell(e, i, count) for i, e in enumerate(session.elements)]
    if target is not None:
        cells.append(_target_cell(target, session.table.revealed))
    body = f'<ol class="tp-row">{"".join(cells)}</ol>'
    return (
        f'<section class="tp-strip" aria-label="Session, oldest first"{data}>{head}{body}</section>'
    )


def gallery(items: pd.DataFrame, page: int = 0, asked: Mapping[str, Any] | None = None) -> str:
    """One page of the catalogue's cards, to add by a click, and the button for the next page.

    Args:
        items: what was found, with item_id, title, price, is_cold, picture.
        page: which page, from 0.
        asked: what was searched for; the button carries it, with the number of the next page.
    """
    start, end = page * PAGE, (page + 1) * PAGE
    if items.empty:
        return (
            '<div class="tp-empty"><b>Nothing found.</b><p>Try fewer words, another department, '
            "or switch “never clicked only” off.</p></div>"
        )
    cards = "".join(
        f'<li><button type="button" class="tp-card" data-act="add" data-id="{quoted(i)}" '
        f'aria-label="Add to session: {quoted(title)}">'
        f'<span class="tp-pic">{picture(address, title)}{cold_badge(cold)}</span>'
        f'<span class="tp-title">{escape(title)}</span>'
        f'<span class="tp-price">{price_tag(price)}</span></button></li>'
        for i, title, price, cold, address in _card_fields(items.iloc[start:end])
    )
    more = ""
    if len(items) > end:
        step = min(PAGE, len(items) - end)
        following = json.dumps({**(asked or {}), "page": page + 1})
        more = (
            f'<button type="button" class="tp-more" data-act="more" data-next="{quoted(following)}">'
            f"Show {step} more "
            f'<span class="tp-muted">of {len(items):,}</span></button>'
        )
    return f'<ul class="tp-grid tp-catalogue">{cards}</ul>{more}'


def recommendations(
    found: pd.DataFrame,
    *,
    model_title: str,
    n_items: int,
    milliseconds: float | None = None,
    target: str = "",
    target_rank: int | None = None,
) -> str:
    """Cards of what comes next.

    Args:
        found: item_id, score, rank, is_cold, title, price, picture; best first.
        model_title: whose ranking it is.
        n_items: size of the catalogue.
        milliseconds: how long it took.
        target: item_id of the true next item, once revealed.
        target_rank: its place in the whole ranking; 0 if it was left out as seen.
    """
    took = f" in {milliseconds:.0f} ms" if milliseconds is not None else ""
    note = f"{escape(model_title)} ranked {n_items:,} products{took}"
    verdict = ""
    if target and target_rank:
        inside = "tp-hit" if target in set(found[Columns.ITEM_ID]) else "tp-miss"
        verdict = (
            f'<p class="tp-verdict {inside}">The shopper’s true next item is at place '
            f"<b>{target_rank:,}</b> of {n_items:,}.</p>"
        )
    elif target:
        verdict = (
            '<p class="tp-verdict tp-miss">The shopper’s true next item is one that was '
            "in the session already; it is left out here.</p>"
        )
    shares = relative_weight(found[Columns.SCORE])
    cards = "".join(
        f'<li class="tp-rec"><button type="button" '
        f'class="tp-card{" tp-true" if i == target else ""}" '
        f'data-act="add" data-id="{quoted(i)}" '
        f'aria-label="Place {rank}: {quoted(title)}. Add to session.">'
        f'<span class="tp-pic">{picture(address, title, lazy=False)}'
        f'<span class="tp-rank">{rank}</span>{cold_badge(cold)}'
        f"{_TRUE_BADGE if i == target else ''}</span>"
        f'<span class="tp-bar" title="score {score:.2f}; {share:.0%} of the first one’s weight">'
        f'<span style="width:{max(share, 0.02):.1%}"></span></span>'
        f'<span class="tp-title">{escape(title)}</span>'
        f'<span class="tp-price">{price_tag(price)}<span class="tp-score">score {score:.2f}</span>'
        f'</span></button><button type="button" class="tp-why" data-act="why" data-id="{quoted(i)}" '
        f'aria-label="Why {quoted(title)}?">why?</button></li>'
        for (i, title, price, cold, address), rank, score, share in zip(
            _card_fields(found), found[Columns.RANK], found[Columns.SCORE], shares, strict=True
        )
    )
    return (
        f'<div class="tp-recs"><p class="tp-note">{note}. Click a picture to go on with it.</p>'
        f'{verdict}<ol class="tp-grid tp-next">{cards}</ol></div>'
    )


def no_session() -> str:
    """What stands in place of recommendations while the session is empty."""
    return (
        '<div class="tp-empty"><b>Start with one product.</b><p>What comes next depends on what '
        "was looked at before.</p>"
        '<p><button type="button" class="tp-primary" data-act="example">Show me an example</button>'
        '<button type="button" data-act="shopper">Random shopper</button></p></div>'
    )


def comparison(
    table: pd.DataFrame,
    items: pd.DataFrame,
    titles: dict[str, str],
    k: int,
    target: int | None = None,
) -> str:
    """The first `k` items of each model side by side, marked where they agree.

    Args:
        table: ranks, one row an item, one column a model (see `agreement.rank_table`); the first
            column is the one that the others are held against.
        items: one row an item: item_id, title, is_cold, picture.
        titles: human name of each model.
        k: places shown.
        target: row of the true next item, if it is known.
    """
    models = list(table.columns)
    first = models[0]
    lists = {model: top(table, model, k) for model in models}
    counts = pd.Series([row for rows in lists.values() for row in rows]).value_counts()
    shown = dict(zip(counts.index, items.take(counts.index).to_dict("records"), strict=True))
    facts = agreement(table, k).set_index("model")
    columns, places = [], table[first]
    for model in models:
        cells = "".join(
            _compared(
                shown[row],
                place,
                int(places.iat[row]),
                model == first,
                int(counts[row]),
                len(models),
                row == target,
            )
            for place, row in enumerate(lists[model], 1)
        )
        if model == first:
            figures = "<span>the list the others are held against</span>"
        else:
            figures = (
                f"<span><b>{facts.shared[model]}</b> of {k} shared</span>"
                f'<span title="Rank-biased overlap: 1 is the same ranking, 0 is nothing in common; '
                f'the top counts most"><b>{facts.rbo[model]:.2f}</b> RBO</span>'
            )
        columns.append(
            f'<section class="tp-col" aria-label="{quoted(titles[model])}">'
            f"<h3>{escape(titles[model])}</h3>"
            f'<p class="tp-figures">{figures}</p>{_target_line(table, model, target, k)}'
            f'<ol class="tp-list">{cells}</ol></section>'
        )
    keys = [("all", "in every list"), ("some", "in several"), ("one", "only here")]
    keys += [("truth", "true next item")] if target is not None else []
    legend = "".join(
        f'<span><span class="tp-key tp-{kind}"></span>{text}</span>' for kind, text in keys
    )
    legend += f"<span>▲▼ places gained or lost against {escape(titles[first])}</span>"
    return (
        f'<div class="tp-compare"><p class="tp-legend">{legend}</p>'
        f'<div class="tp-cols">{"".join(columns)}</div></div>'
    )


def bump_key(
    lines: Sequence[tuple[int, str]], items: pd.DataFrame, target: int | None = None
) -> str:
    """The legend of a bump chart: a colour, a picture and a title for each line.

    Args:
        lines: (row, colour), see `app.shell.figures.followed_lines`.
        items: one row an item: title, picture.
        target: row of the true next item, if it is known.
    """
    cells = "".join(
        f'<li><span class="tp-stroke" style="background:{colour}"></span>'
        f'<span class="tp-pic">{picture(items["picture"].iat[row], title)}</span>'
        f'<span class="tp-title">{"<b>True next item:</b> " if row == target else ""}'
        f"{escape(title)}</span></li>"
        for row, colour, title in (
            (row, colour, str(items[Columns.TITLE].iat[row])) for row, colour in lines
        )
    )
    return f'<ul class="tp-bumpkey" aria-label="Colours of the lines">{cells}</ul>'


def relative_weight(scores: Sequence[float] | pd.Series) -> list[float]:
    """exp(score − best score): the weight that a model gives to each item, against the first.

    A model's softmax turns scores into weights; these are no probabilities, as nothing calibrates
    them.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return []
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.exp(values - np.nanmax(values)), nan=0.0).tolist()


# Seen when the keyboard reaches them. The second leads nowhere but on the first tab.
_SKIPS = (
    '<nav class="tp-skips" aria-label="Skip links">'
    '<button type="button" data-act="skip" data-id="#head-next, .tabitem">Skip to the results</button>'
    '<button type="button" data-act="skip" data-id="#head-products" class="tp-skip-products">'
    "Skip to the products</button></nav>"
)
# Opens the menu of `share_menu`.
_SHARE = (
    '<button type="button" popovertarget="tp-share" aria-label="Share this session" '
    'title="Link, save, open"><span aria-hidden="true">↗</span> '
    '<span class="tp-word">Share</span></button>'
)
_TRUE_BADGE = '<span class="tp-badge tp-badge-true">true next</span>'


def _compared(
    item: dict[str, Any],
    place: int,
    first_place: int,
    is_first: bool,
    count: int,
    n_models: int,
    is_target: bool,
) -> str:
    """One line of a column: an item, how many lists hold it, and what it gained or lost."""
    kind = "tp-all" if count == n_models else "tp-some" if count > 1 else "tp-one"
    if is_first:
        said = {"tp-all": "in every list", "tp-some": f"in {count} lists", "tp-one": "only here"}
        note = said[kind]
    else:
        change = first_place - place
        arrow = "same" if change == 0 else f"▲{change:,}" if change > 0 else f"▼{-change:,}"
        spoken = f"place {first_place:,} in the first list"
        note = f'<span title="{spoken}" aria-label="{spoken}">{arrow}</span>'
    truth = " tp-truth" if is_target else ""
    title = item[Columns.TITLE]
    return (
        f'<li><button type="button" class="tp-line {kind}{truth}" data-act="add" '
        f'data-id="{quoted(item[Columns.ITEM_ID])}" '
        f'aria-label="Place {place}: {quoted(title)}. Add to session.">'
        f'<span class="tp-place">{place}</span>'
        f'<span class="tp-pic">{picture(item["picture"], title, lazy=False)}</span>'
        f'<span class="tp-words"><span class="tp-title">{escape(title)}</span>'
        f'<span class="tp-sub">{_cold_word(item[Columns.IS_COLD])}{note}</span></span>'
        "</button></li>"
    )


def _target_line(table: pd.DataFrame, model: str, target: int | None, k: int) -> str:
    if target is None:
        return ""
    place = int(table[model].iat[target])
    if not place:
        return '<p class="tp-standing tp-miss">true next item: seen already</p>'
    kind = "tp-hit" if place <= k else "tp-miss"
    return f'<p class="tp-standing {kind}">true next item: <b>#{place:,}</b></p>'


def _strip_cell(element: Element, index: int, count: int) -> str:
    title = element.title
    if element.is_new:
        origin = "yours" if element.key.startswith("upload") else "arrival"
        badge = f'<span class="tp-badge tp-badge-new">{origin}</span>'
    else:
        badge = cold_badge(element.is_cold)
    buttons = (
        _small("left", index, "‹", f"Move {title} to the left", off=index == 0)
        + _small("remove", index, "×", f"Remove {title}")
        + _small("right", index, "›", f"Move {title} to the right", off=index == count - 1)
    )
    return (
        f'<li class="tp-cell" title="{quoted(title)}"><span class="tp-pic">'
        f"{picture(element.picture, title, lazy=False)}{badge}</span>"
        f'<span class="tp-cell-tools">{buttons}</span></li>'
    )


def _target_cell(target: Element, revealed: bool) -> str:
    if revealed:
        return (
            f'<li class="tp-cell tp-target" tabindex="-1" title="{quoted(target.title)}">'
            '<span class="tp-pic">'
            f"{picture(target.picture, target.title, lazy=False)}{_TRUE_BADGE}</span>"
            '<span class="tp-cell-tools tp-muted">clicked next</span></li>'
        )
    return (
        '<li class="tp-cell tp-target"><button type="button" class="tp-hidden" data-act="reveal" '
        'aria-label="Reveal the item that the shopper clicked next">'
        "<b>?</b><span>Reveal</span></button>"
        '<span class="tp-cell-tools tp-muted">clicked next</span></li>'
    )


def _card_fields(items: pd.DataFrame) -> zip:
    columns = (Columns.ITEM_ID, Columns.TITLE, Columns.PRICE, Columns.IS_COLD, "picture")
    return zip(*(items[column].tolist() for column in columns), strict=True)


def cold_badge(cold: bool) -> str:
    """The mark of an item that nobody clicked in training; "" for the others."""
    if not cold:
        return ""
    return '<span class="tp-badge tp-badge-cold" title="Nobody clicked it in training">cold</span>'


def _cold_word(cold: bool) -> str:
    return (
        '<span class="tp-coldword" title="Nobody clicked it in training">cold</span>'
        if cold
        else ""
    )


def _tool(act: str, text: str, label: str, *, icon: str, off: bool = False) -> str:
    disabled = " disabled" if off else ""
    return (
        f'<button type="button" data-act="{act}" aria-label="{quoted(label)}" title="{quoted(label)}"'
        f'{disabled}><span aria-hidden="true">{icon}</span> '
        f'<span class="tp-word">{text}</span></button>'
    )


def _small(act: str, index: int, text: str, label: str, *, off: bool = False) -> str:
    disabled = " disabled" if off else ""
    return (
        f'<button type="button" data-act="{act}" data-id="{index}" aria-label="{quoted(label)}"'
        f"{disabled}>{text}</button>"
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def quoted(text: object) -> str:
    """Text that is safe inside a double-quoted attribute."""
    return escape(str(text), quote=True)
