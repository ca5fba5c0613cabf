"""Runs on one folder: resuming, limits, and the command."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fetching_shop import picture
from misbehaving_server import answer

from tpad.__main__ import main
from tpad.errors import ConfigError, DataError
from tpad.fetching import FetchConfig
from tpad.fetching.journal import JOURNAL
from tpad.io.locking import LOCK, only_run

ROOT = Path(__file__).parents[2]
GOOD = answer(picture())


# --- resuming ------------------------------------------------------------------------------------


def test_a_second_run_skips_addresses_with_a_result(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", "gone.jpg")
    server.requests.clear()
    report = shop.fetch("a.jpg", "gone.jpg", "http://shop.test/a.jpg?new")
    assert server.paths() == ["/a.jpg?new"]
    assert report.with_picture == 1 and report.fetched == 0 and report.known == 2
    assert list(shop.table["image"] != "") == [True, False, False]


def test_temporary_failures_are_retried_by_the_next_run(shop, server):
    server.pages["/a.jpg"] = answer(b"", 503)
    shop.fetch("a.jpg", retries=0)
    server.pages["/a.jpg"] = GOOD
    assert shop.fetch(retries=0).with_picture == 1
    assert len(shop.failures) == 0


def test_retry_failed_also_retries_permanent_failures(shop, server):
    shop.fetch("a.jpg")
    server.pages["/a.jpg"] = GOOD
    assert shop.fetch().with_picture == 0
    assert shop.fetch(retry_failed=True).with_picture == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_lost_picture_is_downloaded_again(shop, server, damage):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg")
    (path,) = shop.files
    damage(path)
    assert shop.fetch().fetched == 1 and shop.files == [path] and path.stat().st_size > 0


def test_a_folder_of_another_size_or_format_is_refused(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", size=64)
    for other in ({"size": 65}, {"size": 64, "format": "png"}):
        with pytest.raises(ConfigError, match="--size 64 --format webp"):
            shop.fetch(**other)
    assert shop.fetch(size=64).with_picture == 1


def test_a_damaged_journal_is_named(shop):
    shop.out.mkdir()
    (shop.out / JOURNAL).write_bytes(b"not a database at all" * 100)
    with pytest.raises(DataError, match=JOURNAL):
        shop.fetch("a.jpg")


def test_the_table_itself_is_not_overwritten(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg")
    shop.items = shop.out / "items.parquet"
    with pytest.raises(ConfigError, match="overwritten"):
        shop.fetch()


def test_a_second_run_at_once_is_refused_with_the_first_ones_process(shop):
    shop.out.mkdir()
    with only_run(shop.out), pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        shop.fetch("a.jpg")
    assert not (shop.out / "items.parquet").exists()


def test_a_lock_left_behind_is_taken_over(shop):
    shop.out.mkdir()
    (shop.out / LOCK).write_text("999999\n")
    assert shop.fetch("a.jpg").rows == 1
    assert (shop.out / LOCK).read_text() == ""


def test_a_full_disk_is_reported(shop, server, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    server.pages["/a.jpg"] = GOOD
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DataError, match="No space left on device"):
            shop.fetch("a.jpg")
    assert shop.files == [] and not (shop.out / "items.parquet").exists()
    assert shop.fetch().with_picture == 1


@pytest.mark.parametrize(
    ("number", "ignored"),
    [
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
        (signal.SIGKILL, False),
    ],
)
def test_a_killed_run_can_be_resumed(shop, server, number, ignored):
    stuck = threading.Event()

    async def hangs(writer):
        stuck.set()
        await asyncio.sleep(60)

    server.pages |= {f"/{n}.jpg": answer(picture(size=(40, 20 + n))) for n in range(6)}
    server.pages["/last.jpg"] = hangs
    host = f"http://127.0.0.1:{server.port}"
    names = [*(f"{n}.jpg" for n in range(6)), "last.jpg"]
    shop.write([{"item_id": name, "image_url": f"{host}/{name}"} for name in names])
    command = [
        "-m",
        "tpad",
        "images",
        "--items",
        str(shop.items),
        "--out",
        str(shop.out),
        "--allow-private",
        "--ports",
        str(server.port),
        "--concurrency",
        "1",
    ]
    # Whoever runs the tests in a shell's background hands its children a SIGINT that is ignored.
    heard = signal.SIG_IGN if ignored else signal.SIG_DFL
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, heard),
    )
    assert stuck.wait(120)
    process.send_signal(number)
    _, told = process.communicate(timeout=240)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (
            process.returncode == 130
            and b"interrupted; run the same command again" in told
            and b"Traceback" not in told
        )
    assert len(shop.files) == 6 and not (shop.out / "items.parquet").exists()

    server.pages["/last.jpg"] = GOOD
    server.requests.clear()
    assert main(command[2:]) == 0
    assert server.paths() == ["/last.jpg"] and (shop.table["image"] != "").all()


def test_it_works_inside_a_running_event_loop(shop, server):
    server.pages["/a.jpg"] = GOOD

    async def notebook():
        return shop.fetch("a.jpg")

    assert asyncio.run(notebook()).with_picture == 1


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limits", "most"), [((9, 2), 2), ((3, 9), 3)])
def test_limits_are_kept_and_used(shop, server, limits, most):
    """An answer is held back until as many requests are open as may be."""

    async def held(writer):
        for _ in range(4000):
            if server.open_now["shop.test"] >= most or len(server.requests) > 8:
                break
            await asyncio.sleep(0.005)
        writer.write(GOOD)

    server.pages |= {f"/{n}.jpg": held for n in range(12)}
    concurrency, per_host = limits
    pages = [f"{n}.jpg" for n in range(12)]
    assert shop.fetch(*pages, concurrency=concurrency, per_host=per_host).with_picture == 12
    assert server.most_open["shop.test"] == most


def test_a_waiting_host_does_not_hold_up_others(shop, server):
    server.pages["/a.jpg"] = [answer(b"", 429, Retry_After="100"), GOOD]
    server.pages |= {f"/{n}.jpg": GOOD for n in range(5)}
    others = [f"http://other.test/{n}.jpg" for n in range(5)]
    assert shop.fetch("a.jpg", *others, concurrency=1).with_picture == 6
    assert server.paths()[-1] == "/a.jpg"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("size", 4),
        ("size", 10_000),
        ("format", "tiff"),
        ("concurrency", 0),
        ("per_host", 0),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("retries", -1),
        ("max_bytes", 0),
        ("ports", (70_000,)),
        ("host_failures", 0),
        ("seed", -1),
    ],
)
def test_invalid_settings_are_refused(setting, value):
    with pytest.raises(ConfigError, match=f"{setting} must be"):
        FetchConfig(**{setting: value})


# --- the command ---------------------------------------------------------------------------------


def test_the_command_reports_failures_and_ends_well(shop, capsys):
    shop.write(
        [
            {"item_id": "1", "image_url": "http://127.0.0.1/a.jpg"},
            {"item_id": "2", "image_url": "http://shop.test:22/a.jpg"},
        ]
    )
    assert main(["images", "--items", str(shop.items), "--out", str(shop.out)]) == 0
    told = capsys.readouterr().out
    assert "0 of 2 items have a downloaded picture" in told
    assert "1  failed: private address" in told and "1  failed: port not allowed" in told
    assert "--allow-private" in told and "failures.csv" in told


def test_the_command_refuses_with_a_sentence(shop, capsys):
    assert main(["images", "--items", "/no/such.csv", "--out", str(shop.out)]) == 2
    assert capsys.readouterr().err.startswith("error: /no/such.csv does not exist")


@pytest.mark.parametrize(
    ("text", "number"), [("20MB", 20_000_000), ("1.5 kb", 1500), ("7", 7), ("2G", 2 * 10**9)]
)
def test_sizes(text, number):
    from tpad.cli.images import _bytes

    assert _bytes(text) == number


def test_an_invalid_size(shop, capsys):
    with pytest.raises(SystemExit):
        main(["images", "--items", "x", "--out", "y", "--max-bytes", "many"])
    assert "'many' is not a size; write it as in 20MB" in capsys.readouterr().err
