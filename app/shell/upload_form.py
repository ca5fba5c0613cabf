"""The form for a picture of the visitor's own, with its title and price."""

from dataclasses import dataclass
from typing import Any

import gradio as gr


def _preprocess(self: gr.Image, payload: Any) -> str | None:
    """Path of the uploaded file; Gradio has checked that it is in its upload folder."""
    return payload.path if payload else None


# An image input that returns the uploaded file unopened, to be read by our own loader. Gradio's own
# opens every file with Pillow before the handler runs, so that a damaged or hostile one ends in a
# traceback instead of a message.
#
# Gradio's metaclass writes a .pyi file beside the module of each component class. A checkout may be
# read-only and should not change, so the class is created without it.
PictureInput: type[gr.Image] = type.__new__(
    type(gr.Image),
    "PictureInput",
    (gr.Image,),
    {
        "__module__": __name__,
        "__doc__": "An image input that returns the path of the uploaded file.",
        "is_template": True,  # the browser shows it as a gr.Image
        "preprocess": _preprocess,
    },
)


@dataclass(frozen=True)
class UploadForm:
    """The form's components."""

    picture: gr.Image
    title: gr.Textbox
    price: gr.Textbox
    button: gr.Button


def upload_form(action: str, *, height: int, name: str) -> UploadForm:
    """Lay out the form, inside a row.

    Args:
        action: label of its button.
        height: of the picture, in pixels.
        name: prefix of the components' ids.
    """
    picture = PictureInput(
        type="filepath",
        sources=["upload", "clipboard", "webcam"],
        label="Picture",
        height=height,
        scale=2,
        min_width=200,
        elem_id=f"{name}-picture",
    )
    with gr.Column(scale=2, min_width=180):
        title = gr.Textbox(label="Title (optional)", max_length=200, elem_id=f"{name}-title")
        price = gr.Textbox(label="Price (optional)", max_length=20)
        button = gr.Button(action, variant="primary", elem_id=f"{name}-add")
    return UploadForm(picture, title, price, button)
