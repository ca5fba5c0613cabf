"""Food: one drawing function for each product type."""

from tpad.world.drawing.canvas import (
    Canvas,
    both,
    ellipse,
    minus,
    polygon,
    rect,
    ring,
    stroke,
    union,
)
from tpad.world.drawing.materials import COCOA, GREY, METAL, PAPER, WAFER
from tpad.world.drawing.surface import Surface, mix


def cereal(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    side = polygon((0.71, 0.09), (0.87, 0.13), (0.87, 0.89), (0.71, 0.94))
    canvas.fill(side, mix(tones.base, tones.deep, 0.45))
    canvas.fill(polygon((0.745, 0.5), (0.84, 0.505), (0.84, 0.81), (0.745, 0.83)), PAPER, 0.85)
    for k in range(6):
        y = 0.54 + k * 0.043
        canvas.fill(polygon((0.76, y), (0.826, y), (0.826, y + 0.012), (0.76, y + 0.014)), GREY)
    canvas.shade(side, "right", 0.35, 0.0)
    top = polygon((0.13, 0.09), (0.28, 0.055), (0.87, 0.13), (0.71, 0.1))
    canvas.fill(top, mix(tones.base, PAPER, 0.35))
    front = rect(0.13, 0.085, 0.715, 0.94, 0.008)
    surface.cover(front)
    surface.emblem(0.42, 0.44, 0.29)
    # Name plate above, a bowl of flakes below.
    plate = rect(0.185, 0.14, 0.66, 0.255, 0.03)
    canvas.fill(plate, PAPER)
    canvas.bevel(plate, 0.006, 0.3, 0.0)
    canvas.fill(rect(0.225, 0.17, 0.62, 0.205, 0.015), tones.deep)
    canvas.fill(rect(0.29, 0.219, 0.555, 0.235, 0.008), GREY)
    bowl = both(ellipse(0.42, 0.755, 0.22, 0.155), rect(0.1, 0.75, 0.8, 0.95))
    canvas.shadow(bowl, front, 0.4)
    milk_top = ellipse(0.42, 0.755, 0.22, 0.05)
    canvas.fill(milk_top, (252, 250, 244))
    flakes = ((0.29, 0.745), (0.345, 0.722), (0.4, 0.745), (0.45, 0.718), (0.5, 0.742))
    for k, (x, y) in enumerate((*flakes, (0.555, 0.752), (0.355, 0.765), (0.47, 0.768))):
        flake = ellipse(x, y, 0.04, 0.026)
        canvas.solid(flake, WAFER if k % 2 else (230, 182, 108), 0.01, 0.45, 0.4)
    canvas.fill(bowl, PAPER)
    canvas.shade(bowl, "right", 0.35, 0.2)
    canvas.bevel(bowl, 0.012, 0.25, 0.0)
    if variant:
        spoon = stroke(0.026, (0.6, 0.745), (0.68, 0.64), straight=True)
        canvas.solid(both(spoon, front), METAL, 0.008)
    canvas.bevel(front, 0.008, 0.25, 0.35)
    canvas.shade(front, "diagonal", 0.2, 0.16)


def jam(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    # Glass, fruit, then the label; the lid on top.
    glass = union(rect(0.15, 0.25, 0.85, 0.945, 0.12), rect(0.23, 0.18, 0.77, 0.4, 0.03))
    canvas.fill(glass, (212, 222, 228))
    canvas.bevel(glass, 0.02, 0.35, 0.2)
    fruit = union(rect(0.175, 0.29, 0.825, 0.925, 0.1), rect(0.25, 0.24, 0.75, 0.4, 0.03))
    canvas.fill(fruit, mix(tones.base, tones.deep, 0.42))
    for x, y, r in (
        (0.24, 0.33, 0.035),
        (0.36, 0.29, 0.03),
        (0.55, 0.3, 0.036),
        (0.72, 0.33, 0.04),
    ):
        canvas.fill(ellipse(x, y, r, r * 0.8), mix(tones.base, tones.deep, 0.7))
    canvas.shade(fruit, "cylinder", 0.5, 0.35)
    paper = polygon((0.155, 0.375), (0.845, 0.375), (0.845, 0.87), (0.155, 0.87))
    canvas.fill(paper, PAPER)
    label = rect(0.155, 0.4, 0.845, 0.845)
    surface.cover(label, ("cylinder", 0.5, 0.36, 0.0))
    surface.emblem(0.5, 0.622, 0.29)
    canvas.shade(paper, "cylinder", 0.42, 0.3)
    streak = rect(0.2, 0.3, 0.23, 0.9, 0.015)
    canvas.fill(streak, (255, 255, 255), 0.35)
    lid = rect(0.19, 0.075, 0.81, 0.225, 0.03)
    canvas.shadow(lid, glass, 0.5)
    surface.cover(lid, ("cylinder", 0.5, 0.33, 0.0))
    canvas.shade(lid, "cylinder", 0.6, 0.45)
    for k in range(14):
        x = 0.215 + k * 0.0435
        canvas.fill(rect(x, 0.165, x + 0.012, 0.222), (0, 0, 0), 0.16)
    canvas.shade(lid, "top", 0.0, 0.35)
    if variant:
        canvas.fill(rect(0.19, 0.152, 0.81, 0.164), PAPER, 0.75)


def chocolate(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    # The bar looks out of torn foil, the paper sleeve below.
    bar = rect(0.266, 0.05, 0.734, 0.45, 0.02)
    canvas.solid(bar, COCOA, 0.012, 0.5, 0.3)
    for row in range(2):
        for column in range(3):
            x, y = 0.262 + column * 0.162, 0.07 + row * 0.135
            piece = rect(x, y, x + 0.15, y + 0.122, 0.012)
            canvas.solid(piece, (112, 68, 44), 0.016, 0.5, 0.55)
    teeth = [(0.2345, 0.31)]
    for k in range(10):
        teeth.append((0.205 + (k + 0.5) * 0.059, 0.245 if k % 2 else 0.29))
    foil = polygon(*teeth, (0.7655, 0.3), (0.7655, 0.45), (0.2345, 0.45))
    canvas.shadow(foil, bar, 0.6, 0.015, 0.0, -0.01)
    canvas.fill(foil, (206, 209, 214))
    canvas.shade(foil, "cylinder", 0.5, 0.8)
    sleeve = rect(0.221, 0.345, 0.779, 0.9, 0.012)
    canvas.shadow(sleeve, foil, 0.5, 0.012, 0.0, -0.01)
    ends = [(0.2345, 0.88), (0.7655, 0.88)]
    for k in range(12):
        ends.append((0.795 - (k + 0.5) * 0.0492, 0.955 if k % 2 == 0 else 0.925))
    tail = polygon(*ends)
    canvas.fill(tail, (206, 209, 214))
    canvas.shade(tail, "cylinder", 0.5, 0.8)
    surface.cover(sleeve)
    canvas.bevel(sleeve, 0.022, 0.4, 0.45)
    surface.emblem(0.5, 0.55, 0.29)
    plate = rect(0.221, 0.745, 0.779, 0.845)
    canvas.fill(plate, PAPER)
    canvas.fill(rect(0.293, 0.768, 0.707, 0.8, 0.014), tones.deep)
    canvas.fill(rect(0.374, 0.813, 0.626, 0.827, 0.006), GREY)
    canvas.shade(sleeve, "cylinder", 0.26, 0.24)
    if variant:
        canvas.fill(rect(0.221, 0.365, 0.779, 0.38), tones.deep, 0.7)


def soup(canvas: Canvas, surface: Surface, variant: int) -> None:
    body = union(rect(0.15, 0.16, 0.85, 0.86), ellipse(0.5, 0.86, 0.35, 0.085))
    canvas.fill(body, METAL)
    canvas.shade(body, "cylinder", 0.65, 0.8)
    warp = ("cylinder", 0.5, 0.36, 0.06)
    curved = union(rect(0.158, 0.21, 0.842, 0.82), ellipse(0.5, 0.82, 0.342, 0.08))
    label = minus(curved, ellipse(0.5, 0.205, 0.36, 0.08))
    surface.cover(label, warp)
    # A white belly band along the foot with a steaming bowl.
    low = minus(
        union(rect(0.158, 0.66, 0.842, 0.8), ellipse(0.5, 0.8, 0.342, 0.08)),
        ellipse(0.5, 0.655, 0.342, 0.08),
    )
    canvas.fill(low, PAPER)
    surface.emblem(0.5, 0.47, 0.3)
    bowl = both(ellipse(0.5, 0.765, 0.115, 0.09), rect(0.3, 0.765, 0.7, 0.9))
    canvas.fill(bowl, surface.tones.deep)
    canvas.fill(ellipse(0.5, 0.767, 0.115, 0.018), WAFER)
    canvas.shade(label, "cylinder", 0.42, 0.4)
    # Lid: outer rim, sunken plate, pull ring.
    rim = ellipse(0.5, 0.155, 0.365, 0.09)
    canvas.fill(rim, (226, 229, 233))
    canvas.bevel(rim, 0.008, 0.7, 0.0)
    plate = ellipse(0.5, 0.152, 0.325, 0.072)
    canvas.fill(plate, (176, 180, 187))
    canvas.shade(plate, "right", 0.35, 0.6)
    canvas.bevel(ellipse(0.5, 0.155, 0.25, 0.05), 0.006, 0.0, 0.5)
    tab = ring(0.53, 0.142, 0.105, 0.032, 0.02)
    canvas.shadow(tab, plate, 0.5, 0.008)
    canvas.solid(tab, (236, 238, 241), 0.006, 0.5, 0.3)
    canvas.solid(ellipse(0.44, 0.142, 0.035, 0.016), (214, 217, 222), 0.006)
    if variant:
        hoop = minus(
            union(rect(0.15, 0.8, 0.85, 0.868), ellipse(0.5, 0.868, 0.35, 0.085)),
            ellipse(0.5, 0.845, 0.36, 0.085),
        )
        canvas.fill(both(hoop, body), (226, 229, 233))
        canvas.shade(both(hoop, body), "cylinder", 0.6, 0.5)


def ice_cream(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    tub = union(
        polygon((0.1, 0.45), (0.9, 0.45), (0.81, 0.9), (0.19, 0.9)),
        ellipse(0.5, 0.9, 0.31, 0.05),
    )
    # Inside the open tub: a wafer and three scoops.
    mouth = ellipse(0.5, 0.42, 0.42, 0.1)
    canvas.solid(mouth, mix(tones.base, PAPER, 0.4), 0.012)
    canvas.fill(ellipse(0.5, 0.42, 0.39, 0.085), (206, 190, 170))
    wafer = polygon((0.68, 0.08), (0.82, 0.13), (0.7, 0.42), (0.56, 0.38), radius=0.02)
    canvas.solid(wafer, WAFER, 0.01, 0.4, 0.4)
    for a, b in (
        ((0.65, 0.16), (0.79, 0.21)),
        ((0.62, 0.25), (0.75, 0.3)),
        ((0.75, 0.11), (0.63, 0.4)),
    ):
        canvas.fill(both(stroke(0.012, a, b, straight=True), wafer), (158, 106, 52))
    scoops = ((0.3, 0.335, 0.165), (0.665, 0.35, 0.16), (0.475, 0.235, 0.175))
    creams = ((250, 238, 210), (240, 226, 204), (255, 248, 232))
    for (x, y, r), cream in zip(scoops, creams, strict=True):
        scoop = union(ellipse(x, y, r, r), ellipse(x, y + r * 0.62, r * 1.1, r * 0.34))
        canvas.fill(scoop, cream)
        canvas.shade(scoop, "ball", 0.42, 0.5)
        canvas.bevel(scoop, 0.02, 0.22, 0.0)
    if variant:
        for x, y in (
            (0.42, 0.15),
            (0.5, 0.2),
            (0.56, 0.14),
            (0.27, 0.27),
            (0.7, 0.29),
            (0.47, 0.28),
        ):
            canvas.fill(ellipse(x, y, 0.016, 0.012), COCOA)
    front = minus(union(tub, rect(0.1, 0.42, 0.9, 0.47)), ellipse(0.5, 0.425, 0.385, 0.075))
    wall = both(front, union(tub, ellipse(0.5, 0.45, 0.4, 0.09)))
    surface.cover(wall, ("cylinder", 0.5, 0.42, 0.05))
    surface.emblem(0.5, 0.71, 0.29)
    canvas.shade(wall, "cylinder", 0.5, 0.35)
    lip = minus(
        both(ellipse(0.5, 0.43, 0.425, 0.108), rect(0, 0.43, 1, 1)),
        ellipse(0.5, 0.418, 0.405, 0.085),
    )
    canvas.fill(lip, PAPER)
    canvas.shade(lip, "cylinder", 0.35, 0.2)


DRAWERS = {
    "cereal": cereal,
    "jam": jam,
    "chocolate": chocolate,
    "soup": soup,
    "ice cream": ice_cream,
}
