"""Drinks: one drawing function for each product type."""

from tpad.world.drawing.canvas import Canvas, both, ellipse, polygon, rect, smooth, stroke
from tpad.world.drawing.materials import COCOA, GREY, PAPER
from tpad.world.drawing.surface import Surface, mix


def milk(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    trim = mix(tones.base, tones.deep, 0.45)
    side = polygon((0.6376, 0.33), (0.801, 0.3), (0.801, 0.9), (0.6376, 0.945))
    canvas.fill(side, trim)
    canvas.shade(side, "right", 0.35, 0.05)
    panel = polygon((0.6677, 0.52), (0.7752, 0.505), (0.7752, 0.78), (0.6677, 0.81), radius=0.015)
    canvas.fill(panel, PAPER, 0.85)
    for k in range(5):
        y = 0.56 + k * 0.045
        canvas.fill(
            polygon((0.695, y), (0.782, y - 0.01), (0.782, y + 0.004), (0.695, y + 0.016)), GREY
        )
    # The gable: the side folds inwards, the front slopes to the seal.
    fold = polygon((0.6376, 0.33), (0.801, 0.3), (0.7021, 0.145), (0.586, 0.15))
    canvas.fill(fold, mix(tones.base, tones.deep, 0.7))
    fold_in = polygon((0.6376, 0.33), (0.7193, 0.31), (0.6548, 0.16), (0.586, 0.15))
    canvas.fill(fold_in, mix(tones.base, tones.deep, 0.35))
    slope = polygon((0.2162, 0.33), (0.6419, 0.33), (0.6548, 0.15), (0.3022, 0.15))
    surface.cover(slope)
    canvas.shade(slope, "top", 0.0, 0.35)
    seal = polygon((0.3022, 0.06), (0.6892, 0.055), (0.7021, 0.15), (0.3022, 0.155), radius=0.008)
    canvas.solid(seal, mix(tones.base, PAPER, 0.3), 0.008, 0.3, 0.3)
    canvas.fill(rect(0.3151, 0.093, 0.6892, 0.103), tones.deep, 0.45)
    canvas.fill(rect(0.3151, 0.117, 0.6892, 0.127), tones.deep, 0.45)
    front = rect(0.2162, 0.325, 0.6419, 0.945, 0.006)
    surface.cover(front)
    canvas.fill(rect(0.2162, 0.322, 0.6419, 0.33), PAPER, 0.5)
    # A wave of milk along the foot.
    wave = both(
        smooth(
            (0.1732, 0.83),
            (0.2592, 0.79),
            (0.3452, 0.82),
            (0.4312, 0.86),
            (0.5172, 0.81),
            (0.586, 0.77),
            (0.6892, 0.82),
            (0.7064, 1.0),
            (0.1732, 1.0),
        ),
        front,
    )
    canvas.shadow(wave, front, 0.35, 0.01, 0.0, -0.012)
    canvas.fill(wave, (253, 252, 248))
    canvas.bevel(wave, 0.02, 0.2, 0.0)
    surface.emblem(0.4312, 0.565, 0.28)
    canvas.shade(front, "diagonal", 0.2, 0.16)
    cap_side = rect(0.4097, 0.215, 0.5301, 0.285, 0.015)
    canvas.shadow(cap_side, slope, 0.5)
    canvas.fill(cap_side, (232, 232, 230))
    canvas.shade(cap_side, "cylinder", 0.4, 0.4)
    lid = ellipse(0.4699, 0.215, 0.0602, 0.032)
    canvas.solid(lid, (250, 250, 248), 0.01, 0.25, 0.2)
    if variant:
        _bars(canvas, 0.27, 0.88, 0.26, 1)


def coffee(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    bag = polygon(
        (0.2, 0.1),
        (0.8, 0.1),
        (0.79, 0.24),
        (0.87, 0.45),
        (0.86, 0.9),
        (0.8, 0.945),
        (0.2, 0.945),
        (0.14, 0.9),
        (0.13, 0.45),
        (0.21, 0.24),
        radius=0.05,
    )
    surface.cover(bag)
    # Gussets and the creases that run down from the seal.
    for x0, x1, x2 in ((0.13, 0.21, 0.2), (0.87, 0.79, 0.8)):
        fold = both(polygon((x1, 0.24), (x0, 0.4), (x0, 0.95), (x2, 0.95)), bag)
        canvas.fill(fold, (0, 0, 0), 0.22)
    canvas.shadow(stroke(0.02, (0.36, 0.24), (0.3, 0.42), (0.29, 0.5)), bag, 0.3, 0.012)
    canvas.shadow(stroke(0.02, (0.66, 0.24), (0.71, 0.42), (0.72, 0.52)), bag, 0.3, 0.012)
    canvas.shade(bag, "cylinder", 0.38, 0.28)
    canvas.bevel(bag, 0.03, 0.3, 0.25)
    seal = rect(0.185, 0.055, 0.815, 0.165, 0.012)
    canvas.solid(seal, mix(tones.base, tones.deep, 0.5), 0.01, 0.3, 0.3)
    for k in range(4):
        canvas.fill(rect(0.195, 0.075 + k * 0.022, 0.805, 0.083 + k * 0.022), (255, 255, 255), 0.2)
    tie = rect(0.15, 0.165, 0.85, 0.205, 0.012)
    canvas.shadow(tie, bag, 0.5)
    canvas.solid(tie, (214, 190, 150), 0.008, 0.35, 0.4)
    surface.emblem(0.5, 0.44, 0.29)
    # A white band with two beans and some print.
    band = both(rect(0.1, 0.645, 0.9, 0.845), bag)
    canvas.fill(band, PAPER)
    canvas.shade(band, "cylinder", 0.35, 0.1)
    for x, y in ((0.28, 0.745), (0.4, 0.745)):
        _bean(canvas, x, y, 0.056)
    _bars(canvas, 0.51, 0.715, 0.24)
    if variant:
        canvas.solid(ellipse(0.5, 0.265, 0.022, 0.022), (226, 226, 224), 0.008)
    for x, y, r in ((0.12, 0.915, 0.05), (0.22, 0.935, 0.044), (0.84, 0.93, 0.048)):
        _bean(canvas, x, y, r)


def juice(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    # A bendy straw stands in the top.
    straw = stroke(
        0.045, (0.6032, 0.27), (0.6548, 0.1), (0.6892, 0.075), (0.801, 0.055), straight=True
    )
    canvas.solid(straw, (250, 250, 248), 0.012, 0.45, 0.3)
    for k in range(4):
        x, y = 0.655 + k * 0.012, 0.125 - k * 0.014
        canvas.fill(stroke(0.006, (x - 0.022, y), (x + 0.022, y + 0.006)), GREY, 0.9)
    side = polygon((0.6548, 0.3), (0.801, 0.25), (0.801, 0.89), (0.6548, 0.945))
    canvas.fill(side, mix(tones.base, tones.deep, 0.45))
    canvas.shade(side, "right", 0.35, 0.05)
    panel = polygon((0.6849, 0.6), (0.7752, 0.58), (0.7752, 0.8), (0.6849, 0.825), radius=0.012)
    canvas.fill(panel, PAPER, 0.85)
    top = polygon((0.2248, 0.3), (0.3882, 0.235), (0.801, 0.25), (0.6591, 0.305))
    canvas.fill(top, mix(tones.base, PAPER, 0.42))
    canvas.shade(top, "right", 0.2, 0.2)
    straw_foot = stroke(0.045, (0.5963, 0.275), (0.6247, 0.2), straight=True)
    canvas.fill(ellipse(0.5963, 0.277, 0.0344, 0.014), (120, 122, 128))
    canvas.solid(straw_foot, (250, 250, 248), 0.012, 0.45, 0.3)
    front = rect(0.2248, 0.3, 0.6634, 0.945, 0.006)
    surface.cover(front)
    surface.emblem(0.4441, 0.475, 0.27)
    # A halved citrus fruit at the foot.
    fruit = ellipse(0.4441, 0.83, 0.172, 0.2)
    inside = both(fruit, front)
    canvas.shadow(inside, front, 0.4, 0.012, 0.0, -0.006)
    canvas.fill(inside, (250, 214, 120))
    canvas.fill(both(ellipse(0.4441, 0.83, 0.1565, 0.182), front), PAPER)
    pulp = both(ellipse(0.4441, 0.83, 0.1419, 0.165), front)
    canvas.fill(pulp, (248, 190, 84))
    for tip in ((0.2936, 0.83), (0.3366, 0.7), (0.4441, 0.65), (0.5516, 0.7), (0.6032, 0.83)):
        canvas.fill(both(stroke(0.014, (0.4441, 0.83), tip, straight=True), front), PAPER)
    canvas.fill(both(ellipse(0.4441, 0.83, 0.0224, 0.026), front), PAPER)
    canvas.shade(front, "diagonal", 0.22, 0.18)
    canvas.bevel(front, 0.008, 0.2, 0.3)
    if variant:
        canvas.fill(rect(0.2248, 0.3, 0.6634, 0.325), PAPER, 0.8)


def _bars(canvas: Canvas, x: float, y: float, width: float, rows: int = 2) -> None:
    """Bars that stand for printed text."""
    for k in range(rows):
        wide = width * (1.0 if k == 0 else 0.62)
        canvas.fill(rect(x, y + k * 0.03, x + wide, y + k * 0.03 + 0.013, 0.006), GREY, 0.9)


def _bean(canvas: Canvas, x: float, y: float, r: float) -> None:
    bean = ellipse(x, y, r, r * 0.74)
    canvas.solid(bean, COCOA, 0.014, 0.6, 0.45)
    canvas.fill(
        stroke(
            r * 0.16, (x - r * 0.86, y + r * 0.05), (x, y - r * 0.1), (x + r * 0.86, y + r * 0.02)
        ),
        (42, 22, 14),
    )


DRAWERS = {
    "milk": milk,
    "coffee": coffee,
    "juice": juice,
}
