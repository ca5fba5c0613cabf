"""Loading pictures that anybody may have made: damaged, huge, rotated, or not pictures at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from tpad.data.picture_files import FORMATS, open_picture
from tpad.errors import ImageError, shown

MIN_SIDE = 8  # pixels; anything smaller shows nothing
MAX_PIXELS = 40_000_000
MAX_SHRUNK = 110_000_000  # of a JPEG that is decoded at a fraction of its size


def load_image(
    source: str | Path | bytes | Image.Image,
    max_pixels: int = MAX_PIXELS,
    shrink_to: int | None = None,
) -> Image.Image:
    """Read a picture into plain RGB.

    The content decides the format, not the file's name. The picture is turned as its EXIF data
    says; transparent parts become white; of an animation the first frame is taken; 16-bit grey is
    scaled to 8 bits. The size is checked in the header, before anything is decoded.

    Args:
        source: a path, a file's bytes, or a picture that is open already (it is not changed).
        max_pixels: larger pictures are refused, JPEGs that are shrunk only from `MAX_SHRUNK` pixels.
        shrink_to: pixels of the longer side, at most; a large JPEG is then decoded at a fraction
            of its size, as a phone's camera needs.

    Returns:
        A picture of mode RGB without metadata.

    Raises:
        ImageError: it is missing, damaged, of another format, too small, too large, or would take
            long to decode (see `tpad.data.picture_files`).
    """
    if isinstance(source, Image.Image):
        name = os.path.basename(getattr(source, "filename", "") or "") or "The picture"
        return _to_rgb(source, name, max_pixels, shrink_to)
    name = "The picture" if isinstance(source, bytes) else Path(source).name
    try:
        with open_picture(source, name, _formats()) as image:
            return _to_rgb(image, name, max_pixels, shrink_to)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large(name, max_pixels)) from error


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """The whole picture, scaled to fit a white square of `size` × `size` pixels."""
    if image.size == (size, size):
        return image
    return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color="white")


def resolve_image(image_root: str | Path, relative: str) -> Path:
    """The path of a picture named in a table; it must lie inside `image_root`.

    Raises:
        ImageError: the name is a web address or an absolute path, leads out of the folder (by ".."
            or by a symbolic link), or names no file.
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
    """Whether pictures are the same as before, without reading them.

    Args:
        image_root: folder that the names are relative to.
        images: n names; "" where there is none.

    Returns:
        (n,) little-endian int64, the sizes in bytes, -1 where there is no file.
    """

    def size(relative: str) -> int:
        try:
            return os.stat(os.path.join(image_root, relative)).st_size if relative else -1
        except (OSError, ValueError):  # a name can hold what no path does
            return -1

    return np.array([size(relative) for relative in images], "<i8").tobytes()


def find_faults(
    image_root: str | Path, images: list[str], workers: int = 2, decode: bool = True
) -> dict[int, str]:
    """Try all pictures.

    Args:
        image_root: folder that the names are relative to.
        images: n names; "" is skipped.
        workers: threads (decoding runs outside Python's lock).
        decode: decode each picture; False only checks that the files are there.

    Returns:
        The sentence that says what is wrong, keyed by position in `images`.
    """

    def fault(relative: str) -> str:
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
            found = list(pool.map(fault, names))
    else:
        found = [fault(name) for name in names]
    return {i: sentence for i, sentence in zip(at, found, strict=True) if sentence}


def _to_rgb(
    image: Image.Image, name: str, max_pixels: int, shrink_to: int | None = None
) -> Image.Image:
    if shrink_to and image.format == "JPEG":
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
        rgb = _flatten(_turned(image))
        if shrink_to:
            rgb.thumbnail((shrink_to, shrink_to), Image.Resampling.LANCZOS)
    except Exception as error:  # as above: damaged data raises OSError, SyntaxError, struct.error …
        raise ImageError(f"{name} is damaged or cut off; save or download it again.") from error
    rgb.info = {}
    return rgb


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows a picture upright, by the orientation that its EXIF data names."""

_RAW_EXIF = "Raw profile type exif"  # text of a PNG that holds EXIF data as hexadecimal digits


def _turned(image: Image.Image) -> Image.Image:
    """A copy, turned as its EXIF data says.

    Pillow's own `exif_transpose` writes all EXIF data anew, which can take minutes.
    """
    if len(image.info.get(_RAW_EXIF, "")) > 20_000:
        del image.info[_RAW_EXIF]
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # unreadable EXIF data is no reason to refuse the picture
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def _flatten(image: Image.Image) -> Image.Image:
    """RGB of any mode, with transparent parts on white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)  # (height, width)
        # Only a range above 8 bits is scaled: an "I" picture may hold 0 to 255 as well.
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
