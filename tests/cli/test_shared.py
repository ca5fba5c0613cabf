"""What the command lines of tpad, eval and app have in common."""

import importlib
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from tpad.cli import shared
from tpad.errors import ConfigError, DataError
from tpad.version import __version__

ROOT = Path(__file__).parents[2]
PROGRAMS = ("tpad", "eval", "app")
MISSING_BUNDLE = {
    "tpad": ["probe", "nowhere"],
    "eval": ["--bundle", "nowhere"],
    "app": ["--bundle", "nowhere"],
}


@pytest.fixture(params=PROGRAMS)
def program(request):
    return importlib.import_module(f"{request.param}.__main__")


@pytest.fixture
def arguments(program):
    return MISSING_BUNDLE[program.__name__.partition(".")[0]]


def run(action, *arguments: str) -> int:
    """Run a program that does nothing but one action."""

    def build_parser(given):
        parser = shared.new_parser("program", "Does one thing.")
        parser.set_defaults(run=lambda options: action())
        return parser

    return shared.run_program(build_parser, arguments)


@pytest.fixture
def fail():
    def raise_error():
        raise DataError("The row is invalid; mend it.")

    return raise_error


def test_version(program, capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"tpad {__version__}\n"


def test_help(program, capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m ") and "--verbose" in out and "--version" in out


def test_help_of_a_command_shows_verbose(capsys):
    for name, command in (("tpad", "train"), ("eval", "report"), ("app", "deploy")):
        with pytest.raises(SystemExit):
            importlib.import_module(f"{name}.__main__").main([command, "--help"])
        assert "--verbose" in capsys.readouterr().out


def test_an_unknown_option_shows_the_usage(program, capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["--no-such-option"])
    assert left.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_an_error_is_one_sentence(program, arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: nowhere ") and err.count("\n") == 1


def test_verbose_shows_the_traceback_before_the_sentence(
    program, arguments, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert program.main([*arguments, "--verbose"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("error: nowhere ")


def test_verbose_may_come_before_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, given in MISSING_BUNDLE.items():
        importlib.import_module(f"{name}.__main__").main(["--verbose", *given])
        assert "Traceback" in capsys.readouterr().err


def test_several_processes_are_refused(program, arguments, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert program.main(arguments) == 2
    assert "runs in one process; start it without a launcher." in capsys.readouterr().err


def test_exit_codes(fail, capsys):
    assert run(lambda: print("done")) == 0
    assert run(fail) == 2
    assert capsys.readouterr().err == "error: The row is invalid; mend it.\n"


def test_an_unexpected_error_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_ctrl_c(capsys):
    def interrupt():
        raise KeyboardInterrupt

    assert run(interrupt) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to continue\n"


def test_ctrl_c_closes_the_app_and_a_taken_port_is_an_error(monkeypatch):
    from app import __main__ as app

    class Page:
        """In place of a Gradio page."""

        closed = False
        taken = False

        @property
        def server(self):
            return SimpleNamespace(thread=SimpleNamespace(join=self.interrupt))

        def interrupt(self):
            raise KeyboardInterrupt

        def launch(self, **options):
            assert options["server_port"] is None and options["prevent_thread_lock"]
            if self.taken:
                raise OSError("Port 7860 is taken")

        def close(self, verbose):
            self.closed = True

    monkeypatch.setattr("app.ui.launch_options", lambda page: {})
    page, options = Page(), app.build_parser([]).parse_args(["--port", "0"])
    with pytest.raises(KeyboardInterrupt):
        app._serve(page, options)
    assert page.closed
    page.taken = True
    with pytest.raises(ConfigError, match="Port 7860 is taken; choose another --port"):
        app._serve(page, options)


def test_a_reader_that_stops_early_is_no_error():
    code = (
        "import sys; from tpad.cli import shared\n"
        "def build(given):\n"
        "    made = shared.new_parser('p', 'd')\n"
        "    made.set_defaults(run=lambda options: print('line\\n' * 100_000))\n"
        "    return made\n"
        "sys.exit(shared.run_program(build, []))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    process.stderr.close()


def test_missing_packages_of_an_extra_are_named(monkeypatch, capsys):
    for name, extra, module in (("app", "app", "gradio"), ("eval", "eval", "sqlalchemy")):
        monkeypatch.setattr(shared, "find_spec", lambda found, gone=module: found != gone or None)
        assert importlib.import_module(f"{name}.__main__").main([]) == 2
        told = f'error: {module} is not installed; run pip install "tpad[{extra}]".\n'
        assert capsys.readouterr().err == told


def test_options_without_a_command_are_those_of_the_default():
    for given, expected in (
        (["--seeds", "1"], ["run", "--seeds", "1"]),
        (["--verbose", "--seeds", "1"], ["run", "--verbose", "--seeds", "1"]),
        (["--verbose", "compare"], ["--verbose", "compare"]),
        (["--help"], ["--help"]),
        (["--version"], ["--version"]),
        ([], []),
    ):
        assert shared.with_default_command(given, "run") == expected


def test_only_the_command_that_is_used_is_imported():
    code = (
        "import sys; from eval.__main__ import build_parser; build_parser(['--help']);"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["tpad", "eval"])
def test_every_command_explains_itself(name):
    parser = importlib.import_module(f"{name}.__main__").build_parser()
    (commands,) = (
        action for action in parser._actions if hasattr(action, "choices") and action.choices
    )
    for command, subparser in commands.choices.items():
        assert isinstance(subparser, ArgumentParser)
        for option in subparser._actions:
            assert option.help, f"{command} {option.option_strings or option.dest}"
