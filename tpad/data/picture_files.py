"""Opens picture files, and refuses those that would take very long to decode.

A small file can keep a decoder busy for minutes: a JPEG with thousands of scans, a PNG or WebP with
hundreds of thousands of chunks, an AVIF with as many items, a GIF with many comments, a BMP with
run-length codes (which Pillow decodes in Python), or EXIF data whose entries all refer to the same
bytes. So the parts of a file are counted before anything is decoded.
"""

import io
import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from tpad.errors import ImageError, shown

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
MAX_SCANS = 100  # of a JPEG; encoders write at most about 20
MAX_WORK = 1_000_000_000  # pixels times scans of a JPEG; takes a few seconds
MAX_PARTS = 5_000  # segments, blocks or chunks of a file
MAX_EXIF = 1_000_000  # bytes that EXIF entries may refer to, beyond twice the length of the data

_Data = bytes | mmap.mmap
_SMALL = 1_000  # bytes; larger chunks of pixels are not counted
_MARKER = re.compile(
    rb"\xff+[^\x00\xff\xd0-\xd7]"
)  # of a JPEG; the excluded codes occur within scans


class _TooSlow(Exception):
    """The file would take too long to decode; the message says why."""


@contextmanager
def open_picture(source: str | Path | bytes, name: str, formats: str) -> Iterator[Image.Image]:
    """Open a picture with Pillow, without decoding it.

    Args:
        source: a path, or the bytes of a file.
        name: of the picture, for messages.
        formats: the supported formats, for messages.

    Raises:
        ImageError: it does not exist, has another format, or would take too long to decode.
        Image.DecompressionBombError: it has far too many pixels.
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else _opened(Path(source), name)
    with opened:
        try:
            scans = _scans(opened)
            image = Image.open(opened, formats=FORMATS)
            if scans * image.width * image.height > MAX_WORK:
                raise _TooSlow(f"a JPEG of {scans} scans, too many for its size")
        except _TooSlow as error:
            raise ImageError(
                f"{name} would take too long to read ({error}); save it again as a plain JPEG or PNG."
            ) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise
        except Exception as error:  # a damaged header can raise nearly anything
            raise ImageError(
                f"{name} is not a picture that can be read; save it as {formats}."
            ) from error
        with image:
            yield image


def _opened(path: Path, name: str) -> BinaryIO:
    # Pipes and devices may never end; a NUL byte in the name raises ValueError.
    try:
        if not path.is_file():
            raise ImageError(f"{name} does not exist; check the path.")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{shown(name)!r} cannot be opened; check its name and permissions."
        ) from error


def _scans(opened: BinaryIO) -> int:
    """Check the parts of the file; returns the number of scans of a JPEG, else 1."""
    if isinstance(opened, io.BytesIO):
        return _checked(opened.getvalue())
    if not opened.seek(0, io.SEEK_END):
        return 1
    opened.seek(0)
    with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _checked(data)


def _checked(data: _Data) -> int:
    head = data[:12]
    if head.startswith(b"\xff\xd8"):
        return _check_jpeg(data)
    if head.startswith(b"\x89PNG"):
        _check_png(data)
    elif head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        _check_webp(data)
    elif head.startswith(b"GIF8"):
        _check_gif(data)
    elif head[4:8] == b"ftyp":
        _check_avif(data)
    elif head.startswith(b"BM") and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
        raise _TooSlow("a BMP with run-length codes")
    return 1


def _check_jpeg(data: _Data) -> int:
    """The number of scans."""
    at, parts, scans, exif = 2, 0, 0, []
    while found := _MARKER.search(data, at):
        marker, at = found[0][-1], found.end()
        if marker == 0xD9:  # end of the picture
            break
        if marker in (0x01, 0xD8):  # have no content
            continue
        parts += 1
        scans += marker == 0xDA
        if parts > MAX_PARTS or scans > MAX_SCANS:
            raise _TooSlow(f"a JPEG of too many {'segments' if parts > MAX_PARTS else 'scans'}")
        length = int.from_bytes(data[at : at + 2], "big")
        if marker == 0xE1 and data[at + 2 : at + 8] == b"Exif\0\0":
            exif.append(data[at + 8 : at + length])
        at += max(length, 2)
    if len(exif) > 50:
        raise _TooSlow("too many parts of EXIF data")
    _check_exif(b"".join(exif))  # as Pillow joins them
    return scans


def _check_png(data: _Data) -> None:
    at, parts = 8, 0
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        parts += kind != b"IDAT" or length < _SMALL
        if parts > MAX_PARTS:
            raise _TooSlow("a PNG of too many chunks")
        if kind == b"eXIf":
            _check_exif(data[at + 8 : at + 8 + length])
        at += 12 + length


def _check_webp(data: _Data) -> None:
    at, parts = 12, 0
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        parts += 1
        if parts > MAX_PARTS:
            raise _TooSlow("a WebP of too many chunks")
        if kind == b"EXIF":
            _check_exif(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2


def _check_gif(data: _Data) -> None:
    """Count the blocks before the first frame, the only one that is decoded."""
    flags = data[10] if len(data) > 10 else 0
    at, parts = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0), 0
    while at < len(data) and data[at] not in (0x2C, 0x3B):  # a frame, the end
        parts += 1
        if data[at] == 0x21:
            at += 2
            while at < len(data) and data[at] and parts <= MAX_PARTS:
                at, parts = at + data[at] + 1, parts + 1
        if parts > MAX_PARTS:
            raise _TooSlow("a GIF of too many blocks before its first frame")
        at += 1


_CONTAINERS = (b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl")
_TABLES = (b"iinf", b"iloc", b"iref", b"ipma", b"stsc", b"stco", b"co64", b"stsz", b"stts", b"stss")
_ROW = 8  # bytes; a row of these tables has at least about as many


def _check_avif(data: _Data) -> None:
    """Count boxes and rows of tables; decoders need quadratic time for items and for film chunks."""
    parts, todo = 0, [(0, len(data))]
    while todo:
        at, end = todo.pop()
        while at + 8 <= end:
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            start = at + 8
            if length == 1:  # the length follows as 8 bytes
                length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            stop = min(at + length, end) if length else end  # 0: up to the end
            parts += 1 + ((stop - start) // _ROW if kind in _TABLES else 0)
            if parts > MAX_PARTS:
                raise _TooSlow("an AVIF of too many items")
            if kind in _CONTAINERS:
                todo.append((start + (4 if kind == b"meta" else 0), stop))
            at = max(stop, start)


_EXIF_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Size of a value in bytes, by type of entry."""


def _check_exif(tiff: bytes) -> None:
    """Pillow copies the data of each entry, even if many entries refer to the same bytes."""
    order = "<" if tiff[:2] == b"II" else ">"
    with suppress(struct.error):  # damaged data; Pillow stops at the same place
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        copied = 0
        for entry in range(entries):
            kind, count = struct.unpack_from(f"{order}HI", tiff, at + 4 + 12 * entry)
            size = _EXIF_UNITS.get(kind, 0) * count
            if size > len(tiff):
                return
            copied += size
            if copied > 2 * len(tiff) + MAX_EXIF:
                raise _TooSlow("EXIF data that refers to the same bytes many times")
