"""Where the files that come with tpad are: the demo bundle, its base model and its results.

In a checkout and on Hugging Face Spaces they lie in the folder `assets` beside the packages. A wheel
carries them inside this package, in `tpad/_assets`.
"""

from pathlib import Path

from tpad.environment import variable

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_assets"

ROOT = _PACKAGE.parent
"""The checkout, or the folder of the Space; in an installed package, the folder of packages."""

IS_INSTALLED = _INSTALLED.is_dir()
"""Whether tpad was installed from a wheel."""

# Relative to the root, as `app.deploy` lays them out on a Space.
DEMO_BUNDLE_PATH = Path("assets", "demo")
DEMO_DATABASE_PATH = Path("assets", "demo.db")

DEMO_BUNDLE = _INSTALLED / "demo" if IS_INSTALLED else ROOT / DEMO_BUNDLE_PATH
DEMO_DATABASE = _INSTALLED / "demo.db" if IS_INSTALLED else ROOT / DEMO_DATABASE_PATH
EMBEDDED_BASE = DEMO_BUNDLE / "base"


def working_copy_path() -> Path:
    """Where the app keeps its own copy of the demo's results, with the verdicts of its user.

    Returns:
        `assets/app.db` in a checkout; for an installed package `tpad/app.db` in the user's data
        folder ($XDG_DATA_HOME, else ~/.local/share).
    """
    if not IS_INSTALLED:
        return ROOT / "assets" / "app.db"
    named = variable("XDG_DATA_HOME")
    try:
        return (Path(named) if named else Path.home() / ".local" / "share") / "tpad" / "app.db"
    except RuntimeError:  # there is no home folder
        return DEMO_DATABASE.with_name("app.db")
