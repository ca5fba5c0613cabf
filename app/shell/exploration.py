"""The setting “New items in the list”: its choices, and what each costs on validation sessions."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from app.shell.shop import Shop

TUNED, NEVER, MOST = "tuned", "never", "most"
SHARES: dict[str, float | None] = {
    TUNED: None,
    NEVER: 0.0,
    "5": 0.05,
    "20": 0.2,
    "50": 0.5,
    MOST: 1.0,
}
"""Name of each choice -> the share of new items, as the recommender's `exploration`; the default first."""
_LABELS = {NEVER: "never", TUNED: "as tuned", MOST: "most"}


@dataclass(frozen=True)
class Cost:
    """What a setting gives on validation sessions.

    Attributes:
        share: of new items in the first 20 places.
        known, new: P@20 on clicked and on new targets.
        best: P@20 on clicked targets without new items.
    """

    share: float
    known: float
    new: float
    best: float


def choices(shop: Shop) -> list[str]:
    """Names of the settings that the bundle offers, the default first.

    All embedding sets of a bundle are tuned alike, so that the main one speaks for the others.
    """
    if shop.recommender.bundle.recommenders[shop.models[0]].exploration is None:
        return [TUNED, NEVER]
    return list(SHARES)


def share_of(choice: str) -> float | None:
    """The recommender's `exploration` of a setting."""
    return SHARES[choice]


def label(choice: str) -> str:
    """The text of a setting on the page."""
    return _LABELS.get(choice, f"{choice}%")


def radio(shop: Shop) -> gr.Radio:
    """The control, without a visible label. From few new items to many, the default between them."""
    names = sorted(choices(shop), key=[NEVER, TUNED, "5", "20", "50", MOST].index)
    options: dict[str, Any] = {"show_label": False, "container": False}
    return gr.Radio(
        [(label(name), name) for name in names],
        value=TUNED,
        label="New items in the list",
        elem_classes="tp-pills",
        elem_id="new-items",
        scale=1,
        min_width=280,
        **options,
    )


def cost(shop: Shop, model: str, choice: str) -> Cost | None:
    """What a setting costs; None if the bundle has no figures.

    Args:
        shop: the open bundle.
        model: name of the embedding set.
        choice: name of the setting.
    """
    fitted = shop.recommender.bundle.recommenders[model]
    curve = fitted.exploration
    if curve is None:
        return None
    offset = fitted.offset_for(share_of(choice))  # −inf for “never”
    if offset == -np.inf:
        return Cost(0.0, curve.known[0], 0.0, curve.known[0])
    share, known, new = (
        float(np.interp(offset, curve.offset, column))
        for column in (curve.share, curve.known, curve.new)
    )
    return Cost(share, known, new, curve.known[0])
