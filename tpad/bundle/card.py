"""The model card of a bundle: description, training data, measured results and limits."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tpad.model.embedding_sets import EMBEDDING_SETS

LIMITS = (
    "The model is specific to the items and shoppers of this shop; train a new one for another shop.",
    "New items are represented by picture, text, price and category alone; the model cannot use other "
    "information about them.",
    "Sessions are anonymous: the model does not know the shopper, and reads only the most recent items.",
    "Scores rank the items for one session; they are not probabilities.",
)
PLACE = "PATH_OR_HUB_ID"
"""Placeholder for the location of the bundle; `export --push` replaces it."""
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
    """The text of the model card, in Markdown.

    Args:
        info: the content of `bundle.json`.
        title: heading.
        metrics: results of this bundle; None if it has not been evaluated.
        metrics_note: how they were measured (sessions, seeds, command).
        notes: further paragraphs in Markdown, such as the origin of the base model.
    """
    data = info["dataset"]
    base = info.get("base") or {}
    public = f"base_model: {base['hub_id']}\n" if "hub_id" in base else ""
    seeds = ", ".join(map(str, info.get("seeds", []))) or "not recorded"
    sessions = ", ".join(f"{count:,} {split}" for split, count in data["n_sessions"].items())
    about = {one.name: one.about for one in EMBEDDING_SETS.values()}
    sets = "\n".join(f"- `{name}`: {about.get(name, 'embeddings')}" for name in info["sets"])
    measured = "This bundle has not been evaluated yet."
    if metrics is not None and len(metrics):
        measured = _table(metrics)
    parts = [
        f"{_FRONT_MATTER.format(base=public)}\n# {title}",
        f"Recommends the next item of an anonymous session from the items' {_content(base)}, including "
        "items that nobody has clicked yet. It follows the method of *Distilling Transitional "
        "Pattern to Large Language Models for Multimodal Session-based Recommendation* "
        "(arXiv 2504.10538), as far as the abstract describes it. It is not an official implementation, "
        "and all figures here were measured on this bundle.",
        f'```python\nimport tpad\n\nrecommender = tpad.load("{PLACE}")\n'
        'recommender.recommend(["AN_ITEM_ID"], k=10)\n```',
        "## Training",
        f"- Data: {data['n_items']:,} items, {data['n_cold']:,} of them cold (in no training session); "
        f"sessions: {sessions}. Fingerprint `{data['fingerprint']}`.\n"
        f"- Base model: {_base_model(base)}.\n"
        f"- Seeds: {seeds}.\n"
        f"- tpad {info['package_version']}, commit `{info.get('git_commit') or 'not recorded'}`, "
        f"{info['created']}.",
        "## Embedding sets",
        "All sets use the same session recommender, trained with the same budget.",
        sets,
        "## Results",
        metrics_note,
        measured,
        notes,
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _content(base: Mapping[str, Any]) -> str:
    return "pictures and texts" if base.get("sees", True) else "texts"


def _base_model(base: Mapping[str, Any]) -> str:
    """Name, place and family of the base model; older bundles do not record all of them."""
    if not base:
        return "none; items are embedded as their given vectors"
    parts = [f"`{base['name']}`"] if "name" in base else []
    parts += [f"`{base['hub_id']}`" if "hub_id" in base else "in the folder `base`"]
    if base.get("revision"):
        parts.append(f"revision `{base['revision']}`")
    if "family" in base:
        parts.append(f"a model of the family `{base['family']}`")
    if not base.get("sees", True):
        parts.append("which reads no pictures")
    return ", ".join(parts)


def _table(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table; numbers with three decimals."""

    def cell(value: object) -> str:
        text = f"{value:.3f}" if isinstance(value, float) else str(value)
        return text.replace("|", "\\|").replace("\n", " ")

    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
