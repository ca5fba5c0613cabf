"""The pages of the documentation: length, links and examples."""

import doctest
import re
from pathlib import Path

import pytest
from pages import NAMES, ROOT, blocks

import tpad

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
PATH = re.compile(r"`((?:tpad|eval|app|tests|benchmarks|docs|assets|examples)/[\w./-]*)`")
PACKAGE = re.compile(r"`((?:tpad|eval|app)(?:\.\w+)+)`")
PYTHON = [name for name in NAMES if any(b.language == "python" for b in blocks(name))]
SESSIONS = [name for name in NAMES if any(b.language == "pycon" for b in blocks(name))]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_links_to_files_exist(name):
    page = ROOT / name
    targets = {found["target"] for found in LINK.finditer(page.read_text("utf-8"))}
    files = {t.partition("#")[0] for t in targets if not t.startswith(("http", "#", "mailto"))}
    assert [file for file in files if not (page.parent / file).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_files_and_packages_that_are_named_exist(name):
    text = (ROOT / name).read_text("utf-8")
    paths = set(PATH.findall(text)) - {"docs/_build"}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = {found for found in PACKAGE.findall(text) if not is_public(found)}
    files = [ROOT / module.replace(".", "/") for module in modules]
    assert [
        file for file in files if not file.is_dir() and not file.with_suffix(".py").exists()
    ] == []


def is_public(name: str) -> bool:
    """Whether a dotted name begins with one of the public names of tpad."""
    package, _, rest = name.partition(".")
    return package == "tpad" and rest.partition(".")[0] in tpad.__all__


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text("utf-8").splitlines()
    pages = [str(Path(name).relative_to("docs"))[:-3] for name in NAMES if name.startswith("docs/")]
    assert [page for page in pages if page != "index" and page not in index] == []


@pytest.mark.parametrize("name", PYTHON)
def test_python_examples_compile(name):
    for block in blocks(name):
        if block.language == "python":
            compile(block.text, f"{name}:{block.line}", "exec")


@pytest.mark.parametrize("name", SESSIONS)
def test_examples_with_output_print_it(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    for block in blocks(name):
        if block.language == "pycon":
            example = doctest.DocTestParser().get_doctest(
                block.text, names, f"{name}, line {block.line}", name, block.line
            )
            runner = doctest.DocTestRunner()
            said: list[str] = []
            runner.run(example, out=said.append, clear_globs=False)
            names = example.globs
            assert not runner.failures, "".join(said)
