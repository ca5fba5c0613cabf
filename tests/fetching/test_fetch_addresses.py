"""Which machines are contacted: names are resolved once, and all their addresses are checked."""

import asyncio

import httpcore
import pytest
from fetching_shop import picture
from misbehaving_server import PUBLIC, answer

from tpad.fetching import FetchConfig
from tpad.fetching.addresses import GuardedBackend, check_url, is_allowed
from tpad.fetching.downloading import Downloader
from tpad.fetching.results import FetchError

PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:93.184.215.14",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::5db8:d70e",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OPEN = [PUBLIC, "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_the_flag(address):
    assert not is_allowed(address) and is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_special_addresses_stay_closed(address):
    assert not is_allowed(address) and not is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", OPEN)
def test_public_addresses(address):
    assert is_allowed(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://shop.test/a.jpg", "invalid address"),
        ("file:///etc/passwd", "invalid address"),
        ("data:image/png;base64,AAAA", "invalid address"),
        ("shop.test/a.jpg", "invalid address"),
        ("//shop.test/a.jpg", "invalid address"),
        ("http://", "invalid address"),
        ("http:///a.jpg", "invalid address"),
        ("http://shop.test:99999/", "port not allowed"),
        ("http://shop.test:0/", "port not allowed"),
        ("http://[::1/", "invalid address"),
        ("http://me@shop.test/", "invalid address"),
        ("http://me:secret@shop.test/", "invalid address"),
        ("http://a\r\nX: y/", "invalid address"),
        ("http://shop.test:22/", "port not allowed"),
        ("https://shop.test:8443/", "port not allowed"),
    ],
)
def test_addresses_that_are_refused(url, reason):
    with pytest.raises(FetchError) as refused:
        check_url(url)
    assert refused.value.reason == reason and "secret" not in refused.value.detail


def test_addresses_that_are_good():
    for url in (
        "http://shop.test",
        "https://shop.test:443/a b.jpg?x=1#y",
        "http://bücher.test:80/",
    ):
        check_url(url)
    check_url("http://shop.test:8080/", ports=(8080,))


def test_a_name_of_a_private_address_is_refused(shop, server):
    shop.network.names["evil.test"] = ["127.0.0.1"]
    report = shop.fetch("http://evil.test/a.jpg")
    failure = shop.only_failure()
    assert failure["reason"] == "private address" and "127.0.0.1" in failure["detail"]
    assert failure["kind"] == "refused" and report.kinds == {"refused": 1}
    assert shop.network.connected == [] and server.requests == []


def test_one_private_address_among_public_ones_is_enough(shop):
    shop.network.names["evil.test"] = [PUBLIC, "10.0.0.5"]
    shop.fetch("http://evil.test/a.jpg")
    assert shop.only_failure()["reason"] == "private address" and shop.network.connected == []


def test_a_redirect_to_a_private_address_is_refused(shop, server):
    shop.network.names["metadata.test"] = ["169.254.169.254"]
    for target in ("http://127.0.0.1/x", "http://metadata.test/x", "http://[::1]/x"):
        shop.network.names |= {"127.0.0.1": ["127.0.0.1"], "::1": ["::1"]}
        server.pages["/a.jpg"] = answer(b"", 302, Location=target)
        shop.fetch("a.jpg")
        assert shop.only_failure()["reason"] == "private address"
    assert server.paths() == ["/a.jpg"] * 3


def test_the_flag_allows_private_addresses_and_the_next_run_tries_again(shop, server):
    shop.network.names["mine.test"] = ["192.168.1.7"]
    server.pages["/a.jpg"] = answer(picture())
    shop.fetch("http://mine.test/a.jpg")
    assert shop.only_failure()["reason"] == "private address"
    assert shop.fetch(allow_private=True).with_picture == 1


def test_the_connection_goes_to_the_address_that_was_checked(shop, server):
    """A name that leads home the second time it is asked gains nothing: it is not asked again."""
    answers = [[PUBLIC], ["127.0.0.1"]]

    async def rebinding(host, port):
        shop.network.asked.append(host)
        return answers.pop(0)

    shop.network.resolve = rebinding
    server.pages["/a.jpg"] = answer(picture())
    assert shop.fetch("a.jpg").with_picture == 1
    assert shop.network.asked == ["shop.test"] and shop.network.connected == [(PUBLIC, 80)]


def test_the_system_reads_odd_spellings_of_loopback_as_what_they_are():
    """The real resolver: numbers need no network."""
    for host in ("2130706433", "0x7f.1", "127.1", "127.0.0.1", "::1"):
        with pytest.raises(FetchError) as refused:
            asyncio.run(GuardedBackend().connect_tcp(host, 80, 5))
        assert refused.value.reason in ("private address", "name not found")


@pytest.mark.parametrize(
    ("url", "tls", "host"),
    [
        ("https://shop.test/a.jpg", "shop.test", b"shop.test"),
        ("http://[2606:4700::1]/a.jpg", None, b"[2606:4700::1]"),
    ],
)
def test_tls_and_host_header_see_the_name(url, tls, host):
    seen = {"tls": None, "sent": b""}

    class Stream(httpcore.AsyncMockStream):
        async def start_tls(self, ssl_context, server_hostname=None, timeout=None):
            seen["tls"] = server_hostname
            return self

        async def write(self, buffer, timeout=None):
            seen["sent"] += buffer

    class Backend(httpcore.AsyncNetworkBackend):
        async def connect_tcp(self, host, port, *_):
            seen["connected"] = host
            return Stream([answer(b"body")])

    async def resolve(host, port):
        return ["2606:4700::1"]

    async def ask():
        async with Downloader(FetchConfig(), resolve, Backend()) as downloader:
            return await downloader.get(url)

    assert asyncio.run(ask()).data == b"body"
    assert seen["connected"] == "2606:4700::1" and seen["tls"] == tls
    assert b"Host: " + host + b"\r\n" in seen["sent"]


def test_the_next_address_is_tried(shop, server):
    dead = "198.41.0.4"
    shop.network.unreachable = dead
    shop.network.names["shop.test"] = [dead, PUBLIC]
    server.pages["/a.jpg"] = answer(picture())
    assert shop.fetch("a.jpg").with_picture == 1
    assert shop.network.connected == [(dead, 80), (PUBLIC, 80)]


def test_a_host_that_cannot_be_connected_to(shop):
    shop.network.unreachable = PUBLIC
    shop.fetch("a.jpg", retries=1)
    failure = shop.only_failure()
    assert failure["reason"] == "no connection" and failure["attempts"] == 2


def test_an_unknown_name(shop):
    shop.network.names["gone.test"] = []
    shop.fetch("http://gone.test/a.jpg", retries=2)
    failure = shop.only_failure()
    assert failure["reason"] == "name not found" and failure["attempts"] == 3
