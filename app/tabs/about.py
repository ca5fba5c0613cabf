"""The About tab: what is shown, where the data comes from, the model card, limits."""

import gradio as gr

from app.actions import Shop


def build(shop: Shop) -> None:
    """Lay out the tab."""
    gr.Markdown("")
