"""Every command in the documentation is valid; those on small data also run, in a slow test."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import NAMES, ROOT, commands

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import command_lines

GETTING_STARTED = "docs/getting-started.md"
RUN = ["README.md", *(name for name in NAMES if name.startswith("docs/guides/"))]
COMMANDS = [(name, words) for name in NAMES for words in commands(name)]
MODULES = ("pytest", "venv")


def test_there_are_commands():
    assert len(COMMANDS) > 50


@pytest.mark.parametrize(
    ("name", "words"), COMMANDS, ids=[f"{name}: {' '.join(words)[:60]}" for name, words in COMMANDS]
)
def test_command_is_valid(name, words, capsys):
    program, *rest = words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.M) for target in rest)
    elif program == "pip":
        check_pip(rest)
    elif "-m" in words and program in ("python", "python3", "accelerate", "torchrun"):
        module, *arguments = words[words.index("-m") + 1 :]
        check_module(module, arguments, capsys)
    elif program == "python":
        check_script(rest)
    else:
        assert program in (".", "pre-commit"), f"This test does not know the program {program}."


def check_pip(rest: list[str]) -> None:
    """Extras that are installed exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for extras in re.findall(r"\.\[([\w,]+)\]", " ".join(rest)):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def check_module(module: str, arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    """One of our programs accepts the arguments; paths given to pytest exist."""
    if module == "pytest":
        assert all((ROOT / path).exists() for path in arguments if not path.startswith("-"))
    elif module in command_lines.PROGRAMS:
        try:
            command_lines.check(module, arguments)
        except SystemExit:
            pytest.fail(capsys.readouterr().err)
    else:
        assert module in MODULES, f"This test does not know the module {module}."


def check_script(rest: list[str]) -> None:
    """The script exists and has the options."""
    text = (ROOT / rest[0]).read_text("utf-8")
    if "add_source(" in text:
        shared = ("eval/cli/sources.py", "tpad/cli/shared.py")
        text += "".join((ROOT / name).read_text("utf-8") for name in shared)
    assert [word for word in rest[1:] if word.startswith("--") and f'"{word}"' not in text] == []


def is_run(words: list[str]) -> bool:
    """Whether the slow test runs a command: one of our programs, unless it serves until stopped."""
    if words[:2] != ["python", "-m"] or words[2] not in command_lines.PROGRAMS:
        return False
    return words[2] != "app" or "deploy" in words


def on_small_data(words: list[str]) -> list[str]:
    """The command with options that make it quick: smoke settings, the embedded model, two models."""
    words = list(words)
    if words[2:4] == ["tpad", "train"]:
        if "--mllm" in words:
            at = words.index("--mllm")
            del words[at : at + 2]
        if "--preset" not in words:
            words += ["--preset", "smoke"]
        if "--features" in words:  # as in the default preset
            words += ["--set", "imagined.per_item=0", "--set", "feedback.epochs=0"]
    if words[2:4] == ["eval", "run"]:
        words += [] if "--models" in words else ["--models", "popularity", "tpad"]
        words += [] if "--seeds" in words else ["--seeds", "0"]
    return words


def run(words: list[str], folder: Path) -> None:
    """Runs a command in a folder."""
    words = on_small_data(words)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TPAD_DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Where the commands of "Getting started" have run, with tables and vectors as guides name them."""
    made = tmp_path_factory.mktemp("docs")
    for words in filter(is_run, commands(GETTING_STARTED, run=True)):
        run(words, made)
    for name, source in (("items.csv", "items.csv"), ("clicks.csv", "interactions.csv")):
        shutil.copyfile(made / "shop" / source, made / name)
    shutil.copytree(made / "shop" / "images", made / "images")
    run(["python", "-m", "tpad", "export", "my-bundle", "--embeddings", "clip.safetensors"], made)
    return made


@pytest.mark.slow
def test_getting_started_trains_and_evaluates_a_bundle(trained):
    assert (trained / "my-bundle" / "bundle.json").is_file()
    assert (trained / "report.html").is_file() and (trained / "results.db").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_commands_run_on_small_data(name, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "work")
    for words in filter(is_run, commands(name, run=True)):
        run(words, folder)
