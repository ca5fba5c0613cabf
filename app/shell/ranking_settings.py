"""The controls that set how recommendations are ranked."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.shell.shop import Shop


@dataclass(frozen=True)
class RankingSettings:
    """Model, number of recommendations, whether seen items are left out, and how many new ones are shown."""

    model: gr.Dropdown
    k: gr.Dropdown
    exclude_seen: gr.Checkbox
    new_items: gr.Radio

    @property
    def all(self) -> list[Any]:
        """The controls in the order of the arguments of `recommendations_html`."""
        return [self.model, self.k, self.exclude_seen, self.new_items]


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
