"""The panel “Why this item?” as HTML."""

import numpy as np

from app.recommend.explain import Explanation
from app.shell.templates import render

NEGLIGIBLE = 1.05  # factors below this are shown as “hardly matters”
PART_TITLES = {
    "tau": ("Transitional", "τ: what tends to come before and after it"),
    "nu": ("Look-alike", "ν: what it is and looks like"),
    "fields": ("Price and category", "the same for every model"),
}


def panel(found: Explanation, model_title: str) -> str:
    """A dialog, to be opened by the page, that explains one recommendation.

    Args:
        found: the explanation.
        model_title: human name of the model that ranked.
    """
    return render(
        "recommend/explanation.html",
        item=found.item.to_dict(),
        rank=found.rank,
        model_title=model_title,
        weight=_percent(found.weight),
        ratio=_times(found.weight / found.even),
        elements=_elements(found),
        parts=_parts(found),
        any_share=found.parts is not None and bool(found.parts["share"].notna().any()),
        similarity={part: _signed(cosine) for part, cosine in found.similarity.items()},
        neighbours=found.neighbours.to_dict("records"),
    )


def factor(gain: float) -> str:
    """A gain in nats as a factor of the weight, such as "3.2×"; "" if it is negligible."""
    if np.isnan(gain) or abs(gain) < np.log(NEGLIGIBLE):
        return ""
    return _times(float(np.exp(gain)))


def _elements(found: Explanation) -> list[dict]:
    largest = max(float(found.elements["gain"].abs().max()), np.log(2))  # small effects stay small
    return [
        {**row, "factor": factor(row["gain"]), "width": _bar_width(row["gain"], largest)}
        for row in found.elements.to_dict("records")
    ]


def _parts(found: Explanation) -> list[dict]:
    if found.parts is None:
        return []
    largest = max(float(found.parts["fall"].abs().max()), 1e-9)
    rows = []
    for row in found.parts.to_dict("records"):
        name, meaning = PART_TITLES[row["part"]]
        width = _bar_width(row["fall"], largest)
        rows.append({**row, "name": name, "meaning": meaning, "width": width})
    return rows


def _bar_width(value: float, largest: float) -> float:
    """Percent of the whole width, at most half of it."""
    return 0.0 if np.isnan(value) else 50 * min(abs(value) / largest, 1.0)


def _times(times: float) -> str:
    return f"{times:,.2f}×" if times < 1 else f"{times:,.1f}×" if times < 10 else f"{times:,.0f}×"


def _signed(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")


def _percent(weight: float) -> str:
    return f"{weight:.1%}" if weight >= 0.001 else "less than 0.1%"
