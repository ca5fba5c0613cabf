"""The panel “Why this item?” as HTML."""

import numpy as np

from app.recommend.explain import Explanation
from app.recommend.reasons import Pair, Reason
from app.shell.templates import render
from tpad.data.columns import Columns
from tpad.model.given_features import TFIDF

THIS = "this product"
LESS_FITTING = "Goes with this session less than the average product"
LESS_ALIKE = "Looks less like this session than the average product"
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
        reasons=_reasons(found),
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


def _reasons(found: Explanation) -> list[dict]:
    titles = found.elements[Columns.TITLE].tolist()
    largest = max([abs(reason.value) for reason in found.reasons] + [float(np.log(2))])
    return [
        {
            "words": _words(reason, found),
            "value": reason.value,
            "factor": _times(float(np.exp(reason.value))),
            "nats": _signed(reason.value, "+.2f"),
            "width": _bar_width(reason.value, largest),
            "pairs": [_pair(pair, titles) for pair in reason.pairs],
        }
        for reason in found.reasons
    ]


def _words(reason: Reason, found: Explanation) -> tuple[str, str, str]:
    """A sentence in three pieces, of which the second is a title or ""."""
    title = "" if reason.element is None else str(found.elements[Columns.TITLE].iat[reason.element])
    it = "products like it" if found.item["is_cold"] else "it"
    if reason.part == "memory":
        first = next((pair for pair in reason.pairs if pair.element == reason.element), None)
        like = "products like " if first is not None and first.other_stands_in else ""
        if first is not None and not first.other_first:
            return f"Shoppers looked at {like}", title, f" and at {it} in the same session"
        return f"Shoppers who looked at {like}", title, f" went on to {it}"
    if reason.part == "neighbours":
        return f"Shoppers with similar sessions clicked {it}", "", ""
    if reason.part == "offset":
        return f"New items are moved {'up' if reason.value > 0 else 'down'}", "", ""
    if reason.part == "network":
        return ("Goes with ", title, "") if reason.value > 0 else (LESS_FITTING, "", "")
    return ("Looks like ", title, "") if reason.value > 0 else (LESS_ALIKE, "", "")


def _pair(pair: Pair, titles: list[str]) -> dict:
    """Number of sessions, and the two clicks in order: a title, and what it is similar to if it stands in."""
    other = (pair.other, titles[pair.element] if pair.other_stands_in else "")
    item = (pair.item or THIS, THIS if pair.item else "")
    return {
        "sessions": pair.sessions,
        "clicks": (other, item) if pair.other_first else (item, other),
    }


def _parts(found: Explanation) -> list[dict]:
    if found.parts is None:
        return []
    largest = max(float(found.parts["fall"].abs().max()), 1e-9)
    rows = []
    for row in found.parts.to_dict("records"):
        name, meaning = PART_TITLES.get(row["part"]) or _given(row["part"])
        width = _bar_width(row["fall"], largest)
        rows.append({**row, "name": name, "meaning": meaning, "width": width})
    return rows


def _given(part: str) -> tuple[str, str]:
    """Title and meaning of a part of given vectors."""
    name = part.removeprefix("given:")
    return name, "the words of its text" if name == TFIDF else "vectors that the shop gave"


def _bar_width(value: float, largest: float) -> float:
    """Percent of the whole width, at most half of it."""
    return 0.0 if np.isnan(value) else 50 * min(abs(value) / largest, 1.0)


def _times(times: float) -> str:
    return f"{times:,.2f}×" if times < 1 else f"{times:,.1f}×" if times < 10 else f"{times:,.0f}×"


def _signed(number: float, form: str = ".2f") -> str:
    return format(number, form).replace("-", "−")


def _percent(weight: float) -> str:
    return f"{weight:.1%}" if weight >= 0.001 else "less than 0.1%"
