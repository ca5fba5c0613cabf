"""Titles and descriptions of the demo shop's products, and their plain full description.

Titles look like those of real shops: different wordings and synonyms, noise, abbreviations, missing
facts, words that mislead a bag-of-words model ("7 W", "traces of hazelnut", "large logo") and a few
typing errors. They never mention what can only be seen.
"""

import random
from dataclasses import dataclass

from tpad.world.attributes import SPEC_NAME, Product

NOUNS = {
    "phone": ("smartphone", "phone", "mobile phone", "handset"),
    "phone case": ("phone case", "case", "back cover", "protective shell"),
    "charger": ("charger", "wall charger", "power adapter", "charging plug"),
    "cable": ("cable", "charging cable", "USB-C cord", "data cable"),
    "headphones": ("headphones", "over-ear headset", "headset", "cans"),
    "power bank": ("power bank", "battery pack", "portable battery", "powerbank"),
    "smartwatch": ("smartwatch", "smart watch", "fitness watch", "watch"),
    "speaker": ("speaker", "bluetooth speaker", "wireless speaker", "soundbox"),
    "cereal": ("cereal", "crunchy flakes", "breakfast cereal", "muesli"),
    "milk": ("milk", "milk drink", "fresh milk", "dairy drink"),
    "jam": ("jam", "fruit spread", "preserve", "jar of spread"),
    "coffee": ("coffee", "ground coffee", "coffee beans", "roast"),
    "juice": ("juice", "smoothie", "cold-pressed juice", "nectar"),
    "chocolate": ("chocolate", "chocolate bar", "choc bar", "cocoa bar"),
    "soup": ("soup", "canned soup", "sweet soup", "cream soup"),
    "ice cream": ("ice cream", "gelato", "frozen dessert", "sundae"),
    "jersey": ("jersey", "football shirt", "tee", "training top"),
    "shorts": ("shorts", "running shorts", "gym shorts", "training shorts"),
    "shoe": ("shoe", "running shoe", "trainer", "sneaker"),
    "cap": ("cap", "baseball cap", "sports cap", "hat"),
    "ball": ("ball", "football", "match ball", "training ball"),
    "racket": ("racket", "tennis racket", "racquet", "tennis racquet"),
    "sports bottle": ("sports bottle", "drinking bottle", "flask", "gym bottle"),
    "backpack": ("backpack", "rucksack", "gym bag", "daypack"),
}

SPEC_WORDS = {
    "nova 5": ("Nova 5", "Nova5", "Nova-5", "NV5", "Nova V"),
    "nova 7": ("Nova 7", "Nova7", "Nova-7", "NV7", "Nova VII"),
    "luma 5": ("Luma 5", "Luma5", "Luma-5", "LM5", "Luma V"),
    "luma 7": ("Luma 7", "Luma7", "Luma-7", "LM7", "Luma VII"),
    "orbit 5": ("Orbit 5", "Orbit5", "Orbit-5", "OB5", "Orbit V"),
    "orbit 7": ("Orbit 7", "Orbit7", "Orbit-7", "OB7", "Orbit VII"),
    "vanilla": ("vanilla", "Madagascar vanilla", "vanille", "Bourbon van."),
    "strawberry": ("strawberry", "strawb.", "wild strawberry", "fraise"),
    "hazelnut": ("hazelnut", "hazel nut", "filbert", "noisette"),
    "mango": ("mango", "Alphonso mango", "mangue", "ripe mango"),
    "mint": ("mint", "peppermint", "fresh mint", "menthe"),
    "caramel": ("caramel", "salted caramel", "karamell", "butter caramel"),
    "xs": ("XS", "X-Small", "extra small", "size XS"),
    "s": ("S", "small", "size S", "sz. S"),
    "m": ("M", "medium", "size M", "sz. M"),
    "l": ("L", "large", "size L", "sz. L"),
    "xl": ("XL", "X-Large", "extra large", "size XL"),
    "xxl": ("XXL", "2XL", "XX-Large", "double extra large"),
}

# Words without information about the product, or that mislead a bag-of-words model.
NOISE = {
    "phones": (
        "7 W",
        "5 W",
        "5 V",
        "V2",
        "model 7",
        "5-pack deal",
        "2026",
        "fast",
        "slim",
        "pro line",
        "7 layer protection",
        "Series 5 finish",
        "not for older models",
        "5 year warranty",
    ),
    "groceries": (
        "500 g",
        "1 l",
        "family pack",
        "no palm oil",
        "organic",
        "new recipe",
        "traces of hazelnut",
        "goes well with vanilla",
        "no added mint",
        "serve with strawberry sauce",
        "limited edition",
        "without caramel colouring",
        "best with mango",
        "value pack",
    ),
    "sports": (
        "large logo",
        "small print",
        "unisex",
        "2026 season",
        "M-series",
        "extra light",
        "S-line",
        "medium weight",
        "quick dry",
        "double stitched",
        "X-fit",
        "team edition",
        "L-cut",
        "pro",
    ),
}
HYPE = ("NEW", "SALE", "Top deal:", "Bestseller", "Original", "Hot!", "Our pick:", "Only today:")

