"""The controls that set how recommendations are ranked."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.shell.shop import Shop


@dataclass(frozen=True)
class RankingSettings:
    """Model, number of recommendations, and whether seen items are left out."""

    model: gr.Dropdown
    k: gr.Dropdown
    exclude_seen: gr.Checkbox

    @property
    def all(self) -> list[Any]:
        """The controls in the order of the recommender's arguments."""
        return [self.model, self.k, self.exclude_seen]


def model_menu(shop: Shop, label: str, elem_id: str, *, scale: int, min_width: int) -> gr.Dropdown:
    """A menu of the shop's embedding sets, without a visible label."""
    return gr.Dropdown(
        [(shop.titles[name], name) for name in shop.models],
        value=shop.models[0],
        label=label,
        filterable=False,
        scale=scale,
        min_width=min_width,
        elem_id=elem_id,
        show_label=False,
        container=False,
    )
