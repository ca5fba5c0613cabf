"""The app's JavaScript and CSS files in `app/static`."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "static"


def script(*names: str, **constants: Any) -> str:
    """JavaScript files, joined in order.

    Args:
        names: of files in `app/static`.
        constants: values that the scripts use, defined before them with `const`.
    """
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    return "\n".join([*lines, *((FOLDER / name).read_text("utf-8") for name in names)])


def stylesheet() -> str:
    """All CSS: what the tabs share first, then one file per tab that needs more."""
    sheets = sorted(FOLDER.glob("*.css"), key=lambda path: (path.name != "style.css", path.name))
    return "\n".join(sheet.read_text("utf-8") for sheet in sheets)
