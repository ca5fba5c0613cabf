"""Puts a drawn product into a scene: background, view, shadow and light."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tpad.world.drawing.canvas import Colour

_SMALL = 64  # shadows are soft: they are computed at this many pixels a side and enlarged

# Wall and floor: low saturation, darker than a white product.
_BACKDROPS: tuple[tuple[Colour, Colour], ...] = (
    ((214, 218, 224), (190, 195, 203)),
    ((222, 214, 203), (201, 191, 178)),
    ((205, 214, 216), (180, 192, 195)),
    ((219, 211, 214), (197, 187, 192)),
    ((208, 212, 203), (185, 190, 179)),
    ((209, 208, 219), (186, 184, 199)),
    ((188, 192, 198), (164, 169, 176)),
    ((206, 197, 187), (182, 172, 161)),
)


@dataclass(frozen=True)
class View:
    """Position of the product in front of the camera, drawn from the seed."""

    backdrop: int
    mirrored: bool
    angle: float  # radians
    lean: tuple[float, float]  # perspective along x and y
    extent: float  # share of the picture that the larger side fills
    place: tuple[float, float]  # -1 to 1 within the free space
    narrow: float  # horizontal scale
    bright: float
    warm: float


def view(rng: random.Random, flat: bool) -> View:
    """A random view; flat products are rotated more than standing ones."""
    turn = 0.16 if flat else 0.045
    return View(
        backdrop=rng.randrange(len(_BACKDROPS)),
        mirrored=rng.random() < 0.5,
        angle=rng.uniform(-turn, turn),
        lean=(rng.uniform(-0.16, 0.16), rng.uniform(-0.07, 0.07)),
        extent=rng.uniform(0.8, 0.89),
        place=(rng.uniform(-1, 1), rng.uniform(-1, 1)),
        narrow=rng.uniform(0.95, 1.04),
        bright=rng.uniform(0.95, 1.04),
        warm=rng.uniform(-0.02, 0.02),
    )


@lru_cache(maxsize=64)
def _backdrop(which: int, flat: bool, size: int) -> Image.Image:
    """A wall that fades into a floor, or a table seen from above; lighter at the centre."""
    wall, floor = (np.array(c, dtype=np.float64) for c in _BACKDROPS[which])
    x = ((np.arange(size) + 0.5) / size)[None, :]
    y = ((np.arange(size) + 0.5) / size)[:, None]
    if flat:
        share = (x + y) / 2  # (size, size)
    else:
        t = np.clip((y - 0.6) / 0.22, 0, 1)
        share = t * t * (3 - 2 * t) * (1 - 0.55 * np.clip((y - 0.8) / 0.2, 0, 1)) + 0 * x
    dx, dy = x - 0.42, y - 0.38
    glow = 1.05 - 0.2 * (dx * dx + dy * dy)
    rgb = wall + (floor - wall) * share[..., None]  # (size, size, 3)
    return Image.fromarray(np.clip(rgb * glow[..., None] + 0.5, 0, 255).astype(np.uint8))


def _matrix(a, b):
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def _inverse(m):
    """The inverse of a 3 × 3 matrix up to a factor: its adjugate."""
    (a, b, c), (d, e, f), (g, h, i) = m
    return [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]


def _apply(m, x: float, y: float) -> tuple[float, float]:
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in m)
    return u / w, v / w


def _place(layer: Image.Image, seen: View) -> Image.Image:
    """The layer of the product as the camera sees it, of the same size."""
    side = layer.width
    drawn = layer.getchannel(3).getbbox()
    assert drawn is not None, "nothing is drawn on the layer"
    x0, y0, x1, y1 = (v / side for v in drawn)
    cos, sin = math.cos(seen.angle), math.sin(seen.angle)
    flip = -1 if seen.mirrored else 1
    # From the picture back to the layer: rotation, perspective, mirroring, position in the layer.
    back = _matrix(
        [[1, 0, 0], [0, 1, 0], [*seen.lean, 1]], [[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]
    )
    back = _matrix([[flip / seen.narrow, 0, 0], [0, 1, 0], [0, 0, 1]], back)
    back = _matrix([[1, 0, (x0 + x1) / 2], [0, 1, (y0 + y1) / 2], [0, 0, 1]], back)
    # The corners give the scale and the free space.
    corners = [_apply(_inverse(back), x, y) for x in (x0, x1) for y in (y0, y1)]
    left, right = min(c[0] for c in corners), max(c[0] for c in corners)
    top, bottom = min(c[1] for c in corners), max(c[1] for c in corners)
    scale = seen.extent / max(right - left, bottom - top)
    room_x = (0.96 - scale * (right - left)) / 2
    room_y = (0.95 - scale * (bottom - top)) / 2
    tx = 0.5 + seen.place[0] * min(room_x, 0.05) - scale * (left + right) / 2
    ty = 0.5 + seen.place[1] * min(room_y, 0.03) - scale * (top + bottom) / 2
    back = _matrix(back, [[1 / scale, 0, -tx / scale], [0, 1 / scale, -ty / scale], [0, 0, 1]])
    (a, b, c), (d, e, f), (g, h, i) = back
    data = (a / i, b / i, c * side / i, d / i, e / i, f * side / i, g / side / i, h / side / i)
    return layer.transform(layer.size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)


def _shadow(alpha: Image.Image, flat: bool, size: int) -> Image.Image:
    """Darkness of the ground around the product ("L")."""
    small = alpha.resize((_SMALL, _SMALL), Image.Resampling.BOX)
    if flat:
        far = ImageChops.offset(small, 2, 3).filter(ImageFilter.GaussianBlur(2.6))
        near = ImageChops.offset(small, 1, 1).filter(ImageFilter.GaussianBlur(0.9))
        dark = ImageChops.add(far.point(lambda v: v * 0.34), near.point(lambda v: v * 0.22))
    else:
        solid = small.point(lambda v: 255 if v > 60 else 0).getbbox()
        assert solid is not None, "the product is too faint to throw a shadow"
        x0, _, x1, y1 = solid
        # The outline of the product, projected to the right on the floor: x' = x + 0.35 · height, y' = y / 4.
        laid = small.transform(
            small.size,
            Image.Transform.AFFINE,
            (1, 1.6, -1.6 * (y1 - 1), 0, 4, (1 - 4) * (y1 - 1)),
            Image.Resampling.BILINEAR,
        )
        laid = laid.filter(ImageFilter.GaussianBlur(2.2)).point(lambda v: v * 0.3)
        foot = small.crop((0, y1 - 4, _SMALL, y1 - 1)).getbbox() or (x0, 0, x1, 0)
        touch = Image.new("L", small.size)
        ImageDraw.Draw(touch).ellipse((foot[0], y1 - 3, foot[2], y1 + 1), fill=255)
        touch = touch.filter(ImageFilter.GaussianBlur(1.3)).point(lambda v: v * 0.62)
        dark = ImageChops.add(laid, touch)
    return dark.resize((size, size), Image.Resampling.BICUBIC)


def photograph(layer: Image.Image, seen: View, flat: bool, size: int) -> Image.Image:
    """Put the layer of a product into the scene: RGB, size × size."""
    placed = _place(layer, seen).resize((size, size), Image.Resampling.LANCZOS)
    red, green, blue, alpha = placed.split()
    ground = _backdrop(seen.backdrop, flat, size).copy()
    ground.paste((26, 26, 36), (0, 0), _shadow(alpha, flat, size))
    product = Image.merge("RGB", (red, green, blue))
    clear = ImageChops.invert(alpha)
    picture = ImageChops.add(
        ImageChops.multiply(ground, Image.merge("RGB", (clear, clear, clear))), product
    )
    table = []
    for tone in (1 + seen.warm, 1.0, 1 - seen.warm):
        table += [min(255, int(v * seen.bright * tone + 0.5)) for v in range(256)]
    return picture.point(table)
