"""Hostile pictures: each is either read right or refused with a sentence."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, features

from tpad.data.images import find_invalid_images, fit_square, load_image, resolve_image
from tpad.errors import ImageError

RED, BLUE = (220, 30, 30), (30, 30, 220)


def halves(width: int = 40, height: int = 20, left=RED, right=BLUE) -> Image.Image:
    image = Image.new("RGB", (width, height), right)
    image.paste(left, (0, 0, width // 2, height))
    return image


def encoded(image: Image.Image, fmt: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def noise(side: int = 120) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png_header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size but holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def close(pixel: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_every_allowed_format_is_read(fmt):
    if fmt == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image = load_image(encoded(halves(), fmt))
    assert image.mode == "RGB" and image.size == (40, 20)
    assert close(image.getpixel((5, 10)), RED, 25) and close(image.getpixel((35, 10)), BLUE, 25)


@pytest.mark.parametrize("fmt", ["TIFF", "PPM", "ICO", "EPS"])
def test_other_formats_are_refused(fmt):
    with pytest.raises(ImageError, match="not a picture that can be read; save it as JPEG"):
        load_image(encoded(halves(32, 32), fmt))


def test_the_content_decides_the_format(tmp_path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encoded(halves(), "PNG"))
    assert load_image(path).getpixel((5, 10)) == RED


def test_a_page_saved_as_jpg_is_refused(tmp_path):
    path = tmp_path / "page.jpg"
    path.write_bytes(b"<!doctype html><title>404</title>" * 20)
    with pytest.raises(ImageError, match=r"page\.jpg is not a picture"):
        load_image(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_stubs_are_refused(content):
    with pytest.raises(ImageError):
        load_image(content)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(fmt, share):
    data = encoded(noise(), fmt)
    with pytest.raises(ImageError, match=r"damaged|not a picture"):
        load_image(data[: int(len(data) * share)])


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]
SOUND = {fmt: encoded(halves(), fmt) for fmt in FORMATS}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_overwritten_bytes_give_a_picture_or_an_image_error(fmt, changes):
    data = bytearray(SOUND[fmt])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = load_image(bytes(data), max_pixels=10_000)
    except ImageError:
        return
    assert image.mode == "RGB" and image.width * image.height <= 10_000


@pytest.mark.parametrize("side", [7_000, 11_000, 30_000])
def test_huge_pictures_are_refused_before_decoding(side, monkeypatch):
    def fail(self):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageError, match="more than the 40 million allowed; make it smaller"):
            load_image(png_header_only(side, side))


def test_the_limit_is_a_parameter_and_exact():
    data = encoded(halves(40, 20), "PNG")
    assert load_image(data, max_pixels=800).size == (40, 20)
    with pytest.raises(ImageError, match="40×20"):
        load_image(data, max_pixels=799)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (100, 7)])
def test_tiny_pictures_are_refused(size):
    with pytest.raises(ImageError, match=f"{size[0]}×{size[1]} pixels; each side needs at least 8"):
        load_image(encoded(Image.new("RGB", size), "PNG"))


def test_exif_rotation_is_applied_once():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise to view
    image = load_image(encoded(halves(40, 20), "JPEG", exif=exif, quality=95))
    assert image.size == (20, 40)
    assert close(image.getpixel((10, 4)), RED) and close(image.getpixel((10, 36)), BLUE)
    again = load_image(image)
    assert again.size == (20, 40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_unreadable_exif_is_ignored():
    image = load_image(encoded(halves(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    assert image.size == (40, 20)


def test_metadata_is_dropped():
    exif = Image.Exif()
    exif[0x010E] = "a private remark"
    image = load_image(encoded(halves(), "JPEG", exif=exif))
    assert b"private" not in encoded(image, "JPEG")


def test_cmyk():
    image = load_image(encoded(halves().convert("CMYK"), "JPEG", quality=95))
    assert image.mode == "RGB" and close(image.getpixel((5, 10)), RED, 25)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_transparent_parts_become_white(mode):
    source = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    source.paste((0, 0, 0, 255), (0, 0, 10, 20))
    image = load_image(source.convert(mode) if mode != "P" else encoded_palette(source))
    assert close(image.getpixel((3, 10)), (0, 0, 0)) and image.getpixel((16, 10)) == (255,) * 3


def encoded_palette(source: Image.Image) -> bytes:
    palette = source.convert("RGB").quantize(2)
    indices = np.asarray(source.getchannel("A")) == 0
    palette = Image.fromarray(indices.astype(np.uint8), "L").convert("P")
    palette.putpalette([0, 0, 0, 9, 9, 9])
    return encoded(palette, "PNG", transparency=1)


def test_half_transparent_blends_with_white():
    image = load_image(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 128)), "PNG"))
    assert close(image.getpixel((5, 5)), (127, 127, 127), 2)


def test_sixteen_bit_grey_keeps_its_range():
    values = np.linspace(0, 65535, 64, dtype=np.uint16)[None, :].repeat(16, axis=0)
    image = load_image(encoded(Image.fromarray(values), "PNG"))
    grey = np.asarray(image)[0, :, 0].astype(int)
    assert grey[0] == 0 and grey[-1] == 255 and abs(grey[32] - 129) <= 2
    assert (np.diff(grey) > 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "HSV", "YCbCr", "I", "F"])
def test_other_modes_become_rgb(mode):
    grey = Image.new("L", (16, 16), 255).convert("RGB").convert(mode)
    assert load_image(grey).getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(fmt):
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE, (0, 200, 0))]
    options = {"save_all": True, "append_images": frames[1:], "duration": 50}
    if fmt == "WEBP":
        options["lossless"] = True
    image = load_image(encoded(frames[0], fmt, **options))
    assert close(image.getpixel((10, 10)), RED)


def test_an_open_picture_is_not_changed():
    source = halves().convert("RGBA")
    loaded = load_image(source)
    loaded.paste((0, 0, 0), (0, 0, 40, 20))
    assert source.mode == "RGBA" and source.getpixel((5, 10)) == (*RED, 255)
    plain = halves()
    load_image(plain).paste((0, 0, 0), (0, 0, 40, 20))
    assert plain.getpixel((5, 10)) == RED


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="does not exist"):
        load_image(tmp_path)


def test_fit_square_keeps_the_whole_picture():
    image = fit_square(halves(40, 20), 80)
    assert image.size == (80, 80)
    assert image.getpixel((40, 2)) == (255, 255, 255)
    assert close(image.getpixel((4, 40)), RED) and close(image.getpixel((76, 40)), BLUE)
    assert fit_square(image, 80) is image


@pytest.fixture
def shop(tmp_path):
    root = tmp_path / "shop"
    (root / "images").mkdir(parents=True)
    (root / "images" / "a.png").write_bytes(encoded(halves(), "PNG"))
    (tmp_path / "secret.png").write_bytes(encoded(halves(), "PNG"))
    (root / "images" / "escape.png").symlink_to(tmp_path / "secret.png")
    (root / "outside").symlink_to(tmp_path)
    (root / "images" / "inside.png").symlink_to(root / "images" / "a.png")
    return root


@pytest.mark.parametrize("name", ["images/a.png", "images/../images/a.png", "images/inside.png"])
def test_paths_inside_the_folder(shop, name):
    assert load_image(resolve_image(shop, name)).size == (40, 20)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../secret.png", "leads out of"),
        ("images/../../secret.png", "leads out of"),
        ("images/escape.png", "leads out of"),
        ("outside/secret.png", "leads out of"),
        ("/etc/hostname", "relative path"),
        ("images/a.png\0.jpg", "relative path"),
        ("https://example.org/a.png", "web address"),
        ("images", "does not exist"),
        ("images/b.png", "does not exist"),
        ("images/" + "x" * 400 + ".png", "does not exist"),
    ],
)
def test_paths_that_are_refused(shop, name, sentence):
    with pytest.raises(ImageError, match=sentence):
        resolve_image(shop, name)


@pytest.mark.parametrize("workers", [1, 3])
def test_find_invalid_images_names_only_the_invalid_ones(shop, workers):
    (shop / "images" / "cut.png").write_bytes(encoded(noise(), "PNG")[:900])
    names = ["images/a.png", "", "images/cut.png", "../secret.png", "images/a.png"]
    faults = find_invalid_images(shop, names, workers)
    assert sorted(faults) == [2, 3]
    assert "damaged" in faults[2] and "leads out" in faults[3]
    assert sorted(find_invalid_images(shop, names, workers, decode=False)) == [3]


def test_a_name_that_no_terminal_can_print_is_shown_without_it():
    with pytest.raises(ImageError) as error:
        load_image("\ud800 picture.png")
    assert str(error.value).encode().startswith(b"picture.png does not exist")
