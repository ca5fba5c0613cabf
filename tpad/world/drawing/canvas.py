"""Paths in unit coordinates, and a supersampled canvas that fills and shades them.

In unit coordinates the picture is 1 × 1, with x to the right and y downwards. Constructors of paths are
cached, and paths are compared by identity, so that their masks and shades are computed once for each
size. The canvas has four premultiplied bands, red, green, blue and alpha, so that pasting an opaque
colour through a soft mask is the "over" operator on all four.
"""

import math
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]
Mask = tuple[int, int, Image.Image]  # left, top (pixels), coverage ("L")

_OVERSAMPLE = 3  # masks are drawn this many times larger and reduced, for smooth edges
BLACK: Colour = (8, 8, 14)
WHITE: Colour = (255, 255, 255)


class Path:
    """A region of the picture, defined by a function that paints it; hashed by identity."""

    def __init__(self, paint: Callable[[int], Image.Image]):
        self.paint = paint  # pixels a side -> "L" picture of the coverage


def _scaled(points, side: int) -> list[Point]:
    return [(x * side, y * side) for x, y in points]


def _region(points) -> Path:
    def paint(side: int) -> Image.Image:
        picture = Image.new("L", (side, side))
        ImageDraw.Draw(picture).polygon(_scaled(points, side), fill=255)
        return picture

    return Path(paint)


@cache
def polygon(*points: Point, radius: float = 0.0) -> Path:
    """A polygon with corners rounded over the length `radius`."""
    if radius <= 0:
        return _region(points)
    outline = []
    for i, (x, y) in enumerate(points):
        arms = []
        for other in (points[i - 1], points[(i + 1) % len(points)]):
            dx, dy = other[0] - x, other[1] - y
            length = math.sqrt(dx * dx + dy * dy) or 1.0
            reach = min(radius, length / 2) / length
            arms.append((x + dx * reach, y + dy * reach))
        (ax, ay), (bx, by) = arms
        for step in range(9):
            t = step / 8
            a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
            outline.append((a * ax + b * x + c * bx, a * ay + b * y + c * by))
    return _region(outline)


def rect(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Path:
    """An axis-parallel rectangle with rounded corners."""
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1), radius=radius)


