"""Files that would keep a decoder busy are refused before anything of them is decoded."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tpad.data.images import load_image
from tpad.errors import ImageError

ROOT = Path(__file__).parents[2]
EIGHT_MB = 8_000_000  # as much as a visitor may send


def encoded(fmt: str, size=(64, 64), mode="L", **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 128).save(buffer, fmt, **options)
    return buffer.getvalue()


def many_scans(scans: int, size=(64, 64)) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encoded("JPEG", size, progressive=True)
    end = data.rindex(b"\xff\xd9")
    tables = data.rindex(b"\xff\xc4")
    assert data.index(b"\xff\xda") < tables < data.rindex(b"\xff\xda")
    there = data.count(b"\xff\xda")
    return data[:end] + data[tables:end] * (scans - there) + b"\xff\xd9"


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks after its header."""
    data = encoded("PNG")
    extra = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:33] + extra + data[33:]


def repeating_exif(entries: int, size: int) -> bytes:
    """EXIF data whose entries all name the same bytes."""
    listed = b"".join(struct.pack(">HHII", tag, 1, size, 8) for tag in range(entries))
    body = b"MM\0*" + struct.pack(">IH", 8, entries) + listed + b"\0\0\0\0"
    return body + b"\0" * max(0, size + 8 - len(body))


def gif(before_the_frame: bytes) -> bytes:
    data = encoded("GIF", mode="P")
    start = data.index(b",", 13 + (3 << (data[10] & 7) + 1))  # behind the colours
    return data[:start] + before_the_frame + data[start:]


def webp_chunks(n: int) -> bytes:
    data = encoded("WEBP", mode="RGB") + b"junk\0\0\0\0" * n
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def jpeg_segments(n: int, kind: bytes = b"\xfe", body: bytes = b"") -> bytes:
    data = encoded("JPEG")
    segment = b"\xff" + kind + struct.pack(">H", len(body) + 2) + body
    return data[:2] + segment * n + data[2:]


def avif(items: int, more: bytes = b"") -> bytes:
    """An AVIF with further items, which have no content; `more` is added at its end."""
    data = encoded("AVIF", mode="RGB")
    listed = data.index(b"iinf") - 4
    length = int.from_bytes(data[listed : listed + 4], "big")
    count = int.from_bytes(data[listed + 12 : listed + 14], "big")
    new = b"".join(
        box(b"infe", b"\3\0\0\0" + struct.pack(">IH4s", 1000 + n, 0, b"mime") + b"\0a\0")
        for n in range(items)
    )
    old = data[listed + 14 : listed + length]
    table = box(b"iinf", b"\1\0\0\0" + struct.pack(">I", count + items) + old + new)
    start, grown = data.index(b"meta") - 4, len(table) - length
    end = start + int.from_bytes(data[start : start + 4], "big")
    meta = data[start + 8 : listed] + table + data[listed + length : end]
    pixels = struct.pack(">I", data.index(b"mdat") + 4)  # where the table of locations says
    moved = struct.pack(">I", data.index(b"mdat") + 4 + grown)
    return data[:start] + box(b"meta", meta.replace(pixels, moved)) + data[end:] + more


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def nested(kinds: bytes, body: bytes) -> bytes:
    for kind in reversed(kinds.split()):
        body = box(kind, body)
    return body


def bmp_rle() -> bytes:
    data = bytearray(encoded("BMP", mode="P"))
    data[30:34] = b"\1\0\0\0"
    return bytes(data)


