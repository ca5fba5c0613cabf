"""The dashboard: what the results database holds, from the leaderboard down to a single run."""

from dataclasses import dataclass

import gradio as gr

from app.actions import Shop


@dataclass(frozen=True)
class Dashboard:
    """What others listen to.

    Attributes:
        case: (fingerprint of the cases, number of the case) that the visitor wants to see; None
            without results.
    """

    case: gr.State | None


def build(shop: Shop, tab: gr.Tab) -> Dashboard:
    """Lay out the tab; it is filled when it is opened."""
    return Dashboard(None)
