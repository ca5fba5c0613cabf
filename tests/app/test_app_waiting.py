"""One visitor's slow request holds up nobody else's."""

import base64
import io
import threading

import pytest
from app_server import launched
from fake_bundle import FakeEncoder, picture
from gradio_client import Client

from app.shell import pictures
from app.ui import build_app
from tpad.bundle import Bundle
from tpad.recommender import Recommender

LONG = 60  # seconds until an answer that never comes is given up
PAIR = ["item-0001", "item-0003"]


@pytest.fixture(scope="module")
def client(fake_bundle):
    page = build_app(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))
    url = launched(page)
    yield Client(url, verbose=False)
    page.close()


def test_calls_are_answered_while_the_pictures_of_others_are_read(client, monkeypatch):
    reading, go = threading.Semaphore(0), threading.Event()
    real = pictures.load_image

    def slow(source, **options):
        reading.release()
        assert go.wait(LONG)
        return real(source, **options)

    monkeypatch.setattr(pictures, "load_image", slow)
    out = io.BytesIO()
    picture("red", 5, 64).save(out, "PNG")
    sent = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    calls = pictures.DECODED + 2  # some wait for their turn to be read
    jobs = [client.submit([sent], api_name="/recommend") for _ in range(calls)]
    for _ in range(pictures.DECODED):
        assert reading.acquire(timeout=LONG)
    try:
        found = client.submit(PAIR, "vision", 5, api_name="/recommend").result(timeout=LONG)
        assert len(found) == 5 and not any(job.done() for job in jobs)
        assert not reading.acquire(blocking=False)  # no more at once than are allowed
    finally:
        go.set()
    assert all(len(job.result(timeout=LONG)) == 20 for job in jobs)


def test_what_reads_pictures_is_in_no_queue_that_clicks_wait_in(fake_bundle):
    page = build_app(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))
    queues = {function.name: function.concurrency_id for function in page.fns.values()}
    assert queues["clicked"] == "session"
    readers = {"prepare", "from_file"}
    assert {name: queues[name] for name in readers} == dict.fromkeys(readers, "encode")
