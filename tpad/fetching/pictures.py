"""Stores pictures: checked, re-encoded, and named by the digest of the file, so that equal ones are
stored once."""

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
    """Encode a picture again as RGB; metadata and anything else but the pixels is dropped.

    Args:
        data: bytes of a file, from any source.
        size: longest side in pixels; smaller pictures keep their size.
        form: webp, jpg or png.

    Raises:
        ImageError: it is not a usable picture.
    """
    image = load_image(data)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, FORMATS[form], **_OPTIONS[FORMATS[form]])
    return out.getvalue()


class PictureStore:
    """The folder `images/`; safe for several threads.

    Args:
        folder: parent of `images/`.
        size: longest side of a picture in pixels.
        form: webp, jpg or png.
    """

    def __init__(self, folder: Path, size: int, form: str) -> None:
        self._folder, self._size, self._form = folder, size, form
        self._writing = threading.Lock()

    def put(self, data: bytes) -> str:
        """Check and store a picture.

        Returns:
            Its path `images/<first two digits>/<sha256 of the file>.<format>`, relative to the
            folder.

        Raises:
            ImageError: it is not a usable picture.
            OSError: it cannot be written.
        """
        data = reencode(data, self._size, self._form)
        digest = hashlib.sha256(data).hexdigest()
        relative = f"images/{digest[:2]}/{digest}.{self._form}"
        with self._writing:  # equal pictures may arrive at the same time
            if not self.holds(relative):
                with replacing(self._folder / relative) as part:
                    part.write_bytes(data)
        return relative

    def holds(self, relative: str) -> bool:
        """Whether the file exists and is not empty."""
        try:
            return (self._folder / relative).stat().st_size > 0
        except OSError:
            return False
