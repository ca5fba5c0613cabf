"""The model card of a bundle: what it is, what it was made from, what was measured, its limits."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tpad.model.embedding_sets import EMBEDDING_SETS

LIMITS = (
    "It knows the items and the shoppers of this one shop; elsewhere it has to be trained again.",
    "A new item is known by its picture, text, price and category alone; what these do not show, "
    "the model cannot know.",
    "Sessions are read without regard to who the shopper is, and only their most recent items.",
    "Scores order items within one session; they are no probabilities.",
)
PLACE = "PATH_OR_HUB_ID"
"""Stands in a card for where the bundle is; `export --push` fills it in."""
_FRONT_MATTER = """---
library_name: tpad
tags:
- recommendation
- session-based-recommendation
- multimodal
{base}---
"""


def model_card(
    info: Mapping[str, Any],
    *,
    title: str = "TPAD bundle",
    metrics: pd.DataFrame | None = None,
    metrics_note: str = "",
    notes: str = "",
) -> str:
    """The card's text, in Markdown.

    Args:
        info: the fields of `bundle.json`.
        title: heading.
        metrics: table of what was measured on this bundle; None says that nothing was yet.
        metrics_note: how it was measured (sessions, seeds, command).
        notes: paragraphs of Markdown to add, such as where the base model comes from.
    """
    data = info["dataset"]
    base = info.get("base") or {}
    where = f"`{base['hub_id']}`" if "hub_id" in base else "in the folder `base`"
    revision = f", revision `{base['revision']}`" if base.get("revision") else ""
    public = f"base_model: {base['hub_id']}\n" if "hub_id" in base else ""
    seeds = ", ".join(map(str, info.get("seeds", []))) or "not recorded"
    sessions = ", ".join(f"{count:,} {split}" for split, count in data["n_sessions"].items())
    about = {one.name: one.about for one in EMBEDDING_SETS.values()}
    sets = "\n".join(f"- `{name}`: {about.get(name, 'embeddings')}" for name in info["sets"])
    measured = "Nothing has been measured on this bundle yet."
    if metrics is not None and len(metrics):
        measured = _table(metrics)
    parts = [
        f"{_FRONT_MATTER.format(base=public)}\n# {title}",
        "Recommends the next item of an anonymous session from the items' pictures and texts, also "
        "items that nobody has clicked yet. It follows the method of *Distilling Transitional "
        "Pattern to Large Language Models for Multimodal Session-based Recommendation* "
        "(arXiv 2504.10538), as far as its abstract states it; it is no official implementation, "
        "and all figures here were measured on this bundle.",
        f'```python\nimport tpad\n\nrecommender = tpad.load("{PLACE}")\n'
        'recommender.recommend(["AN_ITEM_ID"], k=10)\n```',
        "## Made from",
        f"- Data: {data['n_items']:,} items, {data['n_cold']:,} of them in no training session; "
        f"sessions: {sessions}. Fingerprint `{data['fingerprint']}`.\n"
        f"- Base model: {where}{revision}.\n"
        f"- Seeds: {seeds}.\n"
        f"- tpad {info['package_version']}, commit `{info.get('git_commit') or 'not recorded'}`, "
        f"{info['created']}.",
        "## Embedding sets",
        "Each goes through the same session recommender with the same budget.",
        sets,
        "## Measured",
        metrics_note,
        measured,
        notes,
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table; numbers with three decimals."""

    def cell(value: object) -> str:
        text = f"{value:.3f}" if isinstance(value, float) else str(value)
        return text.replace("|", "\\|").replace("\n", " ")

    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
