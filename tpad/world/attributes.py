"""The attributes of the demo shop's products, and the combinations that shops may use.

Colour, pattern and emblem can only be *seen* in the picture; the spec (a compatible phone series, a
flavour or a size) can only be *read* in the text. The type can be seen and is usually named as well. The
occasion (what the product is for) is read too, but never named; see `tpad.world.occasions`.
"""

import zlib
from dataclasses import dataclass
from itertools import product

TYPES: dict[str, tuple[str, ...]] = {
    "phones": (
        "phone",
        "phone case",
        "charger",
        "cable",
        "headphones",
        "power bank",
        "smartwatch",
        "speaker",
    ),
    "groceries": (
        "cereal",
        "milk",
        "jam",
        "coffee",
        "juice",
        "chocolate",
        "soup",
        "ice cream",
    ),
    "sports": (
        "jersey",
        "shorts",
        "shoe",
        "cap",
        "ball",
        "racket",
        "sports bottle",
        "backpack",
    ),
}
DEPARTMENT_OF = {kind: department for department, kinds in TYPES.items() for kind in kinds}
ALL_TYPES = tuple(DEPARTMENT_OF)

COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "teal",
    "blue",
    "purple",
    "pink",
    "black",
    "white",
)
PATTERNS = ("plain", "striped", "dotted", "checked", "zigzag")
EMBLEMS = ("none", "star", "heart", "bolt", "leaf")

SPEC_NAME = {"phones": "series", "groceries": "flavour", "sports": "size"}
SPECS: dict[str, tuple[str, ...]] = {
    "phones": ("nova 5", "nova 7", "luma 5", "luma 7", "orbit 5", "orbit 7"),
    "groceries": ("vanilla", "strawberry", "hazelnut", "mango", "mint", "caramel"),
    "sports": ("xs", "s", "m", "l", "xl", "xxl"),
}
BRANDS: dict[str, tuple[str, ...]] = {
    "phones": ("Voltera", "Kipo", "Nordlink", "Aeris", "Tandem", "Omni"),
    "groceries": ("Hofgut", "Bella Casa", "Morning Mill", "Sunfold", "Tilda", "Grove"),
    "sports": ("Stride", "Peakline", "Corsa", "Vento", "Fjell", "Rally"),
}
TIERS = ("budget", "standard", "premium")
OCCASIONS = ("travel", "children", "gift", "office", "party")


@dataclass(frozen=True)
class Look:
    """The visible attributes of a product."""

    type: str
    colour: str
    pattern: str
    emblem: str

    @property
    def is_reserved(self) -> bool:
        """Whether this combination is reserved for shops (of any seed); pretraining never uses it."""
        return (
            zlib.crc32("/".join((self.type, self.colour, self.pattern, self.emblem)).encode()) % 4
            == 0
        )


@dataclass(frozen=True)
class Product:
    """All attributes of a product: its look, and those that only text and price show.

    Only the products of a shop have an occasion. It is "" in pretraining, and in shops of version 1.
    """

    look: Look
    spec: str
    brand: str
    tier: str
    occasion: str = ""

    @property
    def department(self) -> str:
        """The department of the product's type."""
        return DEPARTMENT_OF[self.look.type]


def looks(reserved: bool | None = None) -> list[Look]:
    """All visible combinations, in a fixed order; optionally only (un)reserved ones."""
    every = (Look(*parts) for parts in product(ALL_TYPES, COLOURS, PATTERNS, EMBLEMS))
    return [look for look in every if reserved is None or look.is_reserved == reserved]
