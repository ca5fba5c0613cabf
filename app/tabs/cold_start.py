"""The tab where a person walks through test cases and says what they think of each."""

from dataclasses import dataclass

import gradio as gr

from app.actions import Shop


@dataclass(frozen=True)
class ColdStartTab:
    """What others listen to or set.

    Attributes:
        case: (fingerprint of the cases, number of the case) to be opened next; None without results.
    """

    case: gr.State | None


def build(shop: Shop, tab: gr.Tab) -> ColdStartTab:
    """Lay out the tab; it is filled when it is opened."""
    return ColdStartTab(None)
