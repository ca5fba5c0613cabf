"""The surface of a product: base colour, pattern and emblem, in well separated tones."""

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from tpad.world.attributes import Look
from tpad.world.drawing.canvas import (
    Canvas,
    Colour,
    Mask,
    Path,
    ellipse,
    mask,
    polygon,
    smooth,
    stroke,
)


@dataclass(frozen=True)
class Tones:
    """The tones of a colour: base, tint for patterns, and deep for emblems and trim."""

    base: Colour
    tint: Colour
    deep: Colour


# Tints are chosen away from other base colours: dark for red, since light red would be pink.
TONES: dict[str, Tones] = {
    "red": Tones((218, 36, 40), (126, 10, 22), (92, 6, 16)),
    "orange": Tones((246, 128, 22), (255, 206, 148), (122, 50, 0)),
    "yellow": Tones((252, 212, 44), (198, 146, 0), (98, 70, 0)),
    "green": Tones((56, 158, 54), (160, 222, 146), (12, 66, 22)),
    "teal": Tones((6, 158, 160), (150, 226, 224), (0, 62, 70)),
    "blue": Tones((36, 88, 214), (146, 186, 255), (10, 26, 92)),
    "purple": Tones((122, 58, 180), (200, 162, 240), (48, 14, 84)),
    "pink": Tones((248, 130, 180), (255, 216, 232), (128, 20, 78)),
    "black": Tones((38, 39, 44), (112, 115, 124), (16, 16, 20)),
    "white": Tones((244, 244, 242), (178, 183, 192), (52, 56, 66)),
}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a share of `b`."""
    red, green, blue = (int(x + (y - x) * share + 0.5) for x, y in zip(a, b, strict=True))
    return red, green, blue


# --- patterns ---------------------------------------------------------------------------------


def _tile(pattern: str, side: int, phase: int, upright: bool) -> Image.Image:
    """The pattern over 1.5 × 1.5 units, so that warps can reach beyond the edge of the picture."""
    n = int(side * 1.5)
    k = 2
    picture = Image.new("L", (n * k, n * k))
    pen = ImageDraw.Draw(picture)
    unit = side * k
    shift = phase * 0.031 * unit
    if pattern == "striped":
        step = 0.13 * unit
        for i in range(-2, 14):
            a = i * step + shift
            box = (a, 0, a + step / 2, n * k) if upright else (0, a, n * k, a + step / 2)
            pen.rectangle(box, fill=255)
    elif pattern == "dotted":
        step, r = 0.125 * unit, 0.037 * unit
        for i in range(-2, 28):
            for j in range(-2, 14):
                x = (j + 0.5 * (i % 2)) * step + shift
                y = i * step / 2 * 1.15 + shift
                pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    elif pattern == "checked":
        step = 0.085 * unit
        for i in range(-2, 20):
            for j in range(-2, 20):
                if (i + j) % 2 == 0:
                    x, y = j * step + shift, i * step + shift
                    pen.rectangle((x, y, x + step, y + step), fill=255)
    elif pattern == "zigzag":
        step, rise, gap = 0.09 * unit, 0.075 * unit, 0.15 * unit
        for i in range(-2, 14):
            y = i * gap + shift
            line = [(j * step + shift, y + (rise if j % 2 else 0)) for j in range(-3, 24)]
            pen.line(line, fill=255, width=int(0.058 * unit), joint="curve")
    return picture.reduce(k)


_ARC = np.array([math.asin(i / 1024) / (i / 1024) if i else 1.0 for i in range(1025)])


@lru_cache(maxsize=400)
def _cover(pattern: str, side: int, phase: int, upright: bool, warp: tuple) -> Image.Image:
    """The pattern over the picture, warped around a cylinder or ball.

    `warp` is ("flat",), ("cylinder", centre x, half width, bend of the rows) or
    ("ball", centre x, centre y, radius), in unit coordinates.
    """
    tile = np.asarray(_tile(pattern, side, phase, upright))
    x = ((np.arange(side) + 0.5) / side)[None, :]
    y = ((np.arange(side) + 0.5) / side)[:, None]
    if warp[0] == "cylinder":
        _, cx, half, bend = warp
        u = np.clip((x - cx) / half, -1, 1)
        around = _ARC[(np.abs(u) * 1024).astype(int)]
        source_x = cx + u * half * around * 0.95
        source_y = y - bend * np.sqrt(1 - u * u)
    elif warp[0] == "ball":
        _, cx, cy, radius = warp
        u, v = (x - cx) / radius, (y - cy) / radius
        r = np.minimum(1, np.sqrt(u * u + v * v))
        around = _ARC[(r * 1024).astype(int)] * 0.95
        source_x, source_y = cx + u * radius * around, cy + v * radius * around
    else:
        source_x, source_y = x, y
    source_x = np.broadcast_to(source_x, (side, side))
    source_y = np.broadcast_to(source_y, (side, side))
    rows = np.clip(((source_y + 0.25) * side).astype(int), 0, tile.shape[0] - 1)
    columns = np.clip(((source_x + 0.25) * side).astype(int), 0, tile.shape[1] - 1)
    return Image.fromarray(tile[rows, columns])


@lru_cache(maxsize=3000)
def _masked(path: Path, pattern: str, side: int, phase: int, upright: bool, warp: tuple) -> Mask:
    left, top, cover = mask(path, side)
    paint = _cover(pattern, side, phase, upright, warp)
    here = paint.crop((left, top, left + cover.width, top + cover.height))
    return left, top, ImageChops.multiply(cover, here)


# --- emblems ----------------------------------------------------------------------------------


@cache
def _glyph(emblem: str, cx: float, cy: float, r: float) -> Path:
    if emblem == "star":
        points = []
        for k in range(10):
            reach = r if k % 2 == 0 else r * 0.45
            angle = math.pi * k / 5 - math.pi / 2
            points.append((cx + reach * math.cos(angle), cy + 0.04 * r + reach * math.sin(angle)))
        return polygon(*points, radius=0.12 * r)
    if emblem == "heart":
        points = []
        for k in range(48):
            t = 2 * math.pi * k / 48
            s = math.sin(t)
            hx = 16 * s * s * s
            hy = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            points.append((cx + hx * r / 18, cy - (hy + 2) * r / 18 + 0.02 * r))
        return polygon(*points)
    if emblem == "bolt":
        bolt = (
            (0.22, -1.02),
            (-0.62, 0.18),
            (-0.08, 0.18),
            (-0.26, 1.02),
            (0.64, -0.3),
            (0.06, -0.3),
        )
        return polygon(*((cx + a * r, cy + b * r) for a, b in bolt), radius=0.06 * r)
    leaf = (
        (0.82, -0.82),
        (0.86, -0.1),
        (0.52, 0.5),
        (-0.1, 0.72),
        (-0.56, 0.54),
        (-0.74, 0.08),
        (-0.5, -0.46),
        (0.1, -0.74),
    )
    return smooth(*((cx + a * r, cy + b * r) for a, b in leaf))


def _badge(canvas: Canvas, tones: Tones, emblem: str, cx: float, cy: float, width: float) -> None:
    r = width / 2
    canvas.fill(ellipse(cx, cy, r, r), tones.deep)
    canvas.fill(ellipse(cx, cy, r * 0.925, r * 0.925), (253, 252, 249))
    glyph = _glyph(emblem, cx, cy, r * 0.74)
    canvas.fill(glyph, tones.deep)
    if emblem == "leaf":

        def at(a: float, b: float) -> tuple[float, float]:
            return cx + a * r * 0.74, cy + b * r * 0.74

        canvas.fill(stroke(0.10 * r, at(-0.86, 0.9), at(-0.5, 0.42), at(-0.3, 0.22)), tones.deep)
        vein = stroke(0.09 * r, at(-0.46, 0.4), at(0.0, -0.05), at(0.5, -0.5))
        canvas.fill(vein, (253, 252, 249))


class Surface:
    """Paints colour, pattern and emblem of a look onto the parts of a product."""

    def __init__(self, canvas: Canvas, look: Look, phase: int):
        self.canvas = canvas
        self.look = look
        self.tones = TONES[look.colour]
        self.phase = phase

    def cover(self, path: Path, warp: tuple = ("flat",), upright: bool = False) -> None:
        """Paint base colour and pattern over a path."""
        self.canvas.fill(path, self.tones.base)
        if self.look.pattern != "plain":
            region = _masked(path, self.look.pattern, self.canvas.side, self.phase, upright, warp)
            self.canvas.paste(self.tones.tint, region)

    def emblem(self, cx: float, cy: float, width: float = 0.26) -> None:
        """Paint the emblem on its badge, if the look has one."""
        if self.look.emblem != "none":
            _badge(self.canvas, self.tones, self.look.emblem, cx, cy, width)
