"""How buttons in our HTML reach Python, and how errors reach the visitor."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.shell.static_files import script
from tpad.errors import TpadError

log = logging.getLogger("app")


def html(value: str, *code: str, **options: Any) -> gr.HTML:
    """A block of our own HTML whose `data-act` buttons trigger `click` (or `why`, `save`).

    Args:
        value: the HTML.
        code: further JavaScript to run when the block is shown.
        options: further arguments of `gr.HTML`.
    """
    return gr.HTML(
        str(value),
        js_on_load="\n".join([script("delegate.js"), *code]),
        apply_default_css=False,
        container=False,
        **options,
    )


def static_html(value: str, **options: Any) -> gr.HTML:
    """A block of our own HTML that triggers nothing."""
    return gr.HTML(str(value), apply_default_css=False, **options)


def clicked_button(event: gr.EventData) -> tuple[str, str]:
    """The `act` and `id` of a click; whatever a page sends, both are short strings."""
    data = event._data if isinstance(event._data, dict) else {}
    return str(data.get("act", ""))[:40], str(data.get("id", ""))[:400]


def guarded(outputs: int) -> Callable[[Callable], Callable]:
    """Turns an error of the handler into one sentence on the page, and leaves the page as it is.

    Args:
        outputs: number of outputs of the handler.
    """

    def wrap(handler: Callable) -> Callable:
        @functools.wraps(handler)
        def safe(*args: Any) -> Any:
            try:
                return handler(*args)
            except TpadError as error:
                gr.Warning(str(error), duration=8)
            except Exception:
                log.exception("%s failed", handler.__name__)
                gr.Warning("Something went wrong; see the server's log.", duration=8)
            return gr.skip() if outputs == 1 else skip_all(outputs)

        return safe

    return wrap


def skip_all(count: int) -> tuple[Any, ...]:
    """Leaves so many outputs of a handler unchanged."""
    return tuple(gr.skip() for _ in range(count))
