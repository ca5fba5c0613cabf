"""Serves the shop's pictures as files that browsers cache, and re-encodes uploads."""

import base64
import io
from functools import lru_cache

from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from app.shell.catalogue import Catalogue
from app.shell.decoder import Decoder
from app.shell.turns import SLOW, in_turn
from tpad.data.columns import Columns
from tpad.data.images import load_image, resolve_image
from tpad.errors import TpadError

SIDE = 384  # pixels; cards are up to 190 CSS pixels wide, on screens of two pixels each
SMALL_FILE = 48_000  # bytes; WebP, JPEG and PNG files up to this size are served as they are
UPLOAD_SIDE = 512  # pixels; uploaded pictures are reduced to it
STRIP_SIDE = 176  # pixels; thumbnail of an uploaded picture, embedded in the page
CACHED = {"Cache-Control": "public, max-age=604800, immutable"}
_decoder = Decoder()
_MAGIC = {b"RIFF": "image/webp", b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}


def picture_routes(catalogue: Catalogue) -> list[Route]:
    """Routes `pictures/item/<row>` and `pictures/arrival/<n>`; only numbers, so that no path leaks."""

    @lru_cache(maxsize=1024)
    def thumbnail(row: int) -> bytes | None:
        image = catalogue.dataset.image(row)
        return None if image is None else encode(image, SIDE)

    def item(request: Request) -> Response:
        row = request.path_params["number"]
        if row >= len(catalogue.items):
            return Response(status_code=404)
        relative = catalogue.dataset.items[Columns.IMAGE].iat[row]
        small = _small_file(catalogue.dataset.image_root, relative)
        if small is not None:
            return small
        data = thumbnail(row)
        if data is None:
            return Response(status_code=404)
        return Response(data, media_type="image/webp", headers=CACHED)

    def arrival(request: Request) -> Response:
        path = catalogue.arrival_path(request.path_params["number"])
        try:
            image = None if path is None else load_image(path)
        except TpadError:
            image = None
        if image is None:
            return Response(status_code=404)
        return Response(encode(image, SIDE), media_type="image/webp", headers=CACHED)

    return [
        Route("/pictures/item/{number:int}", item),
        Route("/pictures/arrival/{number:int}", arrival),
    ]


def encode(image: Image.Image, side: int) -> bytes:
    """A picture as WebP, scaled down so that no side is longer than `side` pixels."""
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=86, method=2)
    return out.getvalue()


def reencode(source: str | bytes) -> tuple[Image.Image, str]:
    """An uploaded file, or its bytes, as a new picture, and a data URL of its thumbnail.

    Only pixels are kept: no metadata, no second frame, no trailing bytes. Large photographs are
    reduced while they are read.

    Raises:
        ImageError: it is not a usable picture, or takes too long to decode.
        BusyError: too many requests of this visitor are waiting.
    """
    with in_turn(SLOW):
        image = _decoder.decode(source, UPLOAD_SIDE)
    data = base64.b64encode(encode(image, STRIP_SIDE)).decode()
    return image, f"data:image/webp;base64,{data}"


def _small_file(root: object, relative: str) -> FileResponse | None:
    """The file itself, if it is small and of a type that every browser shows upright."""
    if not relative:
        return None
    try:
        path = resolve_image(str(root), relative)
        if path.stat().st_size > SMALL_FILE:
            return None
        with path.open("rb") as file:
            head = file.read(4)
    except (TpadError, OSError):
        return None
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    return FileResponse(path, media_type=kind, headers=CACHED) if kind else None
