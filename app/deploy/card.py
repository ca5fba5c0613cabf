"""The card of a Space: the README whose front matter tells Hugging Face how to run it."""

import re
from pathlib import Path
from typing import Any

from tpad import assets
from tpad.errors import DataError

COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
MAX_DESCRIPTION = 60  # characters


def front_matter(readme: Path) -> dict[str, Any]:
    """The front matter of a README.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    try:
        fields = metadata_load(readme)
    except (YAMLError, ValueError) as error:
        raise DataError("The front matter of README.md is not valid YAML; correct it.") from error
    if not fields:
        raise DataError("README.md has no front matter, which a Space needs.")
    return fields


def check_card(head: dict[str, Any], folder: Path) -> None:
    """Check the front matter of a Space against the rules of the hub and against the folder.

    Args:
        head: the fields.
        folder: root of the Space, with `requirements.txt`.

    Raises:
        DataError: the hub would refuse it, or the Space would not start.
    """
    version = pinned("gradio", folder / "requirements.txt")
    rules: dict[str, tuple[bool, str]] = {
        "title": (bool(str(head.get("title") or "").strip()), "must not be empty"),
        "sdk": (head.get("sdk") == "gradio", "must be gradio"),
        "sdk_version": (
            head.get("sdk_version") == version,
            f"must be {version}, as in requirements.txt",
        ),
        "app_file": ((folder / str(head.get("app_file"))).is_file(), "must be a file of the Space"),
        "python_version": (
            # In quotes: without them YAML reads 3.10 as 3.1.
            bool(re.fullmatch(r"3\.\d+(\.\d+)?", str(head.get("python_version"))))
            and isinstance(head.get("python_version"), str),
            'must be like "3.11", in quotes',
        ),
        "colorFrom": (head.get("colorFrom") in COLOURS, f"must be one of {', '.join(COLOURS)}"),
        "colorTo": (head.get("colorTo") in COLOURS, f"must be one of {', '.join(COLOURS)}"),
        "emoji": (
            0 < len(str(head.get("emoji") or "")) <= 8 and not str(head.get("emoji")).isascii(),
            "must be one emoji",
        ),
        "short_description": (
            len(str(head.get("short_description") or "")) <= MAX_DESCRIPTION,
            f"has more than {MAX_DESCRIPTION} characters",
        ),
    }
    for field, (is_met, rule) in rules.items():
        if not is_met:
            raise DataError(f"The field {field} of the front matter in README.md {rule}.")


def pinned(package: str, requirements: Path) -> str:
    """The version of a package that a requirements file pins.

    Raises:
        DataError: it pins no version.
    """
    for line in requirements.read_text("utf-8").splitlines():
        name, _, version = line.partition("==")
        if name.partition("[")[0].strip() == package and version:
            return version.strip()
    raise DataError(f"requirements.txt pins no version of {package}; write {package}==….")


def card(head: dict[str, Any], bundle: str, facts: dict[str, Any], has_results: bool) -> str:
    """The README of a Space.

    Args:
        head: its front matter.
        bundle: name of the bundle.
        facts: content of its `bundle.json`.
        has_results: whether the Space has a results database.
    """
    from huggingface_hub.utils import yaml_dump

    data = facts["dataset"]
    fields = yaml_dump(head)
    stored = (
        f"The results database beside it (`{assets.DEMO_DATABASE_PATH}`) feeds the dashboard."
        if has_results
        else "There is no results database, so the dashboard is empty."
    )
    return f"""---
{fields}---

# {head["title"]}

Session-based recommendation that also works for new items, by TPAD (arXiv 2504.10538; an independent implementation).

This Space opens the bundle **{bundle}** ({data["n_items"]:,} items, {data["n_cold"]:,} of them in no training session; created by
tpad {facts["package_version"]}) in `assets/demo`, the app's default. Its [model card](assets/demo/README.md) describes the training data
and the results. {stored}

Assembled by `python -m app deploy`; the same folder runs anywhere: `pip install -r requirements.txt && python app/__main__.py`.
"""
