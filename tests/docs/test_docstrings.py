"""Examples in docstrings print what they say, and public names have some."""

import doctest
import importlib

import pytest
from pages import ROOT

import tpad
from tpad.errors import TpadError

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("tpad", "eval", "app")
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_print_what_they_say(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(example, out=said.append)
    assert runner.tries and not runner.failures, "".join(said)


def test_public_classes_and_functions_have_examples():
    public = [getattr(tpad, name) for name in tpad.__all__ if name != "__version__"]
    missing = [
        one.__name__
        for one in public
        if not (isinstance(one, type) and issubclass(one, TpadError)) and ">>> " not in one.__doc__
    ]
    assert missing == []
