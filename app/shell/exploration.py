"""The setting “New items in the list”: its choices, and what each costs on validation sessions."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from app.shell.shop import Shop

TUNED, NEVER, CLICKED, MOST = "tuned", "never", "clicked", "most"
_SHARES = {NEVER: 0.0, "5": 0.05, "20": 0.2, "50": 0.5, MOST: 1.0}  # those of every bundle
ALL = (TUNED, NEVER, CLICKED, "5", "20", "50", MOST)
"""Names of all settings, the default first."""
_LABELS = {NEVER: "never", TUNED: "as tuned", CLICKED: "as clicked", MOST: "most"}


@dataclass(frozen=True)
class Cost:
    """What a setting gives on validation sessions.

    Attributes:
        share: of new items in the first 20 places.
        known, new: P@20 on clicked and on new targets.
        best: P@20 on clicked targets without new items.
        as_clicked: whether new items are shown as often as shoppers click on them.
    """

    share: float
    known: float
    new: float
    best: float
    as_clicked: bool = False


def choices(shop: Shop) -> list[str]:
    """Names of the settings that the bundle offers, the default first.

    All embedding sets of a bundle are tuned alike, so that the main one speaks for the others.
    """
    if shop.recommender.bundle.recommenders[shop.models[0]].exploration is None:
        return [TUNED, NEVER]
    return list(ALL)


def share_of(shop: Shop, model: str, choice: str) -> float | None:
    """The recommender's `exploration` of a setting.

    Args:
        shop: the open bundle.
        model: name of the embedding set.
        choice: name of the setting, one of `choices`.
    """
    if choice == TUNED:
        return None
    if choice == CLICKED:
        curve = shop.recommender.bundle.recommenders[model].exploration
        assert curve is not None  # the choice is not offered otherwise
        return curve.clicked
    return _SHARES[choice]


def label(choice: str) -> str:
    """The text of a setting on the page."""
    return _LABELS.get(choice, f"{choice}%")


def radio(shop: Shop) -> gr.Radio:
    """The control, without a visible label."""
    default, never, *others = choices(shop)
    options: dict[str, Any] = {"show_label": False, "container": False}
    return gr.Radio(
        [(label(name), name) for name in (never, default, *others)],
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
    offset = fitted.offset_for(share_of(shop, model, choice))  # −inf for “never”
    if offset == -np.inf:
        return Cost(0.0, curve.known[0], 0.0, curve.known[0])
    share, known, new = (
        float(np.interp(offset, curve.offset, column))
        for column in (curve.share, curve.known, curve.new)
    )
    # The curve may end before that share.
    as_clicked = choice == CLICKED and abs(share - curve.clicked) < 0.005
    return Cost(share, known, new, curve.known[0], as_clicked)
