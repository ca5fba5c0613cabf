"""How a shop says what its products are for, and that the embedded model never reads it in pretraining."""

import random
import re

import numpy as np
import pytest

from tpad.embedded.data import random_product, texts
from tpad.world.attributes import COLOURS, EMBLEMS, OCCASIONS, PATTERNS, looks
from tpad.world.build import World, WorldConfig
from tpad.world.language import HYPE, NOISE, NOUNS, SPEC_WORDS, describe
from tpad.world.occasions import PHRASES

# Words without meaning of their own, which any two texts share.
LITTLE_WORDS = {
    *("a", "again", "and", "around", "ask", "at", "be", "before", "by", "every", "for", "from", "has", "in"),
    *("into", "is", "it", "lot", "must", "of", "on", "the", "this", "through", "to", "under", "we", "will"),
    *("with", "you", "your"),
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(items=1200))


def content_words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - LITTLE_WORDS


def test_every_occasion_has_several_phrases():
    assert set(PHRASES) == set(OCCASIONS) and len(OCCASIONS) == 5
    for phrases in PHRASES.values():
        assert len(set(phrases)) == len(phrases) >= 6
        assert all(phrase[0].isupper() and phrase.endswith(".") for phrase in phrases)


def test_no_two_phrases_share_a_content_word():
    every = [content_words(phrase) for phrases in PHRASES.values() for phrase in phrases]
    assert all(every)
    assert sum(map(len, every)) == len(set().union(*every))


def test_no_phrase_names_its_occasion_or_what_can_only_be_seen():
    named = {*OCCASIONS, *COLOURS, *PATTERNS, *EMBLEMS}
    words = {word for phrases in PHRASES.values() for p in phrases for word in content_words(p)}
    assert not words & named


def test_the_pretraining_texts_have_no_phrase_and_hardly_a_word_of_one():
    seen = "\n".join(texts(0, 3_000)).lower()
    every = [phrase for phrases in PHRASES.values() for phrase in phrases]
    assert not [phrase for phrase in every if phrase.lower().rstrip(".") in seen]
    words = set(re.findall(r"[a-z0-9]+", seen))
    assert not [phrase for phrase in every if content_words(phrase) & words]
    lists = [*NOUNS.values(), *SPEC_WORDS.values(), *NOISE.values(), HYPE]
    told = {word for some in lists for text in some for word in content_words(text)}
    assert not told & {word for phrase in every for word in content_words(phrase)}


def test_products_of_the_pretraining_have_no_occasion():
    rng = random.Random(0)
    assert {random_product(look, rng).occasion for look in looks()[:50]} == {""}


def test_nine_texts_of_ten_end_with_a_phrase_of_their_occasion(world):
    told = []
    for product, text in zip(world.products, world.texts, strict=True):
        others = [p for name in OCCASIONS if name != product.occasion for p in PHRASES[name]]
        assert not any(phrase in text.description for phrase in others)
        told.append(any(text.description.endswith(p) for p in PHRASES[product.occasion]))
    assert 0.87 < np.mean(told) < 0.93
    used = {p for name in OCCASIONS for p in PHRASES[name]}
    ends = {p for p in used for text in world.texts if text.description.endswith(p)}
    assert ends == used


def test_occasions_are_equally_frequent_and_independent_of_the_type(world):
    occasions = np.array([p.occasion for p in world.products])
    shares = np.array([(occasions == name).mean() for name in OCCASIONS])
    assert shares.sum() == pytest.approx(1.0) and (abs(shares - 0.2) < 0.04).all()
    departments = np.array([p.department for p in world.products])
    for department in set(departments):
        own = occasions[departments == department]
        assert all(abs((own == name).mean() - 0.2) < 0.07 for name in OCCASIONS)


def test_arrivals_have_an_occasion_and_its_phrase(world):
    table = world.arrivals_table()
    assert set(table.attr_occasion) <= set(OCCASIONS)
    told = [
        any(text.endswith(phrase) for phrase in PHRASES[name])
        for text, name in zip(table.description, table.attr_occasion, strict=True)
    ]
    assert sum(told) > len(told) / 2


def test_the_plain_description_leaves_the_occasion_out(world):
    row = next(
        i
        for i, (p, t) in enumerate(zip(world.products, world.texts, strict=True))
        if t.description in PHRASES[p.occasion]
    )
    product, text = world.products[row], world.texts[row]
    assert world.describe(row) == describe(product, text.tells_spec, text.tells_brand)
    assert product.occasion not in world.describe(row)
