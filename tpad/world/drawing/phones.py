"""Phones and accessories: one drawing function for each product type."""

from tpad.world.drawing.canvas import (
    Canvas,
    ellipse,
    minus,
    polygon,
    rect,
    ring,
    stroke,
)
from tpad.world.drawing.materials import DARK, GLASS, LIGHT, METAL, STEEL
from tpad.world.drawing.surface import Surface, mix


def lens(canvas: Canvas, cx: float, cy: float, r: float) -> None:
    """A camera lens: metal ring, dark glass, a glint."""
    canvas.solid(ellipse(cx, cy, r, r), STEEL, 0.008)
    canvas.fill(ellipse(cx, cy, r * 0.8, r * 0.8), (14, 15, 20))
    canvas.fill(ellipse(cx, cy, r * 0.48, r * 0.48), (38, 44, 66))
    canvas.fill(ellipse(cx - r * 0.25, cy - r * 0.28, r * 0.18, r * 0.18), (214, 224, 240))


def phone(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    # Behind: the same phone from the front.
    front = rect(0.43, 0.1, 0.86, 0.9, 0.07)
    canvas.solid(front, mix(tones.base, (120, 124, 132), 0.45), 0.01)
    screen = rect(0.445, 0.115, 0.845, 0.885, 0.058)
    canvas.fill(screen, GLASS)
    canvas.fill(rect(0.46, 0.13, 0.83, 0.87, 0.045), (66, 72, 88))
    canvas.shade(rect(0.46, 0.13, 0.83, 0.87, 0.045), "down", 0.55, 0.2)
    canvas.fill(rect(0.725, 0.145, 0.785, 0.165, 0.01), GLASS)
    for row in range(3):
        for column in range(2):
            x, y = 0.69 + column * 0.07, 0.55 + row * 0.075
            canvas.fill(rect(x, y, x + 0.05, y + 0.052, 0.014), (226, 230, 238), 0.75)
    canvas.fill(rect(0.69, 0.24, 0.8, 0.275, 0.008), (240, 242, 246), 0.9)
    canvas.fill(rect(0.69, 0.295, 0.76, 0.31, 0.006), (240, 242, 246), 0.6)
    canvas.shade(screen, "gloss", 0, 0.12)
    # Before it: the back.
    edge = rect(0.13, 0.07, 0.645, 0.945, 0.085)
    canvas.shadow(edge, front, 0.6, 0.02, 0.018, 0.012)
    canvas.solid(edge, mix(tones.base, STEEL, 0.35), 0.012, 0.55, 0.5)
    canvas.fill(rect(0.643, 0.3, 0.653, 0.4, 0.004), STEEL)
    back = rect(0.143, 0.083, 0.632, 0.932, 0.075)
    surface.cover(back)
    canvas.bevel(back, 0.02, 0.28, 0.35)
    surface.emblem(0.387, 0.58, 0.27)
    canvas.shade(back, "diagonal", 0.3, 0.2)
    canvas.shade(back, "gloss", 0, 0.1)
    if variant:
        bump = rect(0.17, 0.112, 0.385, 0.327, 0.055)
        spots = [(0.23, 0.172), (0.23, 0.267), (0.325, 0.22)]
    else:
        bump = rect(0.17, 0.112, 0.29, 0.36, 0.055)
        spots = [(0.23, 0.174), (0.23, 0.296)]
    canvas.shadow(bump, back, 0.55)
    canvas.solid(bump, mix(tones.base, tones.deep, 0.3), 0.01, 0.4, 0.55)
    for x, y in spots:
        lens(canvas, x, y, 0.044)
    canvas.fill(ellipse(0.325, 0.145, 0.013, 0.013), (255, 246, 214))


def phone_case(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    # The phone slides out of the top.
    handset = rect(0.235, 0.06, 0.765, 0.7, 0.075)
    canvas.solid(handset, (118, 122, 130), 0.012, 0.5, 0.6)
    canvas.fill(rect(0.248, 0.073, 0.752, 0.69, 0.066), (72, 76, 84))
    canvas.shade(rect(0.248, 0.073, 0.752, 0.69, 0.066), "diagonal", 0.3, 0.25)
    plate = rect(0.285, 0.1, 0.47, 0.27, 0.045)
    canvas.solid(plate, (52, 55, 62), 0.01)
    for x, y in ((0.333, 0.148), (0.333, 0.222), (0.42, 0.185)):
        lens(canvas, x, y, 0.036)
    # The shell with its camera window; the lower side shows the bumper's thickness.
    outer = rect(0.2, 0.2, 0.8, 0.94, 0.1)
    canvas.shadow(outer, handset, 0.5, 0.02, 0.0, -0.02)
    canvas.solid(outer, mix(tones.base, tones.deep, 0.38), 0.014, 0.5, 0.4)
    for y0, y1 in ((0.4, 0.47), (0.5, 0.57)):
        canvas.solid(rect(0.188, y0, 0.206, y1, 0.008), tones.deep, 0.006)
    shell = rect(0.22, 0.218, 0.78, 0.92, 0.085)
    window = rect(0.265, 0.258, 0.495, 0.445, 0.055)
    surface.cover(minus(shell, window))
    surface.emblem(0.5, 0.645, 0.28)
    canvas.bevel(shell, 0.022, 0.32, 0.42)
    canvas.shade(shell, "diagonal", 0.26, 0.16)
    rim = minus(rect(0.252, 0.245, 0.508, 0.458, 0.065), window)
    canvas.solid(rim, mix(tones.base, tones.deep, 0.38), 0.01, 0.3, 0.6)
    canvas.fill(window, (58, 61, 68))
    canvas.shade(window, "cast", 0.65, 0.0)
    canvas.solid(rect(0.44, 0.86, 0.56, 0.885, 0.012), tones.deep, 0.005)
    if variant:
        cord = stroke(0.018, (0.76, 0.9), (0.85, 0.86), (0.87, 0.72), (0.83, 0.6), (0.79, 0.55))
        canvas.solid(cord, tones.deep, 0.008)


def charger(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    for x in (0.33, 0.59):
        pin = rect(x, 0.07, x + 0.075, 0.4, 0.035 if variant else 0.012)
        canvas.fill(pin, METAL)
        canvas.shade(pin, "cylinder", 0.6, 0.8)
        if variant:
            sleeve = rect(x, 0.2, x + 0.075, 0.4)
            canvas.fill(sleeve, DARK)
            canvas.shade(sleeve, "cylinder", 0.5, 0.4)
        else:
            canvas.fill(ellipse(x + 0.0375, 0.13, 0.016, 0.016), (90, 94, 102))
    base = rect(0.23, 0.255, 0.77, 0.4, 0.05)
    canvas.solid(base, LIGHT, 0.02, 0.35, 0.3)
    canvas.shade(base, "cylinder", 0.4, 0.2)
    side = polygon((0.72, 0.31), (0.87, 0.345), (0.87, 0.885), (0.72, 0.93), radius=0.04)
    canvas.solid(side, mix(tones.base, tones.deep, 0.55), 0.015, 0.4, 0.15)
    body = rect(0.13, 0.305, 0.79, 0.935, 0.09)
    surface.cover(body)
    surface.emblem(0.46, 0.57, 0.29)
    canvas.bevel(body, 0.035, 0.34, 0.5)
    canvas.shade(body, "diagonal", 0.3, 0.2)
    socket = rect(0.35, 0.8, 0.57, 0.875, 0.0375)
    canvas.fill(socket, (226, 228, 231))
    canvas.bevel(socket, 0.008, 0.2, 0.5)
    canvas.fill(rect(0.372, 0.818, 0.548, 0.857, 0.0195), (30, 32, 38))
    canvas.fill(rect(0.4, 0.834, 0.52, 0.842), STEEL)
    canvas.fill(ellipse(0.68, 0.838, 0.016, 0.016), (196, 246, 222))


def cable(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    cord = mix(tones.base, tones.deep, 0.12)
    # Both ends hang below the coil.
    for sign in (-1, 1):
        end = stroke(
            0.05,
            (0.5 + sign * 0.3, 0.5),
            (0.5 + sign * 0.345, 0.6),
            (0.5 + sign * 0.32, 0.68),
            (0.5 + sign * 0.3, 0.74),
        )
        canvas.solid(end, cord, 0.014, 0.6, 0.55)
    for r in (0.385, 0.34, 0.295):
        loop = ring(0.5, 0.445, r, r, 0.054)
        canvas.fill(loop, cord)
        canvas.bevel(loop, 0.016, 0.75, 0.6)
    # Plugs: a grip in white or dark plastic, then the metal tongue.
    grip = DARK if surface.look.colour == "white" else LIGHT
    for sign in (-1, 1):
        x = 0.5 + sign * 0.3
        tongue = rect(x - 0.042, 0.87, x + 0.042, 0.955, 0.018)
        canvas.fill(tongue, METAL)
        canvas.shade(tongue, "cylinder", 0.6, 0.7)
        if variant:
            for dx in (-0.018, 0.018):
                canvas.fill(rect(x + dx - 0.008, 0.9, x + dx + 0.008, 0.916), (80, 84, 92))
        neck = rect(x - 0.03, 0.7, x + 0.03, 0.78, 0.01)
        canvas.fill(neck, mix(grip, (120, 122, 128), 0.3))
        canvas.shade(neck, "cylinder", 0.6, 0.5)
        body = rect(x - 0.062, 0.755, x + 0.062, 0.885, 0.02)
        canvas.fill(body, grip)
        canvas.shade(body, "cylinder", 0.5, 0.6)
        for y in (0.715, 0.735):
            canvas.fill(rect(x - 0.03, y, x + 0.03, y + 0.007), (90, 92, 98), 0.7)
    # The winder in the coil's middle carries pattern and emblem.
    disc = ellipse(0.5, 0.445, 0.285, 0.285)
    coil = ring(0.5, 0.445, 0.385, 0.385, 0.14)
    canvas.shadow(disc, coil, 0.6, 0.015)
    surface.cover(disc)
    canvas.bevel(disc, 0.026, 0.4, 0.5)
    canvas.shade(disc, "diagonal", 0.25, 0.2)
    surface.emblem(0.5, 0.445, 0.27)


def headphones(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    # The far cup, seen from its cushion.
    far = ellipse(0.79, 0.62, 0.12, 0.235)
    canvas.fill(far, mix(tones.base, tones.deep, 0.4))
    canvas.bevel(far, 0.03, 0.5, 0.2)
    pad = ellipse(0.752, 0.625, 0.105, 0.21)
    canvas.solid(pad, DARK, 0.035, 0.6, 0.35)
    canvas.fill(ellipse(0.735, 0.63, 0.055, 0.13), (18, 19, 23))
    # Headband: the inner cushion, then the shell.
    arch = [(0.34, 0.5), (0.3, 0.31), (0.4, 0.15), (0.58, 0.115), (0.74, 0.2), (0.8, 0.34)]
    arch += [(0.805, 0.48)]
    inner = stroke(0.085, *((x + 0.0, y + 0.035) for x, y in arch[1:6]))
    canvas.solid(inner, DARK, 0.03, 0.6, 0.4)
    steel = stroke(0.034, *arch)
    canvas.solid(steel, STEEL, 0.01, 0.5, 0.7)
    band = stroke(0.1, *arch[1:6])
    surface.cover(band)
    canvas.bevel(band, 0.03, 0.55, 0.55)
    # The near cup: cushion behind, shell before.
    cushion = ellipse(0.405, 0.635, 0.275, 0.3)
    canvas.solid(cushion, DARK, 0.04, 0.6, 0.45)
    shell = ellipse(0.35, 0.63, 0.275, 0.3)
    canvas.shadow(shell, cushion, 0.7, 0.015, 0.012, 0.004)
    surface.cover(shell)
    canvas.bevel(shell, 0.04, 0.45, 0.55)
    canvas.shade(shell, "ball", 0.3, 0.25)
    surface.emblem(0.345, 0.63, 0.29)
    canvas.bevel(ring(0.35, 0.63, 0.215, 0.24, 0.014), 0.008, 0.4, 0.0)
    if variant:
        canvas.fill(ellipse(0.36, 0.905, 0.012, 0.012), (196, 246, 222))


def power_bank(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    side = polygon((0.7, 0.14), (0.83, 0.1), (0.83, 0.88), (0.7, 0.94), radius=0.045)
    canvas.solid(side, mix(tones.base, tones.deep, 0.6), 0.02, 0.4, 0.1)
    top = polygon((0.19, 0.2), (0.31, 0.075), (0.83, 0.085), (0.76, 0.24), radius=0.05)
    canvas.solid(top, mix(tones.base, tones.deep, 0.3), 0.015, 0.3, 0.4)
    for x0, x1 in ((0.33, 0.47), (0.53, 0.67)):
        port = polygon((x0, 0.16), (x0 + 0.022, 0.116), (x1 + 0.022, 0.118), (x1, 0.162))
        canvas.fill(port, (216, 219, 224))
        canvas.fill(
            polygon(
                (x0 + 0.018, 0.154), (x0 + 0.033, 0.124), (x1 + 0.006, 0.126), (x1 - 0.01, 0.156)
            ),
            (20, 22, 27),
        )
    body = rect(0.17, 0.185, 0.76, 0.945, 0.07)
    surface.cover(body)
    surface.emblem(0.465, 0.5, 0.29)
    canvas.bevel(body, 0.026, 0.32, 0.5)
    canvas.shade(body, "diagonal", 0.3, 0.2)
    # Charge level lights in a dark window, and the button at the side.
    gauge = rect(0.27, 0.795, 0.66, 0.87, 0.0375)
    canvas.solid(gauge, (26, 28, 33), 0.006, 0.2, 0.4)
    for k in range(4):
        lit = (150, 250, 200) if k < 3 - variant else (70, 76, 84)
        canvas.fill(rect(0.31 + k * 0.082, 0.822, 0.365 + k * 0.082, 0.843, 0.0105), lit)
    canvas.solid(rect(0.775, 0.3, 0.795, 0.42, 0.01), STEEL, 0.006)


def smartwatch(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    for points in (
        ((0.32, 0.3), (0.345, 0.045), (0.655, 0.045), (0.68, 0.3)),
        ((0.32, 0.7), (0.345, 0.955), (0.655, 0.955), (0.68, 0.7)),
    ):
        strap = polygon(*points, radius=0.04)
        surface.cover(strap)
        canvas.bevel(strap, 0.025, 0.45, 0.45)
        canvas.shade(strap, "up" if points[0][1] < 0.5 else "down", 0.4, 0.2)
    for k in range(3):
        canvas.fill(ellipse(0.5, 0.925 - k * 0.04, 0.014, 0.01), tones.deep)
    canvas.fill(rect(0.37, 0.07, 0.63, 0.09, 0.01), STEEL)
    crown = rect(0.8, 0.4, 0.845, 0.5, 0.016)
    canvas.solid(crown, STEEL, 0.012, 0.5, 0.5)
    canvas.solid(rect(0.805, 0.55, 0.825, 0.64, 0.01), STEEL, 0.008)
    case = ellipse(0.5, 0.5, 0.33, 0.33) if variant else rect(0.185, 0.19, 0.815, 0.81, 0.17)
    canvas.solid(case, (174, 178, 185), 0.022, 0.6, 0.8)
    glass = ellipse(0.5, 0.5, 0.298, 0.298) if variant else rect(0.212, 0.217, 0.788, 0.783, 0.145)
    canvas.fill(glass, (12, 13, 17))
    dial = ellipse(0.5, 0.5, 0.27, 0.27) if variant else rect(0.236, 0.241, 0.764, 0.759, 0.12)
    surface.cover(dial)
    canvas.shade(dial, "diagonal", 0.2, 0.12)
    for x, y, wide, high in (
        (0.5, 0.275, 0.012, 0.025),
        (0.5, 0.725, 0.012, 0.025),
        (0.275, 0.5, 0.025, 0.012),
        (0.725, 0.5, 0.025, 0.012),
    ):
        canvas.fill(
            rect(x - wide - 0.006, y - high - 0.006, x + wide + 0.006, y + high + 0.006), tones.deep
        )
        canvas.fill(rect(x - wide, y - high, x + wide, y + high, 0.004), LIGHT)
    if surface.look.emblem == "none":
        for tip, width in (((0.39, 0.42), 0.036), ((0.63, 0.36), 0.028)):
            canvas.fill(stroke(width + 0.014, (0.5, 0.5), tip, straight=True), tones.deep)
            canvas.fill(stroke(width - 0.004, (0.5, 0.5), tip, straight=True), LIGHT)
        canvas.fill(ellipse(0.5, 0.5, 0.03, 0.03), tones.deep)
    surface.emblem(0.5, 0.5, 0.29)
    canvas.shade(glass, "gloss", 0, 0.16)


def speaker(canvas: Canvas, surface: Surface, variant: int) -> None:
    tones = surface.tones
    side = polygon((0.74, 0.08), (0.87, 0.13), (0.87, 0.89), (0.74, 0.945), radius=0.03)
    canvas.solid(side, mix(tones.base, tones.deep, 0.6), 0.012, 0.4, 0.1)
    body = rect(0.14, 0.065, 0.78, 0.945, 0.06)
    surface.cover(body)
    canvas.bevel(body, 0.022, 0.32, 0.5)
    canvas.shade(body, "diagonal", 0.26, 0.18)
    if surface.look.emblem == "none":
        _driver(canvas, 0.46, 0.235, 0.1)
    surface.emblem(0.46, 0.235, 0.27)
    _driver(canvas, 0.46, 0.64, 0.235)
    if variant:
        for x in (0.2, 0.72):
            for y in (0.13, 0.88):
                canvas.solid(ellipse(x, y, 0.02, 0.02), STEEL, 0.008)
    else:
        canvas.fill(rect(0.4, 0.905, 0.52, 0.92, 0.007), LIGHT, 0.9)


def _driver(canvas: Canvas, cx: float, cy: float, r: float) -> None:
    """A loudspeaker cone in its frame."""
    canvas.solid(ellipse(cx, cy, r, r), (70, 73, 80), 0.014, 0.5, 0.7)
    canvas.fill(ellipse(cx, cy, r * 0.88, r * 0.88), (20, 21, 25))
    cone = ellipse(cx, cy, r * 0.76, r * 0.76)
    canvas.fill(cone, (52, 54, 60))
    canvas.shade(cone, "up", 0.5, 0.35)
    dome = ellipse(cx, cy, r * 0.34, r * 0.34)
    canvas.fill(dome, (74, 77, 84))
    canvas.shade(dome, "ball", 0.6, 0.7)


DRAWERS = {
    "phone": phone,
    "phone case": phone_case,
    "charger": charger,
    "cable": cable,
    "headphones": headphones,
    "power bank": power_bank,
    "smartwatch": smartwatch,
    "speaker": speaker,
}
