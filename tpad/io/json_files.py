"""Writes JSON files that people may read."""

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value with one entry per line."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
