"""Environment variables: blank is unset, and what cannot be meant gets a sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import __main__ as command
from app.compare.maps import cache_folder
from eval.database.connection import default_target
from tpad.__main__ import main
from tpad.environment import flag, forget_blank_variables, variable, whole_number
from tpad.errors import ConfigError

ROOT = Path(__file__).parents[1]
OURS = (
    "GRADIO_SERVER_NAME",
    "GRADIO_SERVER_PORT",
    "SPACE_ID",
    "TPAD_DATABASE_URL",
    "TPAD_READ_ONLY",
    "XDG_CACHE_HOME",
    "WORLD_SIZE",
)


@pytest.fixture(params=["", "  "])
def blank(request, monkeypatch):
    for name in OURS:
        monkeypatch.setenv(name, request.param)


def test_blank_variables_count_as_unset_in_the_app(blank):
    options = command.build_parser().parse_args([])
    assert (options.host, options.port) == ("127.0.0.1", 7860)
    assert options.database is None and options.read_only is False
    assert cache_folder().is_absolute()


def test_blank_variables_count_as_unset_on_the_command_line(blank, capsys, tmp_path):
    assert default_target() == "results.db"
    assert main(["images", "--items", str(tmp_path / "none.csv"), "--out", str(tmp_path)]) == 2
    assert "none.csv does not exist" in capsys.readouterr().err  # and not: start it without …


def test_blank_variables_of_libraries_are_forgotten(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hides all devices
    for name in ("GRADIO_NUM_PORTS", "HF_HOME", "ACCELERATE_USE_CPU", "RANK", "OTHER_PROGRAM"):
        monkeypatch.setenv(name, " ")
    monkeypatch.setenv("GRADIO_SHARE", "False")
    forget_blank_variables()
    assert not {"GRADIO_NUM_PORTS", "HF_HOME", "ACCELERATE_USE_CPU", "RANK"} & os.environ.keys()
    assert os.environ["OTHER_PROGRAM"] == " " and os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert os.environ["GRADIO_SHARE"] == "False"


def test_gradio_can_be_imported_after_the_app_with_a_blank_port():
    made = subprocess.run(
        [sys.executable, "-c", "import app, gradio.http_server as h; print(h.INITIAL_PORT_VALUE)"],
        env={**os.environ, "GRADIO_SERVER_PORT": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert made.stdout.strip() == "7860", made.stderr


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GRADIO_SERVER_PORT", "many", "GRADIO_SERVER_PORT must be a whole number up to 65535"),
        ("GRADIO_SERVER_PORT", "70000", "up to 65535, not '70000'"),
        ("GRADIO_SERVER_PORT", "-1", "up to 65535, not '-1'"),
        ("GRADIO_NUM_PORTS", "x", "GRADIO_NUM_PORTS must be a whole number, not 'x'"),
        ("TPAD_READ_ONLY", "perhaps", "TPAD_READ_ONLY must be 1 or 0, not 'perhaps'"),
    ],
)
def test_what_cannot_be_meant_gets_a_sentence(monkeypatch, capsys, name, value, says):
    monkeypatch.setenv(name, value)
    assert command.main([]) == 2
    assert says in capsys.readouterr().err


def test_values(monkeypatch):
    monkeypatch.setenv("TPAD_TEST", " 12 ")
    assert variable("TPAD_TEST") == "12" and whole_number("TPAD_TEST", 3) == 12
    with pytest.raises(ConfigError, match="must be 1 or 0"):
        flag("TPAD_TEST")
    for value, meant in (("1", True), ("Yes", True), ("0", False), ("off", False), ("", False)):
        monkeypatch.setenv("TPAD_TEST", value)
        assert flag("TPAD_TEST") is meant
    monkeypatch.delenv("TPAD_TEST")
    assert variable("TPAD_TEST", "x") == "x" and whole_number("TPAD_TEST", 3) == 3


def test_every_variable_is_read_by_the_one_helper():
    reads = re.compile(
        r"os\.getenv|os\.environ\.get\(|os\.environ\[[^\]]*\](?!\s*=[^=])|in os\.environ\b"
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("tpad", "eval", "app")
        for path in (ROOT / folder).rglob("*.py")
        if reads.search(path.read_text("utf-8"))
    }
    assert found == {"tpad/environment.py"}
