"""What stands in place of results that were not measured yet, and how to get them."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.shell.actions import Shop

NO_DATABASE = "The app was started without a results database for this bundle."
OTHER_DATA = "The results in the database were measured on another dataset than this bundle's."
NOT_YET = "The database holds no finished run on this bundle's dataset."


def reason(shop: "Shop") -> str:
    """Why there is nothing to show."""
    if shop.results is None:
        return NO_DATABASE
    return OTHER_DATA if shop.results.hides_runs() else NOT_YET


def no_results(shop: "Shop", why: str = "") -> str:
    """HTML that says why there are no results, and the commands that measure this bundle.

    Args:
        shop: what is open.
        why: a sentence; the reason that `reason` finds if left out.
    """
    bundle = escape(bundle_argument(shop.recommender.bundle.path))
    return (
        '<div class="tp-empty"><b>No results for this bundle yet.</b>'
        f"<p>{escape(why or reason(shop))} Measure it, then open both:</p>"
        f'<pre class="tb-command">python -m eval run --bundle {bundle} --database results.db\n'
        f"python -m app --bundle {bundle} --database results.db</pre>"
        "<p>Runs appear here while they are being written.</p></div>"
    )


def bundle_argument(path: Path) -> str:
    """What to write for the bundle in a command: its path from the working folder, else "BUNDLE".

    A path that leads elsewhere is not shown: visitors from outside may read the page.
    """
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return "BUNDLE"
