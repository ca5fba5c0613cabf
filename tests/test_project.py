"""What must stay in step across the project's own files."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_requirements_for_spaces_are_the_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == project["dependencies"]


def test_torchvision_is_not_required():
    assert "torchvision" not in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_package_does_not_import_its_users():
    faults = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder, forbidden in (("tpad", ("eval", "app")), ("eval", ("app",)))
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        for name in forbidden
        if line.strip().startswith((f"from {name}.", f"from {name} ", f"import {name}"))
    ]
    assert faults == []
