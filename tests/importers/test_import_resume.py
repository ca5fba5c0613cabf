"""Imports that are killed at any point are resumed, in bounded memory."""

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys

import pandas as pd
import pytest

from tpad.errors import DataError, TpadError
from tpad.importers import run as run_module
from tpad.importers.checkpoint import Checkpoint
from tpad.importers.run import import_tables
from tpad.importers.settings import ImportSettings
from tpad.importers.spill import Spill

SETTINGS = ImportSettings(min_clicks=2, min_rating=2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small batches, Arrow files and parts, so that there is much to be interrupted."""
    for module in ("lines", "mmsbr", "huggingface"):
        monkeypatch.setattr(f"tpad.importers.{module}.BATCH_ROWS", 7)
    monkeypatch.setattr(run_module, "CHUNK_ROWS", 40)
    monkeypatch.setattr(run_module, "PART_BYTES", 8000)


@pytest.fixture
def reviews(tmp_path):
    """Reviews and records of Amazon 2018, compressed, with some invalid lines."""
    lines = [
        json.dumps(
            {
                "reviewerID": f"u{n % 9}",
                "asin": f"i{n * n % 23}",
                "overall": n % 5 + 1,
                "unixReviewTime": 86_400 * (n // 20),
            }
        )
        for n in range(150)
    ]
    lines[30] = lines[99] = "{"
    records = [json.dumps({"asin": f"i{n}", "title": f"item {n}", "price": "?"}) for n in range(50)]
    for name, of in (("r.json.gz", lines), ("m.json", [*records, *records[:5]])):
        text = "\n".join(of).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    return [tmp_path / "r.json.gz", tmp_path / "m.json"]


def content(out):
    """All that an import wrote."""
    return (
        (out / "import.json").read_text("utf-8"),
        pd.read_parquet(out / "interactions.parquet").to_csv(),
        pd.read_parquet(out / "items.parquet").to_csv(),
    )


def killed_everywhere(monkeypatch, tmp_path, form, files, settings, owner, name, after):
    """Kill an import before or after each call of `owner.name` in turn, and resume it.

    Returns:
        number of calls.
    """
    untouched, calls, deadly = getattr(owner, name), 0, 0

    def counted(*args):
        nonlocal calls
        calls += 1
        if calls == deadly and not after:
            raise KeyboardInterrupt
        untouched(*args)
        if calls == deadly:
            raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, counted)
    import_tables(form, files, tmp_path / "whole", settings, lambda _: None)
    total = calls
    for deadly in range(1, total + 1):
        out, calls = tmp_path / f"out-{deadly}", 0
        with pytest.raises(KeyboardInterrupt):
            import_tables(form, files, out, settings, lambda _: None)
        assert not out.exists()
        calls = total  # no more kills
        import_tables(form, files, out, settings, lambda _: None)
        assert content(out) == content(tmp_path / "whole")
        assert not out.with_name(out.name + ".work").exists()
    return total


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_state(monkeypatch, tmp_path, reviews, after):
    kills = killed_everywhere(
        monkeypatch, tmp_path, "amazon-2018", reviews, SETTINGS, Checkpoint, "save", after
    )
    assert kills > 7


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_arrow_file(monkeypatch, tmp_path, reviews, after):
    killed_everywhere(
        monkeypatch, tmp_path, "amazon-2018", reviews, SETTINGS, Spill, "write", after
    )


def test_a_pickle_is_resumed(monkeypatch, tmp_path):
    (tmp_path / "t.txt").write_bytes(pickle.dumps(([[n % 7, n % 5] for n in range(60)], [1] * 60)))
    killed_everywhere(
        monkeypatch,
        tmp_path,
        "mmsbr",
        [tmp_path / "t.txt"],
        ImportSettings(),
        Checkpoint,
        "save",
        True,
    )


def test_parquet_is_resumed(monkeypatch, tmp_path):
    frame = pd.DataFrame({"user_id": [n % 5 for n in range(99)], "timestamp": range(99)})
    frame.assign(item_id=frame["timestamp"] % 13).to_parquet(tmp_path / "x.parquet")
    killed_everywhere(
        monkeypatch,
        tmp_path,
        "huggingface",
        [tmp_path / "x.parquet"],
        ImportSettings(),
        Checkpoint,
        "save",
        True,
    )


@pytest.mark.parametrize("listed", [False, True])
def test_csv_and_rows_of_lists_are_resumed(monkeypatch, tmp_path, listed):
    monkeypatch.setattr("tpad.importers.huggingface.SESSION_ROWS", 3)
    rows = [{"session_id": n // 3, "item_id": n % 13, "timestamp": n} for n in range(99)]
    path, frame = tmp_path / "x", pd.DataFrame(rows)
    if listed:
        frame.groupby("session_id").agg(list).reset_index().to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    killed_everywhere(
        monkeypatch, tmp_path, "huggingface", [path], ImportSettings(), Checkpoint, "save", True
    )


def test_a_killed_process_leaves_no_table_and_is_resumed(tmp_path, reviews):
    """SIGKILL in another process, at the second state of the interactions."""
    program = (
        "import os, signal, sys\n"
        "from tpad.importers import checkpoint, lines, run\n"
        "lines.BATCH_ROWS, run.CHUNK_ROWS = 7, 40\n"
        "save = checkpoint.Checkpoint.save\n"
        "def killed(self):\n"
        "    save(self)\n"
        "    if self.stage == 'clicks' and self.chunks == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoint.Checkpoint.save = killed\n"
        "from tpad.__main__ import main\n"
        "main(sys.argv[1:])\n"
    )
    out = tmp_path / "out"
    command = ["import", "amazon-2018", *map(str, reviews), "--out", str(out)]
    died = subprocess.run([sys.executable, "-c", program, *command], capture_output=True)
    assert died.returncode == -signal.SIGKILL and not out.exists()
    state = json.loads((tmp_path / "out.work" / "state.json").read_text())
    assert state["stage"] == "clicks" and state["position"][1] > 0
    messages = []
    import_tables("amazon-2018", reviews, out, say=messages.append)
    assert messages and messages[0].startswith("resuming")
    import_tables("amazon-2018", reviews, tmp_path / "whole", say=messages.append)
    assert content(out) == content(tmp_path / "whole")


def started(monkeypatch, out, files, settings=SETTINGS):
    """Start an import and interrupt it."""
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "next_stage", interrupt)
        with pytest.raises(KeyboardInterrupt):
            import_tables("amazon-2018", files, out, settings, lambda _: None)
    assert (out.with_name(out.name + ".work") / "state.json").is_file()


def interrupt(*_):
    raise KeyboardInterrupt


def test_changed_files_or_settings_start_over(monkeypatch, tmp_path, reviews):
    out, messages = tmp_path / "out", []
    started(monkeypatch, out, reviews)
    os.utime(reviews[1], (1, 1))
    import_tables("amazon-2018", reviews, out, SETTINGS, messages.append)
    assert not any("resuming" in line for line in messages)
    started(monkeypatch, tmp_path / "other", reviews)
    import_tables("amazon-2018", reviews, tmp_path / "other", ImportSettings(), messages.append)
    assert not any("resuming" in line for line in messages)


def test_a_folder_that_is_not_a_checkpoint_does_not_change(tmp_path, reviews):
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "mine.txt").write_text("x")
    with pytest.raises(DataError, match=r"out\.work holds no state"):
        import_tables("amazon-2018", reviews, tmp_path / "out", SETTINGS)
    assert (tmp_path / "out.work" / "mine.txt").exists()


def test_killed_after_the_last_step(monkeypatch, tmp_path, reviews):
    out, messages, remove = tmp_path / "out", [], Checkpoint.remove

    def killed(self):
        if out.exists():
            raise KeyboardInterrupt
        remove(self)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            import_tables("amazon-2018", reviews, out, SETTINGS, messages.append)
    assert (tmp_path / "out.work").exists()
    import_tables("amazon-2018", reviews, out, SETTINGS, messages.append)
    assert messages == [f"{out} already holds this import"] and not (tmp_path / "out.work").exists()


def test_a_damaged_part_file_is_reported(monkeypatch, tmp_path, reviews):
    next_stage = Checkpoint.next_stage

    def stop(self, name):
        next_stage(self, name)
        if name == "sessions":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "next_stage", stop)
        with pytest.raises(KeyboardInterrupt):
            import_tables("amazon-2018", reviews, tmp_path / "out", SETTINGS, lambda _: None)
    next((tmp_path / "out.work" / "clicks").glob("*.arrow")).write_bytes(b"short")
    with pytest.raises(DataError, match="damaged"):
        import_tables("amazon-2018", reviews, tmp_path / "out", SETTINGS, lambda _: None)


def test_a_full_disk_keeps_what_is_there(monkeypatch, tmp_path, reviews):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Spill, "write", full)
        with pytest.raises(TpadError, match=r"No space left.*same command again"):
            import_tables("amazon-2018", reviews, tmp_path / "out", SETTINGS, lambda _: None)
    assert (tmp_path / "out.work").is_dir() and not (tmp_path / "out").exists()


def test_no_step_holds_more_than_a_part(monkeypatch, tmp_path):
    """However long the file, each table in memory is about as large."""
    largest = {}
    write, part = Spill.write, Spill.part

    def writing(self, number, table, owners=None):
        largest["chunk"] = max(largest.get("chunk", 0), table.num_rows)
        write(self, number, table, owners)

    def reading(self, number, files):
        table = part(self, number, files)
        largest["part"] = max(largest.get("part", 0), table.num_rows)
        return table

    monkeypatch.setattr(Spill, "write", writing)
    monkeypatch.setattr(Spill, "part", reading)
    monkeypatch.setattr(run_module, "CHUNK_ROWS", 2000)
    monkeypatch.setattr("tpad.importers.lines.BATCH_ROWS", 100)
    seen = []
    for rows in (5_000, 20_000):
        largest.clear()
        lines = [f"{n // 4}\t{n % 50}\t{n}\n" for n in range(rows)]
        path = tmp_path / f"{rows}.txt"
        path.write_text("SessionId\tItemId\tTime\n" + "".join(lines))
        import_tables("session-rec", [path], tmp_path / f"out{rows}", say=lambda _: None)
        seen.append(dict(largest))
    assert seen[1]["chunk"] <= 2100 and seen[1]["part"] < 1.5 * seen[0]["part"] < 1500
