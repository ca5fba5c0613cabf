"""Colours of materials that do not depend on the product: metal, glass, paper and the like."""

METAL = (196, 200, 206)
STEEL = (150, 155, 163)
DARK = (44, 46, 52)
GLASS = (24, 27, 34)
LIGHT = (238, 239, 240)
PAPER = (250, 248, 242)
GREY = (150, 150, 152)
WAFER = (214, 160, 92)
COCOA = (92, 54, 34)
SOLE = (246, 246, 243)
