"""What must agree across the project's own files."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tpad import assets

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
CORE = [Requirement(line) for line in PROJECT["project"]["dependencies"]]


def packages(*extras: str) -> dict[str, Requirement]:
    """Requirements of the extras by name, without those that name other extras."""
    lines = [Requirement(line) for extra in extras for line in EXTRAS[extra]]
    return {canonicalize_name(one.name): one for one in lines if one.name != "tpad"}


def pins(name: str) -> dict[str, str]:
    """The versions in a file of requirements."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    found = dict(re.fullmatch(r"([a-z0-9.-]+)==(\S+)(?: ; .*)?", line).groups() for line in lines)
    assert len(found) == len(lines)
    return found


def test_the_lock_file_pins_a_version_in_each_range():
    locked = pins("requirements.lock")
    for name, one in {**{canonicalize_name(c.name): c for c in CORE}, **packages(*EXTRAS)}.items():
        assert locked[name] in one.specifier, f"{one} is locked at {locked[name]}; run `make lock`"


def test_requirements_for_spaces_are_those_of_the_app_at_the_locked_versions():
    names = {canonicalize_name(one.name) for one in CORE} | set(packages("app", "eval"))
    locked = pins("requirements.lock")
    assert pins("requirements.txt") == {name: locked[name] for name in names}


def test_recommending_installs_neither_app_nor_evaluation():
    core = {canonicalize_name(one.name) for one in CORE}
    assert not core & {"gradio", "plotly", "sqlalchemy", "alembic", "pytest", "bitsandbytes"}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements.txt"])
def test_no_package_index_is_named(name):
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text and "--" not in text


def test_torchvision_is_not_required():
    assert "torchvision" not in (ROOT / "pyproject.toml").read_text("utf-8")
    assert "torchvision" not in (ROOT / "requirements.lock").read_text("utf-8")


def test_a_wheel_brings_the_demo_to_where_the_package_looks():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    included = [path for path in wheel["only-include"] if path not in ("tpad", "eval", "app")]
    assert included == [assets.DEMO_BUNDLE_PATH.as_posix(), assets.DEMO_DATABASE_PATH.as_posix()]
    for path in included:
        assert (ROOT / path).exists()
        assert wheel["sources"][path.partition("/")[0]] == "tpad/_assets"


def test_the_demo_is_found_in_a_checkout():
    assert not assets.IS_INSTALLED and assets.ROOT == ROOT
    assert (assets.DEMO_BUNDLE / "bundle.json").is_file()
    assert (assets.EMBEDDED_BASE / "config.json").is_file()
    assert assets.DEMO_DATABASE.is_file()
    assert assets.working_copy_path() == ROOT / "assets" / "app.db"


def test_an_installed_package_keeps_its_working_copy_with_the_users_data(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "IS_INSTALLED", True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert assets.working_copy_path() == tmp_path / "tpad" / "app.db"
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert assets.working_copy_path() == tmp_path / ".local" / "share" / "tpad" / "app.db"
