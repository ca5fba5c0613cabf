"""Servers that misbehave: each download ends soon, with a picture or a reason."""

import asyncio
import struct
import zlib

import pytest
from fetching_shop import picture
from misbehaving_server import answer
from PIL import Image

GOOD = answer(picture())


def test_a_good_picture_is_kept(shop, server):
    server.pages["/a.jpg"] = GOOD
    report = shop.fetch("a.jpg")
    (path,) = shop.files
    assert list(shop.table["image"]) == [str(path.relative_to(shop.out))]
    assert report.with_picture == report.fetched == report.files == 1 and not report.failed
    with Image.open(path) as image:
        assert image.format == "WEBP" and image.mode == "RGB" and image.size == (40, 20)


def test_requests_have_a_user_agent_and_no_compression(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg")
    headers = server.requests[0].headers
    assert headers["user-agent"].startswith("tpad/") and headers["host"] == "shop.test"
    assert headers["accept-encoding"] == "identity"


async def never(writer):
    await asyncio.sleep(60)


async def drips(writer):
    writer.write(answer(length=1000))
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def never_ends(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def endless_headers(writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def garbage(writer):
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    writer.close()


async def hangs_up(writer):
    writer.close()


@pytest.mark.parametrize("handler", [never, drips])
def test_a_slow_answer_ends_at_the_time_out(shop, server, handler):
    server.pages["/a.jpg"] = handler
    shop.fetch("a.jpg", timeout=0.2, retries=1)
    failure = shop.only_failure()
    assert failure["reason"] == "timed out" and failure["attempts"] == 2
    assert failure["kind"] == "temporary"


def test_an_endless_body_is_cut_off(shop, server):
    server.pages["/a.jpg"] = never_ends
    shop.fetch("a.jpg", max_bytes=50_000)
    failure = shop.only_failure()
    assert failure["reason"] == "too large" and failure["attempts"] == 1


def test_a_long_body_is_refused_by_its_announced_length(shop, server):
    server.pages["/a.jpg"] = answer(b"x", length=10**12)
    shop.fetch("a.jpg")
    assert shop.only_failure()["reason"] == "too large"


@pytest.mark.parametrize("handler", [endless_headers, garbage, hangs_up])
def test_invalid_http(shop, server, handler):
    server.pages["/a.jpg"] = handler
    shop.fetch("a.jpg", retries=1)
    failure = shop.only_failure()
    assert failure["reason"] in ("broken response", "no connection")
    assert failure["attempts"] == 2


def test_a_body_shorter_than_announced_is_fetched_again(shop, server):
    whole = picture()
    server.pages["/a.jpg"] = [answer(whole[:200], length=len(whole)), GOOD]
    server.closing.add("/a.jpg")
    assert shop.fetch("a.jpg").with_picture == 1
    assert server.paths() == ["/a.jpg"] * 2


def test_a_body_that_is_always_too_short(shop, server):
    whole = picture()
    server.pages["/a.jpg"] = answer(whole[:200], length=len(whole))
    server.closing.add("/a.jpg")
    shop.fetch("a.jpg", retries=2)
    failure = shop.only_failure()
    assert failure["reason"] == "broken response" and failure["attempts"] == 3


def bomb() -> bytes:
    """A PNG of some hundred bytes that claims 900 million pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Sorry</title>",
        b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>',
        picture(size=(400, 400))[:500],
        picture(size=(2, 2)),
        bomb(),
    ],
    ids=["empty", "page", "svg", "truncated", "tiny", "bomb"],
)
def test_a_body_that_is_not_a_picture(shop, server, body):
    server.pages["/a.jpg"] = answer(body, Content_Type="text/html; charset=utf-8")
    shop.fetch("a.jpg")
    failure = shop.only_failure()
    assert failure["reason"] == "not a usable picture" and failure["attempts"] == 1
    assert failure["status"] == 200 and failure["detail"].endswith("declares it as text/html.")


def test_the_content_decides_and_not_the_declared_type(shop, server):
    server.pages["/a.jpg"] = answer(picture(fmt="PNG"), Content_Type="text/html")
    assert shop.fetch("a.jpg").with_picture == 1


def test_a_compressed_body_is_refused_as_it_may_be_a_bomb(shop, server):
    server.pages["/a.jpg"] = answer(zlib.compress(picture()), Content_Encoding="deflate")
    shop.fetch("a.jpg")
    assert shop.only_failure()["reason"] == "compressed response"


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410, 451])
def test_a_permanent_status_is_not_retried(shop, server, status):
    server.pages["/a.jpg"] = answer(b"", status)
    shop.fetch("a.jpg")
    failure = shop.only_failure()
    assert failure["reason"] == f"HTTP {status}" and failure["status"] == status
    assert failure["attempts"] == 1 and failure["kind"] == "permanent"
    assert server.paths() == ["/a.jpg"] and shop.clock.slept == []


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_a_temporary_status_is_retried(shop, server, status):
    server.pages["/a.jpg"] = [answer(b"", status), answer(b"", status), GOOD]
    assert shop.fetch("a.jpg").with_picture == 1
    assert len(server.requests) == 3


def test_pauses_double_and_have_a_seeded_random_part(shop, server):
    server.pages["/a.jpg"] = answer(b"", 500)
    shop.fetch("a.jpg", retries=4, seed=3)
    first, shop.clock.slept = shop.clock.slept, []
    assert len(first) == 4 and shop.only_failure()["attempts"] == 5
    for number, pause in enumerate(first):
        assert 0.5 * 2**number <= pause <= 1.5 * 2**number
    shop.fetch(retries=4, seed=3)
    assert shop.clock.slept == pytest.approx(first)
    shop.clock.slept = []
    shop.fetch(retries=4, seed=4)
    assert shop.clock.slept != pytest.approx(first)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("99999999", 120),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),  # 30 s after the wall clock
        ("Tue, 14 Nov 2033 22:13:50 GMT", 120),
    ],
)
def test_retry_after_is_honoured_for_the_whole_host(shop, server, retry_after, seconds):
    times = []

    async def limited(writer):
        writer.write(GOOD if times else answer(b"", 429, Retry_After=retry_after))
        times.append(shop.clock.now - 1000)

    server.pages |= {"/a.jpg": limited, "/b.jpg": limited}
    assert shop.fetch("a.jpg", "b.jpg", concurrency=1).with_picture == 2
    assert times == [0, *[pytest.approx(seconds, abs=1.6)] * 2]


@pytest.mark.parametrize("retry_after", ["soon", "-3", "Tue, 99 Nov 2023", "²"])
def test_an_invalid_retry_after_is_ignored(shop, server, retry_after):
    server.pages["/a.jpg"] = [answer(b"", 503, Retry_After=retry_after), GOOD]
    assert shop.fetch("a.jpg").with_picture == 1
    assert sum(shop.clock.slept) <= 1.6


def test_a_redirect_is_followed(shop, server):
    server.pages["/a.jpg"] = answer(b"", 302, Location="/b.jpg")
    server.pages["/b.jpg"] = answer(b"", 301, Location="//cdn.test/c.jpg")
    server.pages["/c.jpg"] = GOOD
    assert shop.fetch("a.jpg").with_picture == 1
    assert [r.headers["host"] for r in server.requests] == ["shop.test", "shop.test", "cdn.test"]


def test_a_redirect_loop_ends(shop, server):
    server.pages["/a.jpg"] = answer(b"", 302, Location="/b.jpg")
    server.pages["/b.jpg"] = answer(b"", 302, Location="/a.jpg")
    shop.fetch("a.jpg")
    failure = shop.only_failure()
    assert failure["reason"] == "too many redirects" and failure["attempts"] == 1
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://shop.test/a.jpg", "invalid address"),
        ("file:///etc/passwd", "invalid address"),
        ("http://me:secret@shop.test/", "invalid address"),
        ("http://shop.test:22/", "port not allowed"),
        ("http://[::bad/", "invalid redirect"),
        ("", "HTTP 302"),
    ],
)
def test_a_redirect_to_a_refused_address(shop, server, location, reason):
    server.pages["/a.jpg"] = answer(b"", 302, Location=location)
    shop.fetch("a.jpg")
    assert shop.only_failure()["reason"] == reason
    assert len(server.requests) == 1


def test_cookies_are_not_sent_back(shop, server):
    server.pages["/a.jpg"] = [answer(b"", 503, Set_Cookie="who=you; Path=/"), GOOD]
    shop.fetch("a.jpg")
    assert len(server.requests) == 2 and all("cookie" not in r.headers for r in server.requests)


def test_a_host_that_keeps_failing_is_skipped(shop, server):
    pages = [f"{n}.jpg" for n in range(50)]
    server.pages = {f"/{page}": answer(b"", 500) for page in pages}
    server.pages["/good.jpg"] = GOOD
    report = shop.fetch(*pages, "http://other.test/good.jpg", host_failures=6, retries=1)
    assert report.with_picture == 1
    assert report.failed["host skipped"] + report.failed["HTTP 500"] == 50
    assert report.failed["host skipped"] >= 40
    assert sum(r.headers["host"] == "shop.test" for r in server.requests) <= 6 + 3  # some were out


def test_a_host_that_responds_now_and_then_is_not_skipped(shop, server):
    pages = [f"{n}.jpg" for n in range(12)]
    server.pages = {f"/{page}": [answer(b"", 500), GOOD] for page in pages}
    assert shop.fetch(*pages, host_failures=13, per_host=1).with_picture == 12


def test_a_missing_page_is_not_a_failure_of_the_host(shop, server):
    server.pages["/good.jpg"] = GOOD
    report = shop.fetch(*(f"{n}.jpg" for n in range(9)), "good.jpg", host_failures=3)
    assert report.failed == {"HTTP 404": 9} and report.with_picture == 1


def test_any_response_resets_the_failures_of_a_host(shop, server):
    for n in range(5):
        server.pages[f"/bad{n}.jpg"] = answer(b"", 500)
    pages = [f"{kind}{n}.jpg" for n in range(5) for kind in ("bad", "gone")]
    report = shop.fetch(*pages, host_failures=2, retries=0, concurrency=1)
    assert report.failed == {"HTTP 500": 5, "HTTP 404": 5}
