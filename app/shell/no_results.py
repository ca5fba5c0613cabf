"""Shown in place of results that do not exist yet, and how to get them."""

from pathlib import Path

from app.shell.shop import Shop
from app.shell.templates import render

NO_DATABASE = "The app was started without a results database for this bundle."
OTHER_DATA = "The results in the database were measured on another dataset or for another bundle."
NOT_YET = "The database has no finished run on this bundle's dataset."


def reason(shop: Shop) -> str:
    """Why there is nothing to show."""
    if shop.results is None:
        return NO_DATABASE
    return OTHER_DATA if shop.results.only_other_bundles() else NOT_YET


def no_results(shop: Shop) -> str:
    """HTML that says why there are no results, and the commands that evaluate this bundle."""
    return render(
        "shell/no_results.html",
        reason=reason(shop),
        bundle=bundle_argument(shop.recommender.bundle.path),
    )


def bundle_argument(path: Path) -> str:
    """What to write for the bundle in a command: its path from the working folder, else "BUNDLE".

    A path that leads elsewhere is not shown, because visitors from outside may read the page.
    """
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return "BUNDLE"