_TITLES = (
    "{hype}{brand} {noun} {spec} {noise}",
    "{hype}{noun} {spec} {brand} {noise}",
    "{hype}{brand} {noise} {noun} - {spec}",
    "{hype}{noun}, {noise}, {spec}",
    "{hype}{brand} {noun} ({spec}), {noise}",
    "{hype}{noise} {noun} {spec} by {brand}",
)
_OPENERS = (
    "A favourite of our customers.",
    "Made to last and easy to love.",
    "Good value from {brand}.",
    "The {noun} for every day.",
    "Carefully made by {brand}.",
    "You will not want to be without it.",
)
_FACTS = {
    "phones": ("Fits the {spec}.", "Made for {spec}.", "Works with {spec} only."),
    "groceries": ("With the taste of {spec}.", "Flavour: {spec}.", "Our {spec} variety."),
    "sports": ("Comes in {spec}.", "Size: {spec}.", "This one is {spec}."),
}
_CLOSERS = (
    "Ships within two days.",
    "Also a nice present.",
    "Please note: {noise}.",
    "Colour as shown.",
    "See picture for the design.",
    "{noise}.",
)


@dataclass(frozen=True)
class ShopText:
    """Title and description of one product.

    Attributes:
        title: one line.
        description: some sentences, or "" for a third of the products.
        tells_spec: whether title or description mentions the series, flavour or size.
        tells_brand: whether they mention the brand.
        title_tells_spec, title_tells_brand: the same for the title alone.
    """

    title: str
    description: str
    tells_spec: bool
    tells_brand: bool
    title_tells_spec: bool
    title_tells_brand: bool


def write(product: Product, rng: random.Random) -> ShopText:
    """Write title and description of a product in the style of a shop."""
    department = product.department
    parts = {
        "noun": rng.choice(NOUNS[product.look.type]),
        "spec": rng.choice(SPEC_WORDS[product.spec]),
        "brand": product.brand,
        "hype": rng.choice(HYPE) + " " if rng.random() < 0.25 else "",
        "noise": rng.choice(NOISE[department]),
    }
    template = rng.choice(_TITLES)
    title_tells_spec = rng.random() < 0.9
    title_tells_brand = "{brand}" in template and rng.random() < 0.9
    title = template.format(
        **parts
        | ({} if title_tells_spec else {"spec": ""})
        | ({} if title_tells_brand else {"brand": ""})
        | ({"noise": ""} if rng.random() < 0.35 else {})
    )
    title = _typing_error(_tidy(title), rng)
    if rng.random() < 0.15:
        title = title.upper() if rng.random() < 0.5 else title.lower()

    description, tells_spec, tells_brand = "", title_tells_spec, title_tells_brand
    if rng.random() < 0.67:
        sentences = [rng.choice(_OPENERS)]
        if rng.random() < (0.3 if title_tells_spec else 0.85):
            sentences.append(rng.choice(_FACTS[department]))
            tells_spec = True
        if rng.random() < 0.6:
            sentences.append(rng.choice(_CLOSERS))
        again = parts | {
            "noun": rng.choice(NOUNS[product.look.type]),
            "spec": rng.choice(SPEC_WORDS[product.spec]),
            "noise": rng.choice(NOISE[department]),
        }
        tells_brand = tells_brand or any("{brand}" in sentence for sentence in sentences)
        written = (sentence.format(**again) for sentence in sentences)
        description = " ".join(sentence[0].upper() + sentence[1:] for sentence in written)
    return ShopText(
        title, description, tells_spec, tells_brand, title_tells_spec, title_tells_brand
    )


def describe(
    product: Product, tells_spec: bool = True, tells_brand: bool = True, is_seen: bool = True
) -> str:
    """Describe what picture and text together show, in a fixed wording.

    Args:
        product: the product.
        tells_spec, tells_brand: include the spec and the brand, if the text mentions them.
        is_seen: include colour, pattern and emblem, if there is a picture.
    """
    look = product.look
    text = look.type
    if is_seen:
        emblem = "no emblem" if look.emblem == "none" else f"{look.emblem} emblem"
        text = f"{look.colour} {look.pattern} {look.type} with {emblem}"
    if tells_spec:
        text += f", {SPEC_NAME[product.department]} {product.spec}"
    if tells_brand:
        text += f", by {product.brand}"
    return text


def _tidy(title: str) -> str:
    """Remove punctuation that omitted facts leave behind."""
    title = " ".join(title.split())
    for ugly, nice in (("()", ""), (" ,", ","), (", ,", ","), (",,", ",")):
        title = title.replace(ugly, nice)
    title = title.removesuffix(" by").strip(" ,-")
    return " ".join(title.split())


def _typing_error(title: str, rng: random.Random) -> str:
    """Swap two neighbouring letters in about one title of twelve."""
    if rng.random() > 0.08:
        return title
    places = [i for i in range(1, len(title) - 1) if title[i : i + 2].isalpha()]
    if not places:
        return title
    i = rng.choice(places)
    return title[:i] + title[i + 1] + title[i] + title[i + 2 :]
