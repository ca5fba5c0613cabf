"""Runs on one folder: what is kept, what is tried again, what the table says, and who waits."""

import asyncio
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from fetching_shop import picture
from misbehaving_server import answer
from PIL import Image

from tpad.__main__ import main
from tpad.errors import ConfigError, DataError
from tpad.fetching import FetchConfig
from tpad.fetching.journal import JOURNAL
from tpad.io.locking import LOCK, only_run

ROOT = Path(__file__).parents[2]
GOOD = answer(picture())


# --- pictures ------------------------------------------------------------------------------------


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010F] = "a camera that tells too much"
    return picture(size=(40, 20), exif=exif)


def animated() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("P", (40, 20), number) for number in range(3)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def cmyk() -> bytes:
    out = io.BytesIO()
    Image.new("CMYK", (40, 20), (0, 255, 255, 0)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("form", ["webp", "jpg", "png"])
@pytest.mark.parametrize(
    ("body", "size"),
    [
        (exif_rotated(), (20, 40)),
        (animated(), (40, 20)),
        (cmyk(), (40, 20)),
        (picture(fmt="PNG", size=(900, 300)), (64, 21)),
    ],
    ids=["exif", "animated", "cmyk", "large"],
)
def test_pictures_are_made_anew(shop, server, body, size, form):
    server.pages["/a"] = answer(body)
    assert shop.fetch("a", size=64, format=form).with_picture == 1
    (path,) = shop.files
    assert path.suffix == f".{form}" and b"camera" not in path.read_bytes()
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.size == size
        assert getattr(image, "n_frames", 1) == 1 and not image.getexif()
        assert not {"exif", "icc_profile", "xmp", "comment"} & set(image.info)


def test_equal_pictures_are_stored_once_under_their_digest(shop, server):
    server.pages |= {f"/{n}.png": answer(picture(fmt="PNG")) for n in range(5)}
    server.pages["/5.png"] = answer(picture("blue", fmt="PNG"))
    report = shop.fetch(*(f"{n}.png" for n in range(6)))
    assert report.with_picture == 6 and report.files == 2 == len(shop.files)
    for path in shop.files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.relative_to(shop.out) == Path("images", digest[:2], f"{digest}.webp")


# --- tables --------------------------------------------------------------------------------------


def test_the_table_stays_and_image_is_set(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.write(
        [
            {"item_id": "007", "title": "a", "image": "http://shop.test/a.jpg", "colour": "NA"},
            {"item_id": "008", "title": "b", "image": "http://shop.test/gone.jpg", "colour": ""},
            {"item_id": "009", "title": "c", "image": "", "colour": "red"},
            {"item_id": "010", "title": "d", "image": "mine/d.jpg", "colour": "red"},
            {"item_id": "011", "title": "e", "image": "http://shop.test/a.jpg", "colour": "blue"},
        ]
    )
    report = shop.fetch()
    table = shop.table
    path = str(shop.files[0].relative_to(shop.out))
    assert list(table["image"]) == [path, "", "", "mine/d.jpg", path]
    assert list(table.columns) == ["item_id", "title", "image", "colour"]
    assert list(table["item_id"]) == ["007", "008", "009", "010", "011"]
    assert list(table["colour"]) == ["NA", "", "red", "red", "blue"]
    assert (report.rows, report.with_picture, report.local, report.local_missing) == (5, 2, 1, 1)
    assert report.without_address == 1 and report.failed == {"HTTP 404": 1}
    assert server.paths().count("/a.jpg") == 1  # named twice, fetched once
    assert shop.failures.iloc[0].to_dict() == {
        "item_id": 8,
        "url": "http://shop.test/gone.jpg",
        "reason": "HTTP 404",
        "status": 404,
        "attempts": 1,
        "kind": "lasting",
        "detail": "shop.test says 404.",
    }


def test_image_url_goes_before_image_and_local_pictures_stay(shop, server):
    server.pages |= {"/a.jpg": GOOD, "/b.jpg": GOOD}
    shop.out.mkdir()
    (shop.out / "mine.jpg").write_bytes(picture())
    shop.write(
        [
            {"item_id": "1", "image": "", "image_url": "http://shop.test/a.jpg"},
            {"item_id": "2", "image": "mine.jpg", "image_url": "http://shop.test/never.jpg"},
            {"item_id": "3", "image": "http://shop.test/b.jpg", "image_url": ""},
            {"item_id": "4", "image": "C:\\pictures\\a.jpg", "image_url": ""},
        ]
    )
    report = shop.fetch()
    assert sorted(server.paths()) == ["/a.jpg", "/b.jpg"]
    image = list(shop.table["image"])
    assert image[0] == image[2] != "" and image[1] == "mine.jpg" and image[3].startswith("C:")
    assert (report.local, report.local_missing) == (2, 1)


def test_a_parquet_table_keeps_its_types(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.items = shop.items.with_suffix(".parquet")
    frame = pd.DataFrame(
        {
            "item_id": [1, 2],
            "price": [1.5, None],
            "stock": [3, 4],
            "tags": [["a"], []],
            "photo": ["http://shop.test/a.jpg", None],
        }
    )
    frame.to_parquet(shop.items)
    assert shop.fetch(column="photo").with_picture == 1
    table = shop.table
    assert table["stock"].dtype == "int64" and table["price"].isna().tolist() == [False, True]
    assert [list(tags) for tags in table["tags"]] == [["a"], []]
    assert list(table.columns) == [*frame.columns, "image"] and table["image"][1] == ""


def test_what_is_written_can_be_loaded_as_a_dataset(shop, server):
    from tpad.data.items import read_items
    from tpad.data.report import ReportBuilder

    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", "gone.jpg")
    report = ReportBuilder()
    items = read_items(shop.out / "items.parquet", report)
    assert report.build().count("missing image") == 0 and items["image"][0].startswith("images/")


@pytest.mark.parametrize("column", ["photo", None])
def test_a_table_without_the_column_is_refused(shop, column):
    shop.write([{"item_id": "1", "title": "x"}])
    with pytest.raises(DataError, match=f"no column '{column or 'image'}'"):
        shop.fetch(column=column)
    assert not shop.out.exists()


def test_the_summary_holds_counts_and_settings(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", "gone.jpg", "gone2.jpg", size=100)
    summary = json.loads((shop.out / "images.json").read_text("utf-8"))
    assert summary["failed"] == {"HTTP 404": 2} and summary["kinds"] == {"lasting": 2}
    assert summary["with_picture"] == 1 and summary["settings"]["size"] == 100


# --- going on ------------------------------------------------------------------------------------


def test_a_second_run_fetches_nothing_that_is_settled(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", "gone.jpg")
    server.requests.clear()
    report = shop.fetch("a.jpg", "gone.jpg", "http://shop.test/a.jpg?new")
    assert server.paths() == ["/a.jpg?new"]
    assert report.with_picture == 1 and report.fetched == 0 and report.known == 2
    assert list(shop.table["image"] != "") == [True, False, False]


def test_what_may_pass_is_tried_by_the_next_run(shop, server):
    server.pages["/a.jpg"] = answer(b"", 503)
    shop.fetch("a.jpg", retries=0)
    server.pages["/a.jpg"] = GOOD
    assert shop.fetch(retries=0).with_picture == 1
    assert len(shop.failures) == 0


def test_retry_failed_also_tries_what_lasts(shop, server):
    shop.fetch("a.jpg")
    server.pages["/a.jpg"] = GOOD
    assert shop.fetch().with_picture == 0
    assert shop.fetch(retry_failed=True).with_picture == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_picture_that_was_lost_is_fetched_again(shop, server, damage):
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


def test_a_disk_that_takes_no_more_ends_the_run_with_a_sentence(shop, server, monkeypatch):
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
def test_a_killed_run_goes_on_where_it_was(shop, server, number, ignored):
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


def test_it_works_where_a_loop_runs_already(shop, server):
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


def test_a_host_that_rests_does_not_hold_up_others(shop, server):
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
def test_settings_that_cannot_be(setting, value):
    with pytest.raises(ConfigError, match=f"{setting}|port|format"):
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
    assert "0 of 2 items have a fetched picture" in told
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


def test_a_size_that_is_none(shop, capsys):
    with pytest.raises(SystemExit):
        main(["images", "--items", "x", "--out", "y", "--max-bytes", "many"])
    assert "'many' is not a size; write it as in 20MB" in capsys.readouterr().err
