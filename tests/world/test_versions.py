"""Shops that earlier versions wrote keep their oracle."""

import json

import numpy as np
import pandas as pd
import pytest

from tpad.errors import DataError
from tpad.world.build import World, WorldConfig
from tpad.world.law import LawConfig
from tpad.world.oracle import NOT_IN_VERSION_1, VERSION, Oracle, products_of

SMALL = WorldConfig(seed=3, items=48, train_sessions=5, validation_sessions=2, test_sessions=3)
LAW_1 = {
    "noise": 0.05,
    "last": 0.65,
    "first": 0.25,
    "other_spec": 0.08,
    "other_colour": 0.12,
    "other_emblem": 0.12,
    "no_emblem": 0.4,
    "other_pattern": 0.35,
    "other_tier": 0.5,
    "seen_type": 0.15,
    "zipf": 0.6,
    "brand_spread": 1.5,
}
BEST_1 = {
    (5,): {
        23: 0.3874029778052224,
        4: 0.271348438743616,
        44: 0.1839083657608389,
        22: 0.11023817666101228,
        11: 0.0051294184197352806,
    },
    (7, 20, 31): {
        3: 0.28091474922303883,
        41: 0.16930056232800159,
        27: 0.16188092675985336,
        1: 0.09665385392497747,
        9: 0.08064218616197906,
    },
}
"""Sessions -> rows and probabilities of the best next items, as version 1 computed them."""


@pytest.fixture
def written():
    """The item table and `world.json` as version 1 wrote them for the seed of `SMALL`."""
    world = World(SMALL, LawConfig(**NOT_IN_VERSION_1 | LAW_1))
    facts = {
        "version": 1,
        "seed": 3,
        "law": LAW_1,
        "popularity": world.law.popularity.tolist(),
    }
    return world.item_table().drop(columns="attr_occasion"), facts


def load(items: pd.DataFrame, facts: dict, folder) -> Oracle:
    (folder / "world.json").write_text(json.dumps(facts))
    return Oracle.load(items, folder / "world.json")


def test_the_oracle_of_a_shop_of_version_1_is_as_before(written, tmp_path):
    oracle = load(*written, tmp_path)
    for session, best in BEST_1.items():
        chance = oracle.law.next_item(np.array(session))
        rows = np.argsort(-chance)[:5]
        assert rows.tolist() == list(best)
        assert chance[rows] == pytest.approx(list(best.values()), rel=1e-12)


def test_without_occasions_products_have_none(written):
    assert {product.occasion for product in products_of(written[0])} == {""}


def test_a_shop_of_a_newer_version_is_refused(written, tmp_path):
    items, facts = written
    with pytest.raises(DataError, match=f"version {VERSION + 1}.*update tpad"):
        load(items, facts | {"version": VERSION + 1}, tmp_path)


def test_a_table_of_this_version_needs_its_occasions(tmp_path):
    world = World(SMALL)
    with pytest.raises(DataError, match="attr_occasion"):
        load(world.item_table().drop(columns="attr_occasion"), world.facts(), tmp_path)


def test_this_version_stores_what_version_1_lacks(tmp_path):
    world = World(SMALL)
    facts = world.facts()
    assert facts["version"] == VERSION
    assert set(facts["law"]) - set(LAW_1) == set(NOT_IN_VERSION_1)
    oracle = load(world.item_table(), facts, tmp_path)
    for session in BEST_1:
        exact = world.law.next_item(np.array(session))
        assert oracle.law.next_item(np.array(session)) == pytest.approx(exact, rel=1e-12)
    # The partners are read from the file, and not drawn again.
    moved = [row[::-1] for row in facts["partners"]["rows"]]
    other = load(
        world.item_table(), facts | {"partners": facts["partners"] | {"rows": moved}}, tmp_path
    )
    assert not np.allclose(other.law.transition, oracle.law.transition)