@cache
def ellipse(cx: float, cy: float, rx: float, ry: float) -> Path:
    """An axis-parallel ellipse, given by its centre and half axes."""
    steps = [2 * math.pi * k / 72 for k in range(72)]
    return _region([(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in steps])


def curve(points, closed: bool, steps: int = 10) -> list[Point]:
    """Points on the Catmull-Rom spline through `points`."""
    n = len(points)
    out = []
    for i in range(n if closed else n - 1):
        if closed:
            p = [points[(i + k) % n] for k in (-1, 0, 1, 2)]
        else:
            p = [points[min(max(i + k, 0), n - 1)] for k in (-1, 0, 1, 2)]
        for s in range(steps):
            t = s / steps
            out.append(
                tuple(
                    0.5
                    * (
                        2 * p[1][d]
                        + (p[2][d] - p[0][d]) * t
                        + (2 * p[0][d] - 5 * p[1][d] + 4 * p[2][d] - p[3][d]) * t * t
                        + (3 * p[1][d] - p[0][d] - 3 * p[2][d] + p[3][d]) * t * t * t
                    )
                    for d in (0, 1)
                )
            )
    if not closed:
        out.append(points[-1])
    return out


@cache
def smooth(*points: Point) -> Path:
    """The region inside the closed smooth curve through the points."""
    return _region(curve(points, closed=True))


@cache
def stroke(width: float, *points: Point, straight: bool = False) -> Path:
    """A line of the given width with round ends, smooth through the points unless straight."""
    line = list(points) if straight else curve(points, closed=False)

    def paint(side: int) -> Image.Image:
        picture = Image.new("L", (side, side))
        pen = ImageDraw.Draw(picture)
        at = _scaled(line, side)
        wide = max(1, round(width * side))
        pen.line(at, fill=255, width=wide, joint="curve")
        for x, y in (at[0], at[-1]):
            r = wide / 2
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return picture

    return Path(paint)


def ring(cx: float, cy: float, rx: float, ry: float, width: float) -> Path:
    """An elliptic ring of the given width."""
    return minus(ellipse(cx, cy, rx, ry), ellipse(cx, cy, rx - width, ry - width))


@cache
def both(a: Path, b: Path) -> Path:
    """The intersection of two paths."""
    return Path(lambda side: ImageChops.multiply(a.paint(side), b.paint(side)))


@cache
def minus(a: Path, b: Path) -> Path:
    """The difference of two paths: `a` without `b`."""
    return Path(lambda side: ImageChops.subtract(a.paint(side), b.paint(side)))


@cache
def union(*paths: Path) -> Path:
    """The union of paths."""

    def paint(side: int) -> Image.Image:
        picture = paths[0].paint(side)
        for path in paths[1:]:
            picture = ImageChops.lighter(picture, path.paint(side))
        return picture

    return Path(paint)


@lru_cache(maxsize=3000)
def mask(path: Path, side: int) -> Mask:
    """The coverage of a path at `side` pixels, cropped to its bounding box."""
    picture = path.paint(side * _OVERSAMPLE).reduce(_OVERSAMPLE)
    box = picture.getbbox() or (0, 0, 1, 1)
    return box[0], box[1], picture.crop(box)


def _scale(picture: Image.Image, factor: float) -> Image.Image:
    return picture.point([min(255, int(v * factor + 0.5)) for v in range(256)])


# Light profiles along one axis: (position, darkness, lightness), each 0 to 1.
_PROFILES = {
    "cylinder": (
        (0.0, 0.75, 0.0),
        (0.1, 0.3, 0.0),
        (0.2, 0.05, 0.35),
        (0.28, 0.0, 0.9),
        (0.38, 0.0, 0.25),
        (0.55, 0.1, 0.0),
        (0.8, 0.55, 0.0),
        (0.94, 1.0, 0.0),
        (1.0, 0.8, 0.0),
    ),
    "right": ((0.0, 0.0, 0.6), (0.35, 0.0, 0.1), (0.6, 0.2, 0.0), (1.0, 1.0, 0.0)),
    "down": ((0.0, 0.0, 0.7), (0.35, 0.0, 0.12), (0.55, 0.15, 0.0), (1.0, 1.0, 0.0)),
    "up": ((0.0, 1.0, 0.0), (0.4, 0.15, 0.0), (0.6, 0.0, 0.1), (1.0, 0.0, 0.6)),
    "top": ((0.0, 0.0, 1.0), (0.3, 0.0, 0.4), (0.7, 0.0, 0.0), (1.0, 0.0, 0.0)),
    "foot": ((0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (0.85, 0.35, 0.0), (1.0, 1.0, 0.0)),
    "cast": ((0.0, 1.0, 0.0), (0.25, 0.45, 0.0), (0.7, 0.1, 0.0), (1.0, 0.0, 0.0)),
}
_VERTICAL = ("down", "up", "top", "foot", "cast")


def _profile(kind: str, n: int, column: int) -> np.ndarray:
    stops = _PROFILES[kind]
    at = (np.arange(n, dtype=np.float64) + 0.5) / n
    return np.interp(at, [s[0] for s in stops], [s[column] for s in stops])


def _light_map(kind: str, width: int, height: int, column: int) -> Image.Image:
    """A light profile (or the "ball" and "diagonal" ones) as an "L" picture."""
    x = ((np.arange(width) + 0.5) / width)[None, :]
    y = ((np.arange(height) + 0.5) / height)[:, None]
    if kind == "ball":
        spot = np.sqrt((x - 0.34) * (x - 0.34) + (y - 0.28) * (y - 0.28))
        rim = np.sqrt((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5)) * 2
        if column == 2:
            near = np.maximum(0, 1 - spot / 0.42)
            values = near * near
        else:
            far = np.maximum(0, (spot - 0.3) / 0.55)
            values = 0.75 * far * far + 0.5 * np.maximum(0, rim - 0.8)
    elif kind == "diagonal":
        t = (x + y) / 2
        values = np.maximum(0, 1 - t / 0.55) if column == 2 else np.maximum(0, (t - 0.45) / 0.55)
    elif kind == "gloss":
        t = x + 0.35 * y
        lit = np.maximum(0, 1 - np.abs(t - 0.45) / 0.16) + np.maximum(0, 1 - np.abs(t - 0.8) / 0.07)
        values = np.minimum(1, lit * 3) if column == 2 else 0 * t
    elif kind in _VERTICAL:
        values = _profile(kind, height, column)[:, None] + 0 * x
    else:
        values = _profile(kind, width, column)[None, :] + 0 * y
    return Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8))


