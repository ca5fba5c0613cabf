"""Uploaded pictures are decoded in other processes, which end when a picture takes too long."""

import io
import os
import signal
import sys
import threading

import pytest
from fake_bundle import picture

from app.shell.decoder import Decoder
from tpad.data.images import load_image
from tpad.errors import ImageError


@pytest.fixture
def decoder():
    decoder = Decoder()
    yield decoder
    decoder.close()


def png(side: int = 64) -> bytes:
    out = io.BytesIO()
    picture("red", 5, side).save(out, "PNG")
    return out.getvalue()


def test_pictures_are_decoded_as_in_this_process(decoder, tmp_path):
    data = png(300)
    (tmp_path / "ä\udcff.png").write_bytes(data)
    expected = load_image(data, shrink_to=128)
    for source in (data, str(tmp_path / "ä\udcff.png")):
        image = decoder.decode(source, 128)
        assert (image.mode, image.size) == ("RGB", (128, 128))
        assert image.tobytes() == expected.tobytes()
    assert len(decoder._free) == 1  # one process served both


@pytest.mark.parametrize("source", [b"", b"<svg/>", png()[:200], "/nowhere/x.png", "a\0b.png"])
def test_what_is_no_picture_gets_the_same_sentence(decoder, source):
    with pytest.raises(ImageError) as expected:
        load_image(source, shrink_to=128)
    with pytest.raises(ImageError) as caught:
        decoder.decode(source, 128)
    assert str(caught.value) == str(expected.value)
    assert decoder.decode(png(), 32).size == (32, 32)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped there")
def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_read():
    decoder = Decoder(seconds=0.2)
    decoder.decode(png(), 32)
    worker = decoder._free[0]
    os.kill(worker._process.pid, signal.SIGSTOP)
    with pytest.raises(ImageError, match=r"takes more than 0\.2 s to read; save it again"):
        decoder.decode(png(), 32)
    assert not worker.is_alive and not decoder._free
    decoder = Decoder()
    assert decoder.decode(png(), 32).size == (32, 32)
    decoder.close()


def test_a_decoder_that_crashes_is_replaced(decoder, monkeypatch):
    decoder.decode(png(), 32)
    decoder._free[0]._process.kill()
    decoder._free[0]._process.wait()
    assert decoder.decode(png(), 32).size == (32, 32)
    worker = decoder._free[0]
    worker._process.kill()
    worker._process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(type(worker), "is_alive", True)
        with pytest.raises(ImageError, match="decoder has crashed"):
            decoder.decode(png(), 32)
    decoder._free.clear()
    assert decoder.decode(png(), 32).size == (32, 32)


def test_at_most_so_many_idle_processes_are_kept():
    decoder = Decoder(idle=1)
    workers = [decoder._take(), decoder._take()]
    for worker in workers:
        decoder._give_back(worker)
    assert [worker.is_alive for worker in workers] == [True, False]
    decoder.close()
    assert not workers[0].is_alive


def test_nothing_in_the_current_folder_is_imported(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('was run')")
    monkeypatch.chdir(tmp_path)
    decoder = Decoder()
    assert decoder.decode(png(), 32).size == (32, 32)
    decoder.close()


def test_an_alarm_that_rings_while_it_is_cancelled_ends_the_process(decoder, monkeypatch):
    class Ringing(threading.Timer):
        def cancel(self):
            super().cancel()
            self.function()

    decoder.decode(png(), 32)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Timer", Ringing)
        assert decoder.decode(png(), 32).size == (32, 32)  # the answer came just before
    assert not decoder._free and decoder.decode(png(), 32).size == (32, 32)
