"""Decodes uploaded pictures in processes of their own, within a time limit.

A decoder that takes too long, or crashes, cannot be stopped within the server's process.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from PIL import Image

from app.shell.decode_worker import read, write
from tpad.environment import variable
from tpad.errors import ImageError

SECONDS = 10.0  # for one picture; a photograph of a phone takes less than one
IDLE = 2  # processes that are kept for the next picture
_ROOT = Path(__file__).resolve().parents[2]
_RETRY = "save it again as a plain JPEG or PNG"


class Decoder:
    """Decodes pictures; safe for several threads, each of which uses another process.

    Args:
        seconds: time limit for one picture.
        idle: number of processes that are kept for the next picture.
    """

    def __init__(self, seconds: float = SECONDS, idle: int = IDLE) -> None:
        self._seconds, self._idle = seconds, idle
        self._free: list[_Worker] = []
        self._guard = threading.Lock()

    def decode(self, source: str | bytes, shrink_to: int) -> Image.Image:
        """Load a picture as `tpad.data.images.load_image` does.

        Args:
            source: a path, or the bytes of a file.
            shrink_to: largest side of the result in pixels.

        Raises:
            ImageError: it is not a usable picture, or takes too long to decode.
        """
        worker = self._take()
        try:
            return worker.decode(source, shrink_to, self._seconds)
        finally:
            self._give_back(worker)

    def close(self) -> None:
        """End the processes that wait for a picture."""
        with self._guard:
            workers, self._free = self._free, []
        for worker in workers:
            worker.end()

    def _take(self) -> "_Worker":
        with self._guard:
            while self._free:
                worker = self._free.pop()
                if worker.is_alive:
                    return worker
        return _Worker()

    def _give_back(self, worker: "_Worker") -> None:
        with self._guard:
            if worker.is_alive and len(self._free) < self._idle:
                self._free.append(worker)
                return
        worker.end()


class _Worker:
    """One process."""

    def __init__(self) -> None:
        paths = [str(_ROOT), variable("PYTHONPATH")]
        self._process = subprocess.Popen(
            # -P: nothing in the folder that the server was started in is imported.
            [sys.executable, "-P", "-m", "app.shell.decode_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        read(self._stdout)  # when it is ready, so that the start does not count

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, source: str | bytes, shrink_to: int, seconds: float) -> Image.Image:
        path, data = (source, b"") if isinstance(source, str) else ("", source)
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        alarm = threading.Timer(seconds, stop)
        alarm.start()
        try:
            write(self._stdin, {"path": path, "shrink_to": shrink_to}, data)
            answer = read(self._stdout)
        except OSError:
            answer = None
        finally:
            alarm.cancel()
            alarm.join()  # it may be about to end the process
            if late.is_set():
                self.end()  # an answer may have come just before
        if answer is None:
            self.end()
            if late.is_set():
                raise ImageError(f"The picture takes more than {seconds:g} s to read; {_RETRY}.")
            raise ImageError(f"The picture cannot be read: its decoder has crashed; {_RETRY}.")
        facts, pixels = answer
        if "error" in facts:
            raise ImageError(facts["error"])
        return Image.frombytes("RGB", (facts["width"], facts["height"]), pixels)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()  # closes the pipes as well

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout
