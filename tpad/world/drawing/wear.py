"""Sportswear: one drawing function for each product type."""

import math

from tpad.world.drawing.canvas import (
    Canvas,
    Colour,
    Path,
    both,
    ellipse,
    minus,
    polygon,
    rect,
    smooth,
    stroke,
)
from tpad.world.drawing.materials import LIGHT, SOLE
from tpad.world.drawing.surface import Surface, mix


def jersey(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    trim = mix(tones.base, tones.deep, 0.6)
    hole = ellipse(0.5, 0.1, 0.115, 0.075)
    canvas.fill(ellipse(0.5, 0.1, 0.125, 0.05), mix(tones.base, tones.deep, 0.8))
    _sleeves(canvas, surface, trim)
    torso = minus(
        polygon(
            (0.37, 0.075),
            (0.63, 0.075),
            (0.76, 0.13),
            (0.77, 0.4),
            (0.78, 0.94),
            (0.22, 0.94),
            (0.23, 0.4),
            (0.24, 0.13),
            radius=0.035,
        ),
        hole,
    )
    surface.cover(torso)
    # Soft folds run from the armpits and the hem.
    for fold in (
        ((0.24, 0.42), (0.32, 0.5), (0.36, 0.62)),
        ((0.76, 0.42), (0.69, 0.52), (0.65, 0.6)),
        ((0.34, 0.94), (0.37, 0.8), (0.35, 0.7)),
        ((0.64, 0.94), (0.62, 0.84), (0.66, 0.72)),
    ):
        canvas.shadow(stroke(0.022, *fold), torso, 0.32, 0.014, 0.006, 0.0)
    canvas.shade(torso, "cylinder", 0.28, 0.14)
    canvas.bevel(torso, 0.022, 0.3, 0.28)
    for x0, y0, x1, y1 in ((0.265, 0.135, 0.235, 0.42), (0.735, 0.135, 0.765, 0.42)):
        canvas.fill(
            stroke(0.007, (x0, y0), ((x0 + x1) / 2 + 0.006, 0.28), (x1, y1)), tones.deep, 0.5
        )
    if variant:
        collar = both(
            stroke(0.042, (0.375, 0.06), (0.5, 0.235), (0.625, 0.06), straight=True),
            polygon((0.3, 0.06), (0.7, 0.06), (0.7, 0.3), (0.3, 0.3)),
        )
        inner = polygon((0.385, 0.06), (0.615, 0.06), (0.5, 0.225))
        canvas.fill(inner, mix(tones.base, tones.deep, 0.85))
        canvas.solid(collar, trim, 0.01, 0.3, 0.35)
    else:
        collar = minus(ellipse(0.5, 0.1, 0.145, 0.105), hole)
        canvas.solid(both(collar, rect(0.3, 0.07, 0.7, 0.3)), trim, 0.01, 0.3, 0.35)
    surface.emblem(0.5, 0.42 if variant else 0.4, 0.28)
    canvas.fill(rect(0.226, 0.9, 0.774, 0.906), tones.deep, 0.4)


def _sleeves(canvas: Canvas, surface: Surface, trim: Colour) -> None:
    for points in (
        ((0.28, 0.115), (0.1, 0.22), (0.03, 0.42), (0.19, 0.5), (0.3, 0.36)),
        ((0.72, 0.115), (0.9, 0.22), (0.97, 0.42), (0.81, 0.5), (0.7, 0.36)),
    ):
        sleeve = polygon(*points, radius=0.035)
        surface.cover(sleeve)
        canvas.shade(sleeve, "down", 0.4, 0.15)
        canvas.bevel(sleeve, 0.02, 0.35, 0.2)
        (ax, ay), (bx, by) = points[2], points[3]
        cuff = both(
            stroke(0.06, (ax, ay), (bx, by), straight=True),
            sleeve,
        )
        canvas.solid(cuff, trim, 0.008, 0.3, 0.2)


def shorts(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    shape = polygon(
        (0.2, 0.13),
        (0.8, 0.13),
        (0.88, 0.5),
        (0.94, 0.83),
        (0.56, 0.87),
        (0.5, 0.55),
        (0.44, 0.87),
        (0.06, 0.83),
        (0.12, 0.5),
        radius=0.03,
    )
    surface.cover(shape)
    left = polygon((0.2, 0.2), (0.5, 0.2), (0.5, 0.55), (0.44, 0.87), (0.06, 0.83))
    right = polygon((0.5, 0.2), (0.8, 0.2), (0.94, 0.83), (0.56, 0.87), (0.5, 0.55))
    for leg in (left, right):
        canvas.shade(both(leg, shape), "cylinder", 0.3, 0.14)
    for points in (
        ((0.49, 0.54), (0.44, 0.51), (0.4, 0.46)),
        ((0.51, 0.54), (0.56, 0.51), (0.6, 0.46)),
        ((0.22, 0.82), (0.25, 0.7), (0.24, 0.6)),
        ((0.78, 0.82), (0.75, 0.7), (0.76, 0.6)),
    ):
        canvas.shadow(stroke(0.016, *points), shape, 0.25, 0.016, 0.002, 0.002)
    canvas.fill(stroke(0.006, (0.5, 0.24), (0.503, 0.4), (0.5, 0.55)), tones.deep, 0.55)
    canvas.bevel(shape, 0.024, 0.36, 0.32)
    for x0, y0, x1, y1 in ((0.075, 0.775, 0.455, 0.812), (0.925, 0.775, 0.545, 0.812)):
        canvas.fill(stroke(0.007, (x0, y0), (x1, y1), straight=True), tones.deep, 0.5)
    if variant:
        for points in (
            ((0.2, 0.2), (0.12, 0.5), (0.06, 0.83)),
            ((0.8, 0.2), (0.88, 0.5), (0.94, 0.83)),
        ):
            canvas.fill(
                both(stroke(0.05, *points), shape), LIGHT if tones.base[1] < 200 else tones.deep
            )
    # Waistband with gathers and a drawstring.
    band = polygon((0.195, 0.1), (0.805, 0.1), (0.815, 0.215), (0.185, 0.215), radius=0.02)
    canvas.shadow(band, shape, 0.45)
    canvas.solid(band, mix(tones.base, tones.deep, 0.5), 0.014, 0.4, 0.4)
    for k in range(19):
        x = 0.215 + k * 0.0315
        canvas.fill(rect(x, 0.11, x + 0.008, 0.205, 0.004), (0, 0, 0), 0.25)
    for tip in ((0.45, 0.37), (0.55, 0.39)):
        start = (0.485 if tip[0] < 0.5 else 0.515, 0.17)
        cord = stroke(0.017, start, ((start[0] + tip[0]) / 2 + 0.006, 0.27), tip)
        canvas.shadow(cord, shape, 0.5, 0.008, 0.008, 0.006)
        canvas.solid(cord, (248, 248, 246), 0.006)
    canvas.fill(ellipse(0.5, 0.165, 0.024, 0.015), (248, 248, 246))
    surface.emblem(0.275, 0.575, 0.27)


def shoe(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    trim = mix(tones.base, tones.deep, 0.55)
    tongue = polygon(
        (0.34, 0.24), (0.4, 0.165), (0.48, 0.2), (0.54, 0.34), (0.4, 0.36), radius=0.04
    )
    canvas.solid(tongue, mix(tones.base, LIGHT, 0.35), 0.02, 0.45, 0.35)
    upper = smooth(
        (0.07, 0.36),
        (0.085, 0.265),
        (0.15, 0.25),
        (0.27, 0.305),
        (0.39, 0.255),
        (0.47, 0.25),
        (0.56, 0.36),
        (0.68, 0.45),
        (0.84, 0.51),
        (0.935, 0.61),
        (0.945, 0.72),
        (0.8, 0.76),
        (0.4, 0.76),
        (0.09, 0.76),
        (0.06, 0.6),
        (0.075, 0.45),
    )
    surface.cover(upper)
    opening = both(
        smooth(
            (0.085, 0.265), (0.15, 0.25), (0.27, 0.305), (0.39, 0.255), (0.29, 0.335), (0.16, 0.29)
        ),
        upper,
    )
    canvas.fill(opening, mix(tones.base, tones.deep, 0.85))
    toe = both(smooth((0.8, 0.5), (0.95, 0.56), (0.97, 0.78), (0.75, 0.78), (0.73, 0.66)), upper)
    canvas.fill(toe, trim)
    heel = both(
        polygon((0.03, 0.36), (0.14, 0.36), (0.17, 0.56), (0.15, 0.78), (0.03, 0.78)), upper
    )
    canvas.fill(heel, trim)
    for edge in (toe, heel):
        canvas.bevel(edge, 0.012, 0.25, 0.4)
    canvas.shade(upper, "down", 0.32, 0.22)
    canvas.bevel(upper, 0.04, 0.35, 0.45)
    _laces(canvas, upper, trim)
    surface.emblem(0.335, 0.555, 0.27)
    _sole(canvas, surface, upper, variant)


def _laces(canvas: Canvas, upper: Path, trim: Colour) -> None:
    """The laces over the eyelet stay."""
    stay = both(
        smooth(
            (0.4, 0.25),
            (0.47, 0.25),
            (0.56, 0.36),
            (0.68, 0.45),
            (0.6, 0.5),
            (0.48, 0.42),
            (0.4, 0.33),
        ),
        upper,
    )
    canvas.fill(stay, trim)
    canvas.bevel(stay, 0.008, 0.3, 0.3)
    for k in range(4):
        x, y = 0.435 + k * 0.062, 0.285 + k * 0.05
        lace = stroke(0.027, (x - 0.02, y + 0.065), (x + 0.02, y + 0.02), (x + 0.055, y - 0.03))
        canvas.shadow(lace, upper, 0.5, 0.006, 0.004, 0.008)
        canvas.solid(lace, (250, 250, 248), 0.008, 0.35, 0.2)


def _sole(canvas: Canvas, surface: Surface, upper: Path, variant: int) -> None:
    """The midsole with its line, and the outsole with treads."""
    sole = smooth(
        (0.045, 0.72),
        (0.2, 0.735),
        (0.5, 0.745),
        (0.8, 0.735),
        (0.95, 0.68),
        (0.975, 0.74),
        (0.93, 0.84),
        (0.7, 0.87),
        (0.3, 0.87),
        (0.08, 0.865),
        (0.03, 0.8),
    )
    canvas.shadow(sole, upper, 0.5, 0.012, 0.0, -0.014)
    canvas.fill(sole, SOLE)
    canvas.shade(sole, "down", 0.3, 0.2)
    canvas.bevel(sole, 0.018, 0.4, 0.1)
    canvas.fill(
        stroke(0.012, (0.07, 0.795), (0.4, 0.805), (0.75, 0.8), (0.93, 0.765)), surface.tones.base
    )
    tread = both(rect(0.0, 0.845, 1.0, 0.9), sole)
    canvas.fill(tread, (62, 64, 70))
    if variant:
        for k in range(3):
            window = ellipse(0.13 + k * 0.06, 0.765, 0.02, 0.014)
            canvas.fill(window, (150, 156, 166))


def cap(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    trim = mix(tones.base, tones.deep, 0.45)
    dome = polygon(
        *_dome(),
    )
    surface.cover(dome, ("ball", 0.55, 0.62, 0.62))
    canvas.shade(dome, "ball", 0.42, 0.34)
    canvas.bevel(dome, 0.03, 0.3, 0.3)
    for points in (
        ((0.56, 0.155), (0.78, 0.3), (0.86, 0.64)),
        ((0.56, 0.155), (0.33, 0.3), (0.245, 0.6)),
        ((0.56, 0.155), (0.63, 0.18), (0.93, 0.4)),
    ):
        seam = both(stroke(0.011, *points), dome)
        canvas.fill(seam, tones.deep, 0.55)
    canvas.solid(ellipse(0.555, 0.15, 0.045, 0.026), trim, 0.012, 0.4, 0.5)
    for x, y in ((0.42, 0.26), (0.72, 0.28)):
        canvas.fill(ellipse(x, y, 0.015, 0.012), tones.deep)
    # The sweatband's edge, then the brim with its stitches.
    brim = smooth(
        (0.17, 0.62),
        (0.34, 0.575),
        (0.6, 0.6),
        (0.77, 0.66),
        (0.8, 0.7),
        (0.66, 0.76),
        (0.44, 0.81),
        (0.2, 0.835),
        (0.06, 0.805),
        (0.045, 0.74),
    )
    canvas.shadow(brim, dome, 0.55, 0.02, 0.0, -0.014)
    under = smooth(
        (0.05, 0.78),
        (0.2, 0.81),
        (0.44, 0.79),
        (0.68, 0.735),
        (0.79, 0.7),
        (0.7, 0.78),
        (0.45, 0.85),
        (0.18, 0.87),
        (0.06, 0.83),
    )
    canvas.fill(under, tones.deep)
    surface.cover(brim)
    canvas.fill(brim, tones.deep, 0.1)
    canvas.bevel(brim, 0.03, 0.4, 0.5)
    canvas.shade(brim, "down", 0.3, 0.2)
    stitch = stroke(0.006, (0.08, 0.755), (0.2, 0.8), (0.44, 0.777), (0.64, 0.735), (0.765, 0.69))
    canvas.fill(both(stitch, brim), (255, 255, 255) if variant else tones.deep, 0.5)
    surface.emblem(0.5, 0.4, 0.29)


def _dome() -> list[tuple[float, float]]:
    """The outline of a cap's crown: half an ellipse and the edge above the brim."""
    points = []
    for k in range(49):
        a = math.pi * (1 + k / 48)
        wide = 0.395
        points.append((0.555 + wide * math.cos(a), 0.6 + 0.455 * math.sin(a)))
    points += [(0.955, 0.66), (0.9, 0.71), (0.72, 0.735), (0.4, 0.7), (0.2, 0.66)]
    return points


DRAWERS = {
    "jersey": jersey,
    "shorts": shorts,
    "shoe": shoe,
    "cap": cap,
}
