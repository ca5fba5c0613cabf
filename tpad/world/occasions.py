"""How the demo shop says what occasion a product is for, without ever naming the occasion.

Each occasion has phrases that share no content word. A bag of words sees unrelated words; only what shoppers
do, or a model that knows the language, shows that they belong together. The embedded model never reads them
in pretraining: only a shop adds them.
"""

import random
from dataclasses import replace

from tpad.world.language import ShopText

PHRASES: dict[str, tuple[str, ...]] = {
    "travel": (
        "Packs easily into a suitcase.",
        "Ready for the road.",
        "Your companion on every trip.",
        "Handy at the airport.",
        "Bought a lot before the holidays.",
        "Tourists swear by it.",
    ),
    "children": (
        "Kids ask for it again and again.",
        "Tested by parents.",
        "For boys and girls from the age of three.",
        "A hit in every playground.",
        "Suits young families.",
        "Brings smiles to little faces.",
    ),
    "gift": (
        "Has a ribbon around it.",
        "A lovely birthday surprise.",
        "We wrap it on request.",
        "Says thank you to somebody special.",
        "Perfect under the Christmas tree.",
        "Greeting card included.",
    ),
    "office": (
        "Belongs on every desk.",
        "Helps through long meetings.",
        "Your colleagues will be jealous.",
        "Companies can pay by invoice.",
        "For the lunch break.",
        "Chosen by professionals.",
    ),
    "party": (
        "Your guests will talk about it.",
        "A must at every barbecue.",
        "Gets everybody dancing.",
        "Something to celebrate with.",
        "For evenings with friends.",
        "Turns a weekend into a festival.",
    ),
}
"""Occasion -> phrases, each of which suits every department."""

TOLD = 0.9
"""Share of the products whose text tells the occasion."""


def with_occasion(text: ShopText, occasion: str, rng: random.Random) -> ShopText:
    """The text with one of the phrases of the occasion at the end of its description.

    One product in ten gets none, as every fact is missing in some texts. A product without a description
    gets the phrase as its description.
    """
    phrase = rng.choice(PHRASES[occasion])
    if rng.random() >= TOLD:
        return text
    return replace(text, description=f"{text.description} {phrase}".strip())
