"""A drop-down menu whose value reaches its handler even when it is no longer offered.

Gradio's own makes an error of such a value, which a visitor meets when a filter is chosen in the
moment in which others are offered; the handler replaces it by one that is.
"""

from typing import Any

import gradio as gr


def _preprocess(self: gr.Dropdown, payload: Any) -> Any:
    """Text, several, or None; whatever a page sends."""
    if isinstance(payload, list):
        return [str(value) for value in payload]
    return None if payload is None else str(payload)


# Made past Gradio's metaclass, as `PictureInput` is.
Menu: type[gr.Dropdown] = type.__new__(
    type(gr.Dropdown),
    "Menu",
    (gr.Dropdown,),
    {
        "__module__": __name__,
        "__doc__": __doc__,
        "is_template": True,  # the browser shows it as a gr.Dropdown
        "preprocess": _preprocess,
    },
)
