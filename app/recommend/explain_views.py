"""The panel “Why this item?” as HTML."""

from html import escape

import numpy as np
import pandas as pd

from app.recommend.explain import Explanation
from app.shell import views

HARDLY = 1.05  # a factor below this is not worth a number
PART_TITLES = {
    "tau": ("Transitional", "τ: what tends to come before and after it"),
    "nu": ("Look-alike", "ν: what it is and looks like"),
    "fields": ("Price and category", "joined to every model alike"),
}


def panel(found: Explanation, model_title: str) -> str:
    """A dialog, to be opened by the page, that explains one recommendation.

    Args:
        found: what `explain` found.
        model_title: human name of the model that ranked.
    """
    title = str(found.item["title"])
    place = f"place {found.rank:,} with {escape(model_title)}" if found.rank else "seen already"
    cold = " · never clicked in training" if found.item["is_cold"] else ""
    share = (
        f"{_percent(found.weight)} of the model’s weight, {_times(found.weight / found.even)} an even "
        "share; weights rank, they are no probabilities"
    )
    head = (
        '<div class="tp-why-head">'
        f'<span class="tp-pic">{views.picture(found.item["picture"], title, lazy=False)}</span>'
        f'<div><h2 id="tp-why-title">Why this item?</h2><p class="tp-why-name">{escape(title)}</p>'
        f'<p class="tp-muted">{place}{cold}</p><p class="tp-muted">{share}</p></div>'
        '<button type="button" class="tp-close" data-close aria-label="Close">✕</button></div>'
    )
    sections = _elements(found.elements)
    if found.parts is not None:
        sections += _parts(found.parts, found.alike)
    sections += _neighbours(found.neighbours, model_title)
    return (
        '<dialog class="tp-dialog" aria-labelledby="tp-why-title">'
        f'{head}<div class="tp-why-body">{sections}</div></dialog>'
    )


def factor(gain: float) -> str:
    """A gain in nats as a person says it: “3.2× the weight with it”."""
    if np.isnan(gain):
        return "<span>the only one, so there is nothing to compare with</span>"
    if abs(gain) < np.log(HARDLY):
        return "<span>hardly matters</span>"
    return f"<span><b>{_times(float(np.exp(gain)))}</b> the weight with it</span>"


def _elements(elements: pd.DataFrame) -> str:
    largest = max(float(elements["gain"].abs().max()), np.log(2))  # small effects stay small
    rows = "".join(
        f'<li><span class="tp-pic">{views.picture(address, title, lazy=False)}</span>'
        f'<span class="tp-words"><span class="tp-title">{escape(title)}</span>'
        f'{_diverging(gain, largest)}<span class="tp-sub">{factor(gain)}</span></span></li>'
        for title, address, gain in zip(
            elements["title"], elements["picture"], elements["gain"], strict=True
        )
    )
    return (
        '<section><h3>What the session did for it</h3><p class="tp-muted">Each item is left out in '
        "turn, the oldest first: how many times this one’s weight grows with it.</p>"
        f'<ol class="tp-gains">{rows}</ol></section>'
    )


def _parts(parts: pd.DataFrame, alike: dict[str, float]) -> str:
    largest = max(float(parts["fall"].abs().max()), 1e-9)
    rows = ""
    for part, fall, share in zip(parts["part"], parts["fall"], parts["share"], strict=True):
        name, meaning = PART_TITLES[part]
        said = "speaks against it" if fall < 0 else f"<b>{share:.0%}</b> of the match"
        if fall == 0:
            said = "hardly matters"
        change = f"score {'falls' if fall >= 0 else 'rises'} by {abs(fall):.2f} without it"
        rows += (
            f'<li><span class="tp-words"><span class="tp-title"><b>{name}</b> '
            f'<span class="tp-muted">{meaning}</span></span>{_diverging(fall, largest)}'
            f'<span class="tp-sub"><span>{said}</span><span class="tp-muted">{change}</span></span>'
            "</span></li>"
        )
    none = "" if parts["share"].notna().any() else " No part speaks for this item by itself."
    return (
        '<section><h3>How it matches</h3><p class="tp-muted">One part of the item at a time is that '
        f"of the average item: how far does its score fall?{none}</p>"
        f'<ol class="tp-gains tp-parts">{rows}</ol>'
        '<p class="tp-muted">Beside the last item of the session (cosine, 0 is as alike as any two '
        f"items, 1 is the same): transitional <b>{_signed(alike['tau'])}</b>, look-alike "
        f"<b>{_signed(alike['nu'])}</b>.</p></section>"
    )


def _neighbours(neighbours: pd.DataFrame, model_title: str) -> str:
    cells = "".join(
        f'<li title="{escape(title, quote=True)}"><span class="tp-pic">'
        f'{views.picture(address, title, lazy=False)}</span><span class="tp-sub">{cosine:.2f}</span>'
        "</li>"
        for title, address, cosine in zip(
            neighbours["title"], neighbours["picture"], neighbours["cosine"], strict=True
        )
    )
    return (
        f'<section><h3>Nearest items</h3><p class="tp-muted">What {escape(model_title)} finds most '
        "alike in the catalogue, with the cosine of the standardised embeddings.</p>"
        f'<ol class="tp-near">{cells}</ol></section>'
    )


def _diverging(value: float, largest: float) -> str:
    """A bar to the right of the middle for what speaks for the item, to the left for the rest."""
    width = 0.0 if np.isnan(value) else 50 * min(abs(value) / largest, 1.0)
    side = "tp-for" if value >= 0 else "tp-against"
    return (
        f'<span class="tp-diverging" aria-hidden="true"><span class="{side}" '
        f'style="width:{width:.1f}%"></span></span>'
    )


def _times(times: float) -> str:
    return f"{times:,.2f}×" if times < 1 else f"{times:,.1f}×" if times < 10 else f"{times:,.0f}×"


def _signed(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")


def _percent(weight: float) -> str:
    return f"{weight:.1%}" if weight >= 0.001 else "less than 0.1%"
