"""Files and folders are written atomically, also if the process is killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tpad.io import files
from tpad.io.files import remove_leftovers, replacing, replacing_folder
from tpad.io.tensor_files import write_arrays

KILLED = """
import os, sys
from pathlib import Path
from tpad.io import files
exchange, step = sys.argv[2] == "exchange", int(sys.argv[3])
if not exchange:
    files._exchange = lambda one, other: False
done = []
def counted(change):
    def run(*names):
        if len(done) == step:
            os._exit(9)
        done.append(names)
        return change(*names)
    return run
os.replace = counted(os.replace)
files._exchange = counted(files._exchange) if exchange else files._exchange
with files.replacing_folder(sys.argv[1]) as part:
    (part / "content").write_text("new")
os._exit(9)
"""


def write(path: Path, text: str) -> None:
    with replacing_folder(path) as part:
        (part / "content").write_text(text)


@pytest.mark.parametrize(
    ("way", "step"), [("exchange", 0), ("exchange", 1), ("rename", 0), ("rename", 1), ("rename", 2)]
)
def test_a_kill_at_any_moment_leaves_a_whole_folder(tmp_path, way, step):
    path = tmp_path / "bundle"
    write(path, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), way, str(step)], check=False)
    assert killed.returncode == 9
    if way == "exchange":  # there without any repair
        assert path.is_dir()
    remove_leftovers(tmp_path, "bundle")
    assert (path / "content").read_text() in ("old", "new")
    assert os.listdir(tmp_path) == ["bundle"]
    write(path, "newer")
    assert (path / "content").read_text() == "newer"


def test_the_next_run_removes_what_a_kill_left_and_nothing_else(tmp_path):
    for name in (".bundle.part-abcd1234", ".other.part-abcd1234"):
        (tmp_path / name / "new").mkdir(parents=True)
    (tmp_path / ".bundle.part-note").write_text("a file of the user")
    with replacing_folder(tmp_path / "bundle") as living:
        write(tmp_path / "bundle", "second")  # another writer of the same folder
        assert living.is_dir()
    assert sorted(os.listdir(tmp_path)) == [
        ".bundle.part-note",
        ".other.part-abcd1234",
        "bundle",
    ]


def test_a_file_that_a_kill_left_is_removed_by_the_next_run(tmp_path):
    code = (
        "import os, sys\nfrom tpad.io.files import replacing\n"
        "with replacing(sys.argv[1]) as part:\n    part.write_text('half')\n    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.json")], check=False)
    assert len(os.listdir(tmp_path)) == 1
    with replacing(tmp_path / "b.json") as part:
        part.write_text("whole")
    assert os.listdir(tmp_path) == ["b.json"]


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_a_system_that_cannot_exchange_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    write(tmp_path / "bundle", "old")
    write(tmp_path / "bundle", "new")
    assert (tmp_path / "bundle" / "content").read_text() == "new"
    assert os.listdir(tmp_path) == ["bundle"]


def test_equal_arrays_and_metadata_give_equal_bytes(tmp_path):
    facts = {f"fact {n}": '{"name": "é /\\n"}' for n in range(8)}
    arrays = {"b": np.zeros((2, 3), np.float16), "a": np.arange(4.0)}
    made = []
    for order in (1, -1, 1):
        write_arrays(tmp_path / "x", arrays, dict(list(facts.items())[::order]))
        made.append((tmp_path / "x").read_bytes())
    assert made[0] == made[1] == made[2]
