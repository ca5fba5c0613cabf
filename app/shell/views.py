"""HTML that all tabs share: the header, the session strip, and the notices shown in empty places."""

from base64 import b64encode
from collections.abc import Mapping

import pandas as pd

from app.shell.session import MAX_ELEMENTS, Element, VisitorSession
from app.shell.templates import macros, render
from tpad.io.csv_files import csv_text


def header(n_items: int, n_cold: int) -> str:
    """The line above everything."""
    return render("shell/header.html", n_items=n_items, n_cold=n_cold)


def strip(
    session: VisitorSession,
    target: Element | None = None,
    ids: Mapping[str, str] | None = None,
) -> str:
    """The session in order, with its controls.

    Args:
        session: the visitor's.
        target: the true next item, if there is one.
        ids: "session" and "all", how the page's address names the session, see `session_ids`.
    """
    now = session.now
    data = {
        **(ids or {}),
        "next": now.target,
        "source": now.source,
        "revealed": "1" if now.revealed else "",
    }
    return render(
        "shell/strip.html",
        elements=session.elements,
        full=len(session) >= MAX_ELEMENTS,
        source=now.source,
        can_undo=bool(session.past),
        target=target,
        revealed=now.revealed,
        data=data,
    )


def no_session() -> str:
    """Shown in place of recommendations while the session is empty."""
    return render("shell/no_session.html")


def csv_link(frame: pd.DataFrame, name: str) -> str:
    """A link that saves a table as a CSV file; the file is in the link itself.

    Returns:
        Safe HTML, which templates do not escape again.
    """
    content = b64encode(csv_text(frame).encode("utf-8")).decode("ascii")
    return macros("macros.html").csv_link(name, content)
