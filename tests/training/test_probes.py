"""Linear probes: they read a fact that is there and none that is not."""

from dataclasses import replace

import numpy as np
import pytest

from tpad import Bundle
from tpad.errors import DataError
from tpad.training.probes import accuracy, known_facts, probe_bundle

COLOURS = np.array(["red", "green", "blue", "black"])


@pytest.fixture(scope="module")
def facts():
    """400 items: features that hold the colour (and noise), and which of them are judged."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 400)
    noise = rng.normal(size=(400, 20))
    judged = rng.random(400) < 0.25
    return codes, noise, judged


def test_a_fact_that_is_there_is_read(facts):
    codes, noise, judged = facts
    features = np.concatenate([noise, np.eye(4)[codes]], axis=1)
    assert accuracy(features, COLOURS[codes], judged) > 0.97


def test_a_fact_that_is_not_there_is_not_read(facts):
    codes, noise, judged = facts
    assert accuracy(noise, COLOURS[codes], judged) < 0.45


def test_the_probe_never_sees_the_judged_items(facts):
    """Labels of judged items that contradict the features are read wrong."""
    codes, noise, judged = facts
    features = np.concatenate([noise, np.eye(4)[codes]], axis=1)
    wrong = np.where(judged, (codes + 1) % 4, codes)
    assert accuracy(features, COLOURS[wrong], judged) < 0.05


def test_a_fact_with_one_value_cannot_be_probed(facts):
    _, noise, judged = facts
    assert np.isnan(accuracy(noise, np.full(400, "red"), judged))


def test_known_facts_are_the_true_attributes_or_category_and_price(dataset):
    assert {"type", "colour", "pattern", "emblem", "spec", "brand", "tier"} <= set(
        known_facts(dataset)
    )
    plain = dataset.items[[c for c in dataset.items if not c.startswith("attr_")]]
    facts = known_facts(replace(dataset, items=plain))
    assert set(facts) == {"category", "price band"}
    assert len(set(facts["price band"])) == 4
    bare = plain.assign(category="", price=np.nan)
    with pytest.raises(DataError, match="no category, price or attr_"):
        known_facts(replace(dataset, items=bare))


def test_missing_prices_make_no_band(dataset):
    plain = dataset.items[[c for c in dataset.items if not c.startswith("attr_")]].copy()
    plain.loc[:9, "price"] = np.nan
    facts = known_facts(replace(dataset, items=plain))
    assert all(isinstance(value, str) for value in facts["price band"])


def test_every_stage_of_a_bundle_is_probed(trained):
    table = probe_bundle(Bundle.load(trained.bundle))
    stages = set(table.index.get_level_values("stage"))
    assert stages == {"", "knowledge", "transfer", "student", "heads", "embedding"}
    assert {"type", "colour", "spec"} <= set(table.columns)
    values = table.to_numpy()
    assert ((values >= 0) & (values <= 1)).all()
    rows = set(table.index)
    assert ("heads", "k_tau") in rows and ("heads", "k_nu") in rows
    assert {name for stage, name in rows if stage == "embedding"} == {
        "tpad",
        *trained.config.baselines,
    }
    assert ("knowledge", "vision") in rows and ("student", "vision") not in rows
    # A picture shows its colour, also to a model that was never trained; noise does not.
    colour = table["colour"]
    assert colour["embedding", "vision"] > 2 * colour["embedding", "random"]
