"""Pictures: uploads, hostile ones too, and how the shop's own are served."""

import io
import random
import shutil
import struct
import zlib

import numpy as np
import pytest
from fake_bundle import FakeEncoder, picture, with_arrival
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.recommend.recommendations import recommendations_html
from app.shell import actions
from app.shell.pictures import UPLOAD_SIDE, encode, picture_routes, reencode
from app.shell.session import VisitorSession
from app.ui import MAX_UPLOAD, open_shop
from tpad.bundle import Bundle
from tpad.data.images import load_image
from tpad.errors import DataError, ImageError
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def folder(fake_bundle, tmp_path_factory):
    return with_arrival(fake_bundle, tmp_path_factory.mktemp("pictures") / "bundle")


@pytest.fixture(scope="module")
def shop(folder):
    return open_shop(Recommender(Bundle.load(folder, encoder=FakeEncoder())))


def test_an_upload_becomes_an_element_that_is_ranked_from(shop, tmp_path):
    Image.new("RGB", (1200, 600), "teal").save(tmp_path / "big.png")
    element = actions.uploaded(shop, str(tmp_path / "big.png"), "  my \n thing ", " 3,5 ")
    assert element.price == 3.5
    assert element.title == "my thing"
    assert element.picture.startswith("data:image/webp;base64,")
    assert element.content.image.size == (UPLOAD_SIDE, UPLOAD_SIDE // 2)
    session = VisitorSession().add(shop.catalogue.element("item-0001")).add(element)
    assert "Rank 1:" in recommendations_html(shop, session, "tpad", 5, True)


def test_an_upload_is_encoded_once_for_all_models(folder, tmp_path):
    encoder = FakeEncoder()
    shop = open_shop(Recommender(Bundle.load(folder, encoder=encoder)))
    picture("blue", 3).save(tmp_path / "a.png")
    element = actions.uploaded(shop, str(tmp_path / "a.png"), "", "")
    assert element.price is None
    calls = len(encoder.calls)
    for model in shop.models:
        recommendations_html(shop, VisitorSession().add(element), model, 5, True)
    assert calls == len(encoder.calls) == 1


@pytest.mark.parametrize(
    ("path", "title", "price", "says"),
    [
        (None, " ", "", "picture or write"),
        (None, "x", "-1", "price"),
        (None, "x", "1.000,5", "price"),
        (None, "x", "nan", "price"),
    ],
)
def test_uploads_that_say_nothing_are_refused(shop, path, title, price, says):
    with pytest.raises(DataError, match=says):
        actions.uploaded(shop, path, title, price)


def whole_png(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 80).save(out, "PNG")
    return out.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A small PNG file whose header names a huge picture: a decompression bomb."""
    data = bytearray(whole_png())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def huge_jpeg(width: int, height: int) -> bytes:
    """A small JPEG file whose header names another size."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<svg onload=alert(1)>", "not a picture"),
        (b"<html><script>alert(1)</script></html>", "not a picture"),
        (b"", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run", "not a picture"),
        (whole_png()[:2000], "damaged or cut off"),
        (whole_png(4), "each side needs"),
        (claiming(60_000, 60_000), "pixels"),
        (claiming(12_000, 12_000), "pixels"),
        (huge_jpeg(60_000, 60_000), "pixels"),
    ],
    ids=["svg", "html", "empty", "postscript", "cut off", "tiny", "bomb", "large", "jpeg"],
)
def test_a_hostile_upload_gets_a_sentence(shop, tmp_path, data, says):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(ImageError, match=says) as caught:
        actions.uploaded(shop, str(tmp_path / "bad.png"), "", "")
    assert str(tmp_path) not in str(
        caught.value
    )  # where it lies on the server is nobody's business


def test_a_photograph_of_a_phone_is_shrunk_while_it_is_read(monkeypatch, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the phone was held upright
    Image.new("RGB", (8064, 6048), "teal").save(tmp_path / "phone.jpg", exif=exif)
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda self: decoded.append(self.size) or load(self))
    image = load_image(tmp_path / "phone.jpg", shrink_to=UPLOAD_SIDE)
    assert image.size == (UPLOAD_SIDE * 3 // 4, UPLOAD_SIDE)
    assert max(width * height for width, height in decoded) < 4_000_000  # of 48,771,072
    assert image.getpixel((10, 10))[0] < 10 < image.getpixel((10, 10))[1]
    assert int(MAX_UPLOAD.removesuffix("mb")) >= 16


@pytest.mark.parametrize(
    ("fmt", "mode", "options"),
    [
        ("PNG", "RGBA", {"compress_level": 1}),
        ("PNG", "P", {"compress_level": 1}),
        ("WEBP", "RGB", {"method": 0}),
        ("AVIF", "RGB", {"speed": 10}),
    ],
)
def test_a_large_picture_of_any_format_is_shrunk(tmp_path, fmt, mode, options):
    exif = Image.Exif()
    exif[0x0112] = 6
    size = (8064, 6048)
    if mode == "RGBA":  # the left half is transparent
        image = Image.new(mode, size, (0, 128, 128, 0))
        image.paste((0, 128, 128, 255), (4032, 0, 8064, 6048))
    else:
        image = Image.new("RGB", size, (0, 128, 128)).convert(mode)
    image.save(tmp_path / "large", fmt, exif=exif, **options)
    image, _ = reencode(str(tmp_path / "large"))
    assert image.size == (UPLOAD_SIDE * 3 // 4, UPLOAD_SIDE)
    top, bottom = image.getpixel((100, 100)), image.getpixel((100, 400))
    assert max(map(abs, np.subtract(bottom, (0, 128, 128)))) < 8
    assert top == ((255, 255, 255) if mode == "RGBA" else bottom)


def test_nothing_of_an_uploaded_file_survives_but_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg", exif=exif)
    image, url = reencode(str(tmp_path / "a.jpg"))
    assert not image.info
    assert b"where I live" not in encode(image, 64)
    assert len(url) < 20_000


def test_pictures_are_served_to_keep_and_only_by_number(shop):
    client = TestClient(Starlette(routes=picture_routes(shop.catalogue)))
    answer = client.get("/pictures/item/3?v=x")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
    assert client.get("/pictures/arrival/0").status_code == 200
    for wrong in ("item/60", "item/-1", "item/..%2f..%2fbundle.json", "arrival/1", "item/x"):
        assert client.get(f"/pictures/{wrong}").status_code == 404


def test_large_pictures_are_scaled_down(fake_bundle, tmp_path):
    made = tmp_path / "bundle"
    shutil.copytree(fake_bundle, made)
    catalogue = open_shop(Recommender(Bundle.load(made, encoder=FakeEncoder()))).catalogue
    noise = random.Random(0).randbytes(800 * 600 * 3)
    Image.frombytes("RGB", (800, 600), noise).save(made / "images" / "item-0002.webp", quality=95)
    answer = TestClient(Starlette(routes=picture_routes(catalogue))).get("/pictures/item/2")
    assert Image.open(io.BytesIO(answer.content)).size == (384, 288)
