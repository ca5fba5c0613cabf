"""Draws pictures of the demo shop's products from their look and a seed."""

import random
import zlib

from PIL import Image

from tpad.world.attributes import Look
from tpad.world.drawing import drinks, food, gear, phones, wear
from tpad.world.drawing.canvas import Canvas
from tpad.world.drawing.scene import photograph, view
from tpad.world.drawing.surface import Surface

_DRAWERS = {**phones.DRAWERS, **food.DRAWERS, **drinks.DRAWERS, **wear.DRAWERS, **gear.DRAWERS}
_FLAT = frozenset({"phone", "phone case", "cable", "smartwatch", "jersey", "shorts", "racket"})


def _layer(look: Look, rng: random.Random, side: int) -> Image.Image:
    """The product alone, as premultiplied red, green, blue and alpha, side × side."""
    canvas = Canvas(side)
    surface = Surface(canvas, look, phase=rng.randrange(4))
    _DRAWERS[look.type](canvas, surface, rng.randrange(2))
    return canvas.picture


def draw(look: Look, seed: int, size: int = 256) -> Image.Image:
    """The picture of a product: RGB, size × size pixels.

    Equal arguments give equal bytes. The seed varies view, light, background, design details and the
    offset of the pattern, never the attributes of the look.
    """
    rng = random.Random(
        zlib.crc32(f"{look.type}/{look.colour}/{look.pattern}/{look.emblem}/{seed}".encode())
    )
    flat = look.type in _FLAT
    seen = view(rng, flat)
    side = size * (3 if size <= 128 else 2)
    return photograph(_layer(look, rng, side), seen, flat, size)
