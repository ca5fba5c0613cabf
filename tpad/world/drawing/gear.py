"""Sports gear: one drawing function for each product type."""

from tpad.world.drawing.canvas import (
    Canvas,
    both,
    ellipse,
    minus,
    polygon,
    rect,
    smooth,
    stroke,
    union,
)
from tpad.world.drawing.materials import DARK, LIGHT, STEEL
from tpad.world.drawing.surface import Surface, mix


def ball(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    globe = ellipse(0.5, 0.5, 0.43, 0.43)
    surface.cover(globe, ("ball", 0.5, 0.5, 0.44))
    if variant:  # volleyball: panels
        lines = [
            ((0.5, 0.07), (0.36, 0.25), (0.3, 0.45), (0.34, 0.62)),
            ((0.08, 0.57), (0.25, 0.56), (0.5, 0.66), (0.72, 0.86)),
            ((0.92, 0.4), (0.74, 0.42), (0.68, 0.6), (0.5, 0.66)),
            ((0.17, 0.24), (0.28, 0.4), (0.3, 0.45)),
            ((0.74, 0.42), (0.7, 0.25), (0.6, 0.09)),
            ((0.34, 0.62), (0.36, 0.78), (0.46, 0.92)),
        ]
    else:  # basketball: a cross and two arcs
        lines = [
            ((0.5, 0.06), (0.485, 0.3), (0.485, 0.7), (0.5, 0.94)),
            ((0.06, 0.5), (0.3, 0.515), (0.7, 0.515), (0.94, 0.5)),
            ((0.2, 0.17), (0.31, 0.36), (0.31, 0.64), (0.2, 0.83)),
            ((0.8, 0.17), (0.69, 0.36), (0.69, 0.64), (0.8, 0.83)),
        ]
    for points in lines:
        seam = both(stroke(0.017, *points), globe)
        canvas.fill(seam, tones.deep)
    surface.emblem(0.5, 0.5, 0.3)
    canvas.shade(globe, "ball", 0.6, 0.5)
    canvas.bevel(globe, 0.05, 0.3, 0.0)


def racket(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    trim = mix(tones.base, tones.deep, 0.4)
    frame = ellipse(0.5, 0.355, 0.355, 0.32)
    # Throat and handle first: the head lies over them.
    for sign in (-1, 1):
        arm = stroke(
            0.05, (0.5 + sign * 0.25, 0.57), (0.5 + sign * 0.13, 0.67), (0.5 + sign * 0.035, 0.76)
        )
        canvas.solid(arm, trim, 0.016, 0.5, 0.5)
    shaft = rect(0.455, 0.72, 0.545, 0.82, 0.015)
    canvas.fill(shaft, trim)
    canvas.shade(shaft, "cylinder", 0.5, 0.5)
    grip = rect(0.445, 0.775, 0.555, 0.955, 0.025)
    canvas.fill(grip, DARK)
    for k in range(5):
        y = 0.795 + k * 0.033
        canvas.fill(
            both(stroke(0.008, (0.43, y + 0.02), (0.57, y - 0.01), straight=True), grip),
            (120, 124, 132),
        )
    canvas.shade(grip, "cylinder", 0.5, 0.35)
    collar = rect(0.438, 0.765, 0.562, 0.795, 0.012)
    canvas.fill(collar, LIGHT)
    canvas.shade(collar, "cylinder", 0.4, 0.2)
    canvas.fill(frame, trim)
    bed = ellipse(0.5, 0.355, 0.312, 0.277)
    surface.cover(bed)
    # The strings over the printed bed.
    for k in range(-7, 8):
        d = k * 0.043
        canvas.fill(both(rect(0.4975 + d, 0.0, 0.5025 + d, 0.7), bed), (255, 255, 255), 0.24)
        canvas.fill(both(rect(0.1, 0.3525 + d, 0.9, 0.3575 + d), bed), (255, 255, 255), 0.24)
    hoop = minus(frame, bed)
    canvas.shadow(hoop, bed, 0.5, 0.01)
    canvas.fill(hoop, trim)
    canvas.bevel(hoop, 0.018, 0.5, 0.65)
    if variant:
        cheeks = both(hoop, union(rect(0.1, 0.26, 0.3, 0.45), rect(0.7, 0.26, 0.9, 0.45)))
        canvas.fill(cheeks, LIGHT)
        canvas.bevel(cheeks, 0.01, 0.35, 0.0)
    surface.emblem(0.5, 0.355, 0.285)


def sports_bottle(canvas: Canvas, surface: Surface, variant: int) -> None:
    # Nozzle, cap, then the squeeze body with its grip waist.
    nozzle = polygon((0.44, 0.06), (0.56, 0.06), (0.585, 0.17), (0.415, 0.17), radius=0.025)
    canvas.fill(nozzle, LIGHT)
    canvas.shade(nozzle, "cylinder", 0.5, 0.3)
    canvas.fill(rect(0.43, 0.095, 0.57, 0.108), STEEL)
    lid = polygon(
        (0.36, 0.15),
        (0.64, 0.15),
        (0.735, 0.21),
        (0.735, 0.285),
        (0.265, 0.285),
        (0.265, 0.21),
        radius=0.025,
    )
    canvas.fill(lid, DARK)
    canvas.shade(lid, "cylinder", 0.5, 0.45)
    for k in range(11):
        x = 0.285 + k * 0.0415
        canvas.fill(rect(x, 0.225, x + 0.014, 0.28, 0.005), (0, 0, 0), 0.35)
    body = smooth(
        (0.28, 0.285),
        (0.4, 0.28),
        (0.6, 0.28),
        (0.72, 0.285),
        (0.765, 0.33),
        (0.765, 0.38),
        (0.715, 0.425),
        (0.715, 0.465),
        (0.765, 0.51),
        (0.77, 0.7),
        (0.765, 0.88),
        (0.72, 0.94),
        (0.5, 0.955),
        (0.28, 0.94),
        (0.235, 0.88),
        (0.23, 0.7),
        (0.235, 0.51),
        (0.285, 0.465),
        (0.285, 0.425),
        (0.235, 0.38),
        (0.235, 0.33),
    )
    surface.cover(body, ("cylinder", 0.5, 0.29, 0.02))
    waist = both(rect(0.1, 0.415, 0.9, 0.475, 0.02), body)
    canvas.fill(waist, (0, 0, 0), 0.2)
    surface.emblem(0.5, 0.67, 0.29)
    canvas.shade(body, "cylinder", 0.55, 0.6)
    canvas.bevel(body, 0.02, 0.25, 0.1)
    if variant:
        for k in range(5):
            y = 0.55 + k * 0.07
            canvas.fill(rect(0.69, y, 0.735, y + 0.009), LIGHT, 0.9)


def backpack(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    trim = mix(tones.base, tones.deep, 0.55)
    handle = stroke(0.036, (0.4, 0.14), (0.42, 0.065), (0.5, 0.05), (0.58, 0.065), (0.6, 0.14))
    canvas.solid(handle, trim, 0.012, 0.5, 0.4)
    for sign in (-1, 1):
        strap = stroke(
            0.06,
            (0.5 + sign * 0.24, 0.2),
            (0.5 + sign * 0.37, 0.36),
            (0.5 + sign * 0.4, 0.6),
            (0.5 + sign * 0.34, 0.84),
        )
        canvas.solid(strap, trim, 0.02, 0.5, 0.4)
        pouch = rect(0.5 + sign * 0.335 - 0.07, 0.6, 0.5 + sign * 0.335 + 0.07, 0.9, 0.04)
        canvas.solid(pouch, mix(tones.base, tones.deep, 0.7), 0.02, 0.4, 0.3)
    body = polygon(
        (0.2, 0.3),
        (0.24, 0.13),
        (0.38, 0.09),
        (0.62, 0.09),
        (0.76, 0.13),
        (0.8, 0.3),
        (0.82, 0.9),
        (0.76, 0.95),
        (0.24, 0.95),
        (0.18, 0.9),
        radius=0.08,
    )
    surface.cover(body)
    canvas.bevel(body, 0.045, 0.42, 0.45)
    canvas.shade(body, "diagonal", 0.25, 0.16)
    zipper = stroke(
        0.016,
        (0.235, 0.5),
        (0.24, 0.27),
        (0.32, 0.165),
        (0.5, 0.14),
        (0.68, 0.165),
        (0.76, 0.27),
        (0.765, 0.5),
    )
    canvas.fill(zipper, tones.deep)
    pull = rect(0.75, 0.43, 0.782, 0.52, 0.012)
    canvas.solid(pull, STEEL, 0.008)
    surface.emblem(0.5, 0.365, 0.28)
    # The front pocket.
    pocket = rect(0.245, 0.59, 0.755, 0.905, 0.07)
    canvas.shadow(pocket, body, 0.6, 0.018, 0.004, 0.01)
    surface.cover(pocket)
    canvas.bevel(pocket, 0.028, 0.4, 0.45)
    canvas.shade(pocket, "down", 0.25, 0.15)
    canvas.fill(stroke(0.015, (0.275, 0.665), (0.5, 0.652), (0.725, 0.665)), tones.deep)
    tag = rect(0.31, 0.66, 0.335, 0.74, 0.01)
    canvas.solid(tag, STEEL, 0.007)
    if variant:
        for x in (0.33, 0.645):
            web = rect(x, 0.845, x + 0.03, 0.94, 0.005)
            canvas.solid(web, trim, 0.006, 0.3, 0.3)


DRAWERS = {
    "ball": ball,
    "racket": racket,
    "sports bottle": sports_bottle,
    "backpack": backpack,
}
