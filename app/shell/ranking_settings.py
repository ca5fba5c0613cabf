"""The controls that set how recommendations are ranked."""

from dataclasses import dataclass
from typing import Any

import gradio as gr


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
