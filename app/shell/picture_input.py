"""An image input that hands over the uploaded file unopened, to be read by our own loader.

Gradio's own opens every file with Pillow before the handler runs, so that a damaged or hostile one
ends in a traceback instead of a sentence.
"""

from typing import Any

import gradio as gr


def _preprocess(self: gr.Image, payload: Any) -> str | None:
    """Path of the uploaded file; Gradio has checked that it lies in its folder of uploads."""
    return payload.path if payload else None


# Gradio's metaclass writes a .pyi file beside the module of each component class. A checkout may
# be read-only and should stay as it is, so the class is made past it.
PictureInput: type[gr.Image] = type.__new__(
    type(gr.Image),
    "PictureInput",
    (gr.Image,),
    {
        "__module__": __name__,
        "__doc__": __doc__,
        "is_template": True,  # the browser shows it as a gr.Image
        "preprocess": _preprocess,
    },
)
