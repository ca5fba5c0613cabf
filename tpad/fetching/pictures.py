"""Keeps pictures: checked, re-encoded, and equal ones once, under the digest of the file."""

import hashlib
import io
import threading
from pathlib import Path

from PIL import Image

from tpad.data.images import load_image
from tpad.fetching.config import FORMATS
from tpad.io.files import replacing

_OPTIONS = {"WEBP": {"quality": 86, "method": 2}, "JPEG": {"quality": 90}, "PNG": {}}


def reencode(data: bytes, size: int, form: str) -> bytes:
    """A fresh RGB file of a picture: nothing is kept of the old one but what it shows.

    Args:
        data: a file's bytes, by anybody.
        size: longest side in pixels; smaller pictures keep their size.
        form: webp, jpg or png.

    Raises:
        ImageError: it is not a picture that can be used.
    """
    image = load_image(data)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, FORMATS[form], **_OPTIONS[FORMATS[form]])
    return out.getvalue()


class PictureStore:
    """The folder `images/`; may be used by several threads.

    Args:
        folder: that holds `images/`.
        size: longest side of a picture in pixels.
        form: webp, jpg or png.
    """

    def __init__(self, folder: Path, size: int, form: str) -> None:
        self._folder, self._size, self._form = folder, size, form
        self._writing = threading.Lock()

    def put(self, data: bytes) -> str:
        """Check and keep a picture.

        Returns:
            Its path `images/<first two digits>/<sha256 of the file>.<format>`, relative to the
            folder.

        Raises:
            ImageError: it is not a picture that can be used.
            OSError: it cannot be written.
        """
        data = reencode(data, self._size, self._form)
        digest = hashlib.sha256(data).hexdigest()
        relative = f"images/{digest[:2]}/{digest}.{self._form}"
        with self._writing:  # equal pictures may come at the same moment
            if not self.holds(relative):
                with replacing(self._folder / relative) as part:
                    part.write_bytes(data)
        return relative

    def holds(self, relative: str) -> bool:
        """Whether the file is there and not empty."""
        try:
            return (self._folder / relative).stat().st_size > 0
        except OSError:
            return False
