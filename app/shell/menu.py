"""A drop-down menu that passes its value to the handler even if it is no longer offered.

Gradio's own raises an error, which a visitor sees when a filter is chosen at the moment its choices
change. Here the handler replaces the value by one that is offered.
"""

from typing import Any

import gradio as gr


def _preprocess(self: gr.Dropdown, payload: Any) -> Any:
    """A text, a list of texts, or None, whatever the page sends."""
    if isinstance(payload, list):
        return [str(value) for value in payload]
    return None if payload is None else str(payload)


# Created without Gradio's metaclass, as `PictureInput` is.
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