HOSTILE = {
    "JPEG scans": lambda: many_scans(3_000),
    "JPEG scans of many pixels": lambda: many_scans(90, (5_000, 5_000)),
    "JPEG segments": lambda: jpeg_segments(EIGHT_MB // 4),
    "JPEG EXIF in pieces": lambda: jpeg_segments(4_000, b"\xe1", b"Exif\0\0" + b"\0" * 500),
    "JPEG EXIF": lambda: encoded("JPEG", exif=b"Exif\0\0" + repeating_exif(4_000, 60_000)),
    "PNG chunks": lambda: png(*[(b"tEXt", b"a\0b")] * 300_000),
    "PNG EXIF": lambda: png((b"eXIf", repeating_exif(60_000, 4_000_000))),
    "PNG pixels in crumbs": lambda: png(*[(b"IDAT", b"")] * 300_000),
    "WebP chunks": lambda: webp_chunks(EIGHT_MB // 8),
    "WebP EXIF": lambda: encoded("WEBP", mode="RGB", exif=repeating_exif(60_000, 4_000_000)),
    "GIF comments": lambda: gif(b"!\xfe\1a\0" * (EIGHT_MB // 5)),
    "GIF comment": lambda: gif(b"!\xfe" + b"\1a" * (EIGHT_MB // 2) + b"\0"),
    "GIF between blocks": lambda: gif(b"\1" * EIGHT_MB),
    "AVIF items": lambda: avif(EIGHT_MB // 25),
    "AVIF film": lambda: avif(
        0, nested(b"moov trak mdia minf stbl", box(b"stsc", b"\0" * 2_000_000) * 2)
    ),
    "AVIF boxes": lambda: avif(0, box(b"free", b"") * (EIGHT_MB // 8)),
    "BMP run lengths": bmp_rle,
}


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_slow_files_are_refused_before_decoding(kind, as_file, tmp_path, monkeypatch):
    data = HOSTILE[kind]()
    source: bytes | Path = data
    if as_file:
        source = tmp_path / "slow.img"
        source.write_bytes(data)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.TiffImagePlugin.ImageFileDirectory_v2.load", pytest.fail)
    with pytest.raises(ImageError, match=r"would take too long to read \(.*plain JPEG or PNG"):
        load_image(source)


@pytest.mark.parametrize(
    "data",
    [
        many_scans(20),
        jpeg_segments(200),
        many_scans(12) + b"\xff\xda\0\2" * 5_000,  # what a phone adds after the end, as a film
        jpeg_segments(1, b"\xe2", b"\xff\xda" * 3_000),
        encoded("GIF", mode="P", comment=b"a remark"),
        encoded("PNG", (900, 900)),
        avif(0),
        avif(200),
        png(*[(b"tEXt", b"a\0b")] * 100),
        encoded("JPEG", exif=b"Exif\0\0" + repeating_exif(3, 60_000)),
    ],
)
def test_unusual_but_quick_files_are_read(data, tmp_path):
    assert load_image(data).mode == "RGB"
    (tmp_path / "a").write_bytes(data)
    assert load_image(tmp_path / "a").size == load_image(data).size


@pytest.mark.parametrize(
    ("fmt", "plugin"),
    [
        ("GIF", "GifImagePlugin.GifImageFile"),
        ("PNG", "PngImagePlugin.PngImageFile"),
        ("WEBP", "WebPImagePlugin.WebPImageFile"),
    ],
)
def test_only_the_first_frame_of_an_animation_is_decoded(fmt, plugin, monkeypatch):
    frames = [Image.new("RGB", (20, 20), (n, 0, 0)) for n in range(0, 250, 5)]
    buffer = io.BytesIO()
    frames[0].save(buffer, fmt, save_all=True, append_images=frames[1:])
    monkeypatch.setattr(f"PIL.{plugin}.seek", lambda *_: pytest.fail("another frame"))
    assert load_image(buffer.getvalue()).size == (20, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_rotated_upright(orientation):
    from PIL import ImageOps

    image = Image.effect_noise((24, 16), 60).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
    assert load_image(buffer.getvalue()).tobytes() == expected.tobytes()


def test_one_function_opens_pictures():
    callers = [
        str(path.relative_to(ROOT))
        for folder in ("tpad", "eval", "app")
        for path in (ROOT / folder).rglob("*.py")
        if "Image.open("
        in path.read_text("utf-8")
        .replace('>>> recommender.recommend(["item-0001", Image.open(', "")
        .replace('items = [ItemInput(Image.open("lamp.jpg")', "")
    ]
    assert callers == ["tpad/data/picture_files.py"]
