"""The components of the tab “Cold-start cases”."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.cold_start.position import Position
from app.cold_start.verdicts import VERDICTS
from app.shell.address_fields import AddressRequest
from app.shell.events import html
from app.shell.menu import Menu
from app.shell.session import FORGET_AFTER
from app.shell.static_files import script
from app.shell.upload_form import UploadForm, upload_form

_COMPACT: dict[str, Any] = {"show_label": False, "container": False}


@dataclass(frozen=True)
class Settings:
    """The menus above the cases.

    Attributes:
        cases: which set of cases.
        part: the slice.
        rule: one of `app.cold_start.cases.RULES`.
        first, second: the rated model, and the one it is compared with.
    """

    cases: gr.Dropdown
    part: gr.Dropdown
    rule: gr.Dropdown
    first: gr.Dropdown
    second: gr.Dropdown

    @property
    def all(self) -> list[Any]:
        """The menus in the order of the page."""
        return [self.cases, self.part, self.rule, self.first, self.second]


@dataclass(frozen=True)
class Body:
    """The blocks of HTML."""

    toolbar: gr.HTML
    case: gr.HTML
    model_ranks: gr.HTML
    lists: gr.HTML
    upload_ranks: gr.HTML
    progress: gr.HTML

    @property
    def all(self) -> list[Any]:
        """The blocks in the order of `app.cold_start.display.body`."""
        return [
            self.toolbar,
            self.case,
            self.model_ranks,
            self.lists,
            self.upload_ranks,
            self.progress,
        ]


@dataclass(frozen=True)
class RatingForm:
    """The buttons for a verdict, by verdict, and what can be said beside it."""

    buttons: dict[str, gr.Button]
    note: gr.Textbox
    name: gr.Textbox


@dataclass(frozen=True)
class Layout:
    """All components of the tab.

    Attributes:
        empty, page: what is shown without cases, and with them.
        settings, body, form, upload: the visible parts.
        position: where the visitor is among the cases.
        kept, visitor: the visitor's verdicts, if nothing can be stored, and id.
        case: (fingerprint of the cases, number of the case) to open next.
        request: the `AddressRequest` to follow next.
    """

    empty: gr.HTML
    page: gr.Column
    settings: Settings
    body: Body
    form: RatingForm
    upload: UploadForm
    position: gr.State
    kept: gr.State
    visitor: gr.BrowserState
    case: gr.State
    request: gr.State


def lay_out() -> Layout:
    """All components, empty."""
    case = gr.State(None)
    request = gr.State(AddressRequest())
    position = gr.State(Position(), time_to_live=FORGET_AFTER)
    kept = gr.State((), time_to_live=FORGET_AFTER)
    # The browser keeps the id, so that a visitor who comes back is recognised.
    visitor = gr.BrowserState("", storage_key="tpad-visitor", secret="tpad")
    empty = html("", elem_id="cold-start-empty", visible=False)
    with gr.Column(visible=False, elem_id="cold-start-page") as page:
        settings = _settings()
        code = script("arrow_keys.js", "case_address.js")
        toolbar = html("", code, elem_id="cold-start-toolbar")
        shown = html("", elem_id="case")
        with gr.Row(equal_height=False, elem_classes="tp-case-main"):
            with gr.Column(scale=6, min_width=320):
                lists = html("", elem_id="cold-start-lists")
                upload_ranks = html(
                    "", script("scroll_into_view.js"), elem_id="cold-start-upload-ranks"
                )
                question = "What if your own picture were in the catalogue?"
                with gr.Accordion(question, open=False, elem_id="what-if"), gr.Row():
                    upload = upload_form("Add to the catalogue", height=180, name="what")
            with gr.Column(scale=4, min_width=300):
                ranks = html("", elem_id="cold-start-model-ranks")
        form = _rating_form()
        progress = html("", elem_id="cold-start-progress")
    body = Body(toolbar, shown, ranks, lists, upload_ranks, progress)
    return Layout(empty, page, settings, body, form, upload, position, kept, visitor, case, request)


def _settings() -> Settings:
    def menu(label: str, scale: int, name: str) -> gr.Dropdown:
        return Menu(
            [],
            label=label,
            filterable=False,
            scale=scale,
            min_width=130,
            elem_id=f"cold-start-{name}",
            **_COMPACT,
        )

    with gr.Row(elem_classes="tp-settings tp-case-settings"):
        return Settings(
            menu("Split", 3, "split"),
            menu("Targets", 1, "targets"),
            menu("Which cases", 3, "rule"),
            menu("Rated model", 2, "rated"),
            menu("Compared with", 2, "compared"),
        )


def _rating_form() -> RatingForm:
    with gr.Row(elem_classes="tp-rating", elem_id="rating"):
        buttons = {
            name: gr.Button(title, size="md", min_width=110, scale=0, elem_id=f"rating-{name}")
            for name, title in VERDICTS.items()
        }
        note = gr.Textbox(
            placeholder="Note (optional)",
            label="Note",
            max_length=500,
            scale=4,
            min_width=160,
            elem_id="rating-note",
            **_COMPACT,
        )
        name = gr.Textbox(
            placeholder="Your name (optional)",
            label="Your name",
            max_length=60,
            scale=1,
            min_width=150,
            elem_id="rating-name",
            **_COMPACT,
        )
    return RatingForm(buttons, note, name)