@lru_cache(maxsize=3000)
def _shade(path: Path, side: int, kind: str, column: int, strength: float) -> Mask:
    left, top, cover = mask(path, side)
    light = _light_map(kind, cover.width, cover.height, column)
    return left, top, _scale(ImageChops.multiply(cover, light), strength)


@lru_cache(maxsize=3000)
def _bevel(path: Path, side: int, width: float, sign: int, strength: float) -> Mask:
    left, top, cover = mask(path, side)
    pad = int(width * side * 2) + 2
    wide = Image.new("L", (cover.width + 2 * pad, cover.height + 2 * pad))
    wide.paste(cover, (pad, pad))
    soft = wide.filter(ImageFilter.GaussianBlur(width * side * 0.6))
    shift = round(width * side * 0.55) * sign
    soft = ImageChops.offset(soft, shift, shift)
    soft = soft.crop((pad, pad, pad + cover.width, pad + cover.height))
    return left, top, _scale(ImageChops.multiply(cover, ImageChops.invert(soft)), strength)


@lru_cache(maxsize=3000)
def _soft(path: Path, side: int, blur: float, dx: float, dy: float, within: Path | None) -> Mask:
    left, top, cover = mask(path, side)
    full = Image.new("L", (side, side))
    full.paste(cover, (left + round(dx * side), top + round(dy * side)))
    full = full.filter(ImageFilter.GaussianBlur(blur * side))
    if within is not None:
        left, top, cover = mask(within, side)
        here = full.crop((left, top, left + cover.width, top + cover.height))
        return left, top, ImageChops.multiply(here, cover)
    return 0, 0, full


@lru_cache(maxsize=3000)
def _faded(path: Path, side: int, alpha: float) -> Mask:
    left, top, cover = mask(path, side)
    return left, top, _scale(cover, alpha)


class Canvas:
    """A square drawing surface of `side` pixels, transparent at first."""

    def __init__(self, side: int):
        self.side = side
        self.picture = Image.new("RGBX", (side, side), (0, 0, 0, 0))

    def paste(self, colour: Colour, region: Mask) -> None:
        """Paint a colour through a mask."""
        left, top, cover = region
        box = (left, top, left + cover.width, top + cover.height)
        self.picture.paste((*colour, 255), box, cover)

    def fill(self, path: Path, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a path with one colour."""
        region = mask(path, self.side) if alpha >= 1 else _faded(path, self.side, alpha)
        self.paste(colour, region)

    def shade(self, path: Path, kind: str, dark: float = 0.3, light: float = 0.2) -> None:
        """Lighten and darken a path along a profile."""
        if dark > 0:
            self.paste(BLACK, _shade(path, self.side, kind, 1, dark))
        if light > 0:
            self.paste(WHITE, _shade(path, self.side, kind, 2, light))

    def bevel(self, path: Path, width: float, dark: float = 0.3, light: float = 0.3) -> None:
        """Shade the edges of a path: lighter at the upper left, darker at the lower right."""
        if dark > 0:
            self.paste(BLACK, _bevel(path, self.side, width, -1, dark))
        if light > 0:
            self.paste(WHITE, _bevel(path, self.side, width, 1, light))

    def shadow(
        self,
        path: Path,
        within: Path,
        alpha: float = 0.4,
        blur: float = 0.015,
        dx: float = 0.006,
        dy: float = 0.014,
    ) -> None:
        """Paint the soft shadow of a path on another one."""
        left, top, cover = _soft(path, self.side, blur, dx, dy, within)
        self.paste(BLACK, (left, top, _scale(cover, alpha)))

    def solid(
        self,
        path: Path,
        colour: Colour,
        bevel: float = 0.015,
        dark: float = 0.4,
        light: float = 0.4,
    ) -> None:
        """Fill a path and bevel its edges, for small parts of plastic, cloth or metal."""
        self.fill(path, colour)
        self.bevel(path, bevel, dark, light)
