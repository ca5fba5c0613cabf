"""What the demo shop writes about its products."""

import random
import re

import pytest

from tpad.embedded.data import random_product
from tpad.world.attributes import (
    ALL_TYPES,
    COLOURS,
    DEPARTMENT_OF,
    EMBLEMS,
    PATTERNS,
    SPECS,
    Look,
    Product,
    looks,
)
from tpad.world.language import NOISE, NOUNS, SPEC_WORDS, describe, write

# What can only be seen. "none" is no emblem, and no word of a shop.
SECRET = (*COLOURS, *PATTERNS, *(e for e in EMBLEMS if e != "none"))


@pytest.fixture(scope="module")
def written() -> list[tuple]:
    """(product, text) of 6,000 products, each look once."""
    rng = random.Random(5)
    products = [random_product(look, rng) for look in looks()]
    return [(product, write(product, random.Random(i))) for i, product in enumerate(products)]


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def test_there_are_6000_looks_a_quarter_of_them_reserved():
    every = looks()
    assert len(every) == len(set(every)) == 24 * 10 * 5 * 5
    owned, free = set(looks(reserved=True)), set(looks(reserved=False))
    assert not owned & free and owned | free == set(every)
    assert 0.22 < len(owned) / len(every) < 0.28
    for kind in ALL_TYPES:  # every type has looks on both sides
        assert 30 < sum(look.type == kind for look in owned) < 100


def test_texts_never_mention_what_can_only_be_seen(written):
    for product, text in written:
        told = words_of(f"{text.title} {text.description}") & set(SECRET)
        assert not told, (product, text)


def test_no_list_of_words_has_a_visible_attribute():
    """No flavour, brand or noise is the name of a colour, pattern or emblem ("orange", "mint")."""
    lists = [*NOUNS.values(), *SPEC_WORDS.values(), *NOISE.values(), *SPECS.values()]
    assert not {word for some in lists for text in some for word in words_of(text)} & set(SECRET)


def has_spec(product: Product, text: str) -> bool:
    """Whether some wording of the spec stands in the text; noise that imitates it is removed."""
    text = text.lower()
    for phrase in NOISE[product.department]:
        text = text.replace(phrase.lower(), " ")
    return any(
        re.search(rf"(?<![\w-]){re.escape(wording.lower())}(?![\w-])", text)
        for wording in SPEC_WORDS[product.spec]
    )


def test_texts_tell_the_spec_where_they_say_so(written):
    told = [(p, t) for p, t in written if t.tells_spec]
    hidden = [(p, t) for p, t in written if not t.tells_spec]
    assert 0.9 < len(told) / len(written) < 0.98  # facts are left out, yet seldom
    wrong = [(p, t) for p, t in hidden if has_spec(p, f"{t.title}\n{t.description}")]
    assert not wrong, wrong[:3]
    missing = [(p, t) for p, t in told if not has_spec(p, f"{t.title}\n{t.description}")]
    # Only a typing error may hide it: one title of twelve has one, mostly elsewhere.
    assert len(missing) / len(told) < 0.05, missing[:3]


def test_titles_tell_spec_and_brand_where_they_say_so(written):
    def share(cases: list[bool]) -> float:
        return sum(cases) / len(cases)

    assert share([has_spec(p, t.title) for p, t in written if t.title_tells_spec]) > 0.95
    assert not any(has_spec(p, t.title) for p, t in written if not t.title_tells_spec)
    named = [p.brand.lower() in t.title.lower() for p, t in written if t.title_tells_brand]
    assert share(named) > 0.95
    assert not any(
        p.brand.lower() in t.title.lower() for p, t in written if not t.title_tells_brand
    )
    anywhere = [
        p.brand.lower() in f"{t.title}{t.description}".lower()
        for p, t in written
        if not t.tells_brand
    ]
    assert not any(anywhere)
    assert all(t.tells_spec for _, t in written if t.title_tells_spec)
    assert all(t.tells_brand for _, t in written if t.title_tells_brand)


def test_titles_are_tidy_and_varied(written):
    titles = [t.title for _, t in written]
    for title in titles:
        assert title and title == " ".join(title.split())
        assert not re.search(r"\(\)|, ?,| ,|\{|\}| by$|[-,(]$", title, re.IGNORECASE), title
    assert len(set(titles)) > 0.95 * len(titles)
    assert 0.25 < sum(not t.description for _, t in written) / len(written) < 0.4
    for _, text in written:
        assert "{" not in text.description
        assert not text.description or text.description.endswith(".")


def test_a_bag_of_words_is_misled(written):
    """Words that name another flavour or size than the product's stand in many texts."""
    misled = 0
    for product, text in written:
        others = [s for s in SPECS[product.department] if s != product.spec]
        said = words_of(f"{text.title} {text.description}")
        misled += any(words_of(other) <= said for other in others)
    assert misled / len(written) > 0.15


def test_titles_have_typing_errors_but_few():
    product = Product(Look("phone", "red", "plain", "none"), "nova 5", "Kipo", "budget")
    nouns = {w for noun in NOUNS["phone"] for w in words_of(noun)}
    titles = [write(product, random.Random(i)).title for i in range(2000)]
    without = sum(not words_of(title) & nouns for title in titles) / len(titles)
    assert 0.005 < without < 0.08


def test_plain_description_tells_what_is_known_and_nothing_else():
    product = Product(Look("phone case", "teal", "zigzag", "leaf"), "luma 7", "Aeris", "premium")
    everything = "teal zigzag phone case with leaf emblem, series luma 7, by Aeris"
    assert describe(product) == everything
    assert describe(product, tells_spec=False) == (
        "teal zigzag phone case with leaf emblem, by Aeris"
    )
    assert describe(product, True, False) == everything.removesuffix(", by Aeris")
    assert describe(product, False, False, is_seen=False) == "phone case"
    bare = Product(Look("jam", "pink", "plain", "none"), "mint", "Grove", "budget")
    assert describe(bare) == "pink plain jam with no emblem, flavour mint, by Grove"


def test_every_type_and_spec_has_several_wordings():
    assert set(NOUNS) == set(ALL_TYPES) == set(DEPARTMENT_OF)
    assert set(SPEC_WORDS) == {spec for group in SPECS.values() for spec in group}
    assert all(len(set(w)) >= 4 for w in (*NOUNS.values(), *SPEC_WORDS.values()))
