"""Loads pictures from untrusted files, which may be damaged, huge, rotated, or not pictures at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from tpad.data.picture_files import FORMATS, open_picture
from tpad.errors import ImageError, shown

MIN_SIDE = 8  # pixels
MAX_PIXELS = 40_000_000
MAX_SHRUNK = 110_000_000  # pixels of a picture that is reduced while it is loaded


def load_image(
    source: str | Path | bytes | Image.Image,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
) -> Image.Image:
    """Load a picture as RGB.

    The content decides the format, not the file name. The picture is rotated as its EXIF data says,
    transparent parts become white, only the first frame of an animation is used, and 16-bit grey is
    scaled to 8 bits. The size is checked in the header, before anything is decoded.

    Args:
        source: a path, the bytes of a file, or an open picture (it is not changed).
        max_pixels: larger pictures are refused; with `shrink_to`, the limit is `MAX_SHRUNK`.
        shrink_to: largest side of the result in pixels. A large picture, such as a phone photo, is
            then reduced before anything else is done with it, a JPEG while it is decoded.

    Returns:
        A picture of mode RGB without metadata.

    Raises:
        ImageError: it is missing, damaged, too small, too large, of another format, or would take
            too long to decode (see `tpad.data.picture_files`).
    """
    if isinstance(source, Image.Image):
        name = os.path.basename(getattr(source, "filename", "") or "") or "The picture"
        return _to_rgb(source, name, max_pixels, shrink_to)
    name = "The picture" if isinstance(source, bytes) else shown(Path(source).name)
    try:
        with open_picture(source, name, _formats()) as image:
            return _to_rgb(image, name, max_pixels, shrink_to)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large(name, max_pixels)) from error


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """Fit the whole picture into a white square of `size` × `size` pixels."""
    if image.size == (size, size):
        return image
    return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color="white")


def resolve_image(image_root: str | Path, relative: str) -> Path:
    """The path of a picture that a table names; it must lie inside `image_root`.

    Raises:
        ImageError: the name is a web address or an absolute path, leads out of the folder (by ".."
            or a symbolic link), or there is no such file.
    """
    if "://" in relative:
        raise ImageError(
            f"'{shown(relative)}' is a web address; download it and give the file's path."
        )
    root = os.path.realpath(image_root)
    if "\0" in relative or os.path.isabs(relative):
        raise ImageError(
            f"'{shown(relative)}' is not a relative path; give it relative to the table."
        )
    path = os.path.realpath(os.path.join(root, relative))
    if os.path.commonpath([root, path]) != root:
        raise ImageError(
            f"'{shown(relative)}' leads out of the table's folder; move the picture into that folder."
        )
    if not os.path.isfile(path):
        raise ImageError(f"'{shown(relative)}' does not exist; add the picture or empty the field.")
    return Path(path)


def image_sizes(image_root: str | Path, images: list[str]) -> bytes:
    """The file sizes of pictures, to notice changes without reading them.

    Args:
        image_root: folder that the names are relative to.
        images: n names; "" for no picture.

    Returns:
        (n,) little-endian int64, sizes in bytes, -1 if there is no file.
    """

    def size(relative: str) -> int:
        try:
            return os.stat(os.path.join(image_root, relative)).st_size if relative else -1
        except (OSError, ValueError):  # not a valid path
            return -1

    return np.array([size(relative) for relative in images], "<i8").tobytes()


def find_invalid_images(
    image_root: str | Path, images: list[str], workers: int = 2, decode: bool = True
) -> dict[int, str]:
    """Check pictures.

    Args:
        image_root: folder that the names are relative to.
        images: n names; "" is skipped.
        workers: number of threads (decoding releases the GIL).
        decode: decode each picture; False only checks that the files exist.

    Returns:
        The error message of each unusable picture, by position in `images`.
    """

    def problem(relative: str) -> str:
        try:
            path = resolve_image(image_root, relative)
            if decode:
                load_image(path)
        except ImageError as error:
            return str(error)
        return ""

    at = [i for i, name in enumerate(images) if name]
    names = [images[i] for i in at]
    if decode and workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(problem, names))
    else:
        found = [problem(name) for name in names]
    return {i: sentence for i, sentence in zip(at, found, strict=True) if sentence}


def _to_rgb(
    image: Image.Image, name: str, max_pixels: int, shrink_to: int | None = None
) -> Image.Image:
    if shrink_to:
        max_pixels = max(max_pixels, MAX_SHRUNK)
    if image.width * image.height > max_pixels:
        raise ImageError(_too_large(name, max_pixels, image.size))
    if min(image.size) < MIN_SIDE:
        raise ImageError(
            f"{name} has {image.width}×{image.height} pixels; each side needs at least {MIN_SIDE}."
        )
    try:
        if shrink_to:
            image.draft(None, (2 * shrink_to, 2 * shrink_to))  # JPEG alone; by whole fractions
        image.load()
        if shrink_to:
            image = _reduced(image, 2 * shrink_to)
        rgb = _flatten(_upright(image))
        if shrink_to:
            rgb.thumbnail((shrink_to, shrink_to), Image.Resampling.LANCZOS)
    except Exception as error:  # damaged data raises OSError, SyntaxError, struct.error …
        raise ImageError(f"{name} is damaged or cut off; save or download it again.") from error
    rgb.info = {}
    return rgb


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """The picture, by a whole factor smaller if it is much larger than `side` pixels."""
    factor = max(image.size) // side
    # The mode of a 16-bit grey picture tells `_flatten` how to scale its values.
    if factor < 2 or image.mode.startswith(("I", "F")):
        return image
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr") or (
        "transparency" in image.info
    ):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.reduce(factor)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transformation that turns a picture upright, by EXIF orientation."""

_RAW_EXIF = "Raw profile type exif"  # PNG text with EXIF data as hexadecimal digits


def _upright(image: Image.Image) -> Image.Image:
    """A copy, rotated as its EXIF data says.

    `ImageOps.exif_transpose` also rewrites all EXIF data, which can take minutes.
    """
    if len(image.info.get(_RAW_EXIF, "")) > 20_000:
        del image.info[_RAW_EXIF]
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a picture with unreadable EXIF data is still usable
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def _flatten(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)  # (height, width)
        # An "I" picture may also have values from 0 to 255; only a larger range is scaled.
        if image.mode.startswith("I;16") or values.max(initial=0) > 255:
            values = values / 257
        image = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _formats() -> str:
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def _too_large(name: str, max_pixels: int, size: tuple[int, int] | None = None) -> str:
    has = f"has {size[0]}×{size[1]} pixels" if size else "has far too many pixels"
    return f"{name} {has}, more than the {max_pixels / 1e6:g} million allowed; make it smaller."
