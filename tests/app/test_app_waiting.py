"""One visitor's slow requests hold up nobody else's."""

import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from app_server import launched
from fake_bundle import FakeEncoder, picture
from gradio_client import Client

from app.shell import pictures
from app.shell.turns import WAITING, BusyError, Turns
from app.ui import build_app
from tpad.bundle import Bundle
from tpad.recommender import Recommender

LONG = 60  # seconds until an answer that never comes is given up
PAIR = ["item-0001", "item-0003"]


@pytest.fixture(scope="module")
def visitor(fake_bundle):
    """Clients at different addresses."""
    page = build_app(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))
    url = launched(page)
    yield lambda host: Client(url, verbose=False, headers={"x-forwarded-for": host})
    page.close()


def data_url(color: str) -> str:
    out = io.BytesIO()
    picture(color, 5, 64).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def test_slow_pictures_of_one_visitor_hold_up_nobody(visitor, monkeypatch):
    reading, go = threading.Semaphore(0), threading.Event()
    real = pictures._decoder.decode

    def slow(source, shrink_to):
        image = real(source, shrink_to)
        if image.getpixel((32, 32)) == slow_color:
            reading.release()
            assert go.wait(LONG)
        return image

    slow_color = picture("red", 5, 64).getpixel((32, 32))
    monkeypatch.setattr(pictures._decoder, "decode", slow)
    first, second = visitor("192.0.2.1"), visitor("192.0.2.2")
    jobs = [first.submit([data_url("red")], api_name="/recommend") for _ in range(30)]
    assert reading.acquire(timeout=LONG)
    try:
        for client, session in ((first, PAIR), (second, PAIR), (second, [data_url("blue")])):
            found = client.submit(session, "vision", 5, api_name="/recommend").result(timeout=LONG)
            assert len(found) == 5
        assert not reading.acquire(blocking=False)  # one at a time
        assert not any(job.done() for job in jobs)
    finally:
        go.set()
    assert all(len(job.result(timeout=LONG)) == 20 for job in jobs)


def test_what_may_be_slow_is_in_no_queue_of_the_page(fake_bundle):
    page = build_app(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))
    limits = {function.name: function.concurrency_limit for function in page.fns.values()}
    assert limits["clicked"] == 1
    readers = ("prepare", "from_file", "recommend", "compare", "encode")
    assert {name: limits[name] for name in readers} == dict.fromkeys(readers)


def test_visitors_are_served_in_rotation():
    turns, order = Turns(at_once=1), []
    entered, go = threading.Event(), threading.Event()

    def work(name: str) -> None:
        with turns.turn(name[0]):
            order.append(name)
            if name == "a0":
                entered.set()
                assert go.wait(LONG)

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(work, "a0")]
        assert entered.wait(LONG)
        for n, name in enumerate(("a1", "a2", "a3", "b1", "b2", "c1"), 1):
            jobs.append(pool.submit(work, name))
            while sum(map(len, turns._waiting.values())) < n:  # in this order
                pass
        go.set()
        for job in jobs:
            job.result(timeout=LONG)
    assert order == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_visitor_has_one_turn_at_a_time_and_an_error_ends_it():
    turns = Turns(at_once=2)
    with pytest.raises(ValueError, match="inside"), turns.turn("a"):
        raise ValueError("inside")

    def enter(visitor: str) -> None:
        with turns.turn(visitor):
            pass

    with ThreadPoolExecutor(2) as pool:
        with turns.turn("a"):
            second = pool.submit(enter, "a")
            while "a" not in turns._waiting:
                pass
            pool.submit(enter, "b").result(timeout=LONG)
            assert not second.done()
        second.result(timeout=LONG)


def test_too_many_waiting_requests_are_refused():
    turns = Turns(at_once=1, waiting=0)
    with pytest.raises(BusyError, match="Too many of your requests"), turns.turn("a"):
        pass
    assert WAITING > 20
