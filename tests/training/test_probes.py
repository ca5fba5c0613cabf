"""Linear probes: they read a fact that is there and none that is not."""

from dataclasses import replace

import numpy as np
import pytest

from tpad import Bundle
from tpad.data.sessions import Cases, Sessions
from tpad.training.probes.facts import accuracy, fact_table, known_facts
from tpad.training.probes.features import probed_features
from tpad.training.probes.overlap import explained
from tpad.training.probes.transitions import COLUMNS, probe_transitions, transition_table

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
    bare = replace(dataset, items=plain.assign(category="", price=np.nan))
    assert known_facts(bare) == {}
    table = fact_table(bare, {("embedding", "one"): np.zeros((len(bare), 2))})
    assert table.empty


def test_missing_prices_make_no_band(dataset):
    plain = dataset.items[[c for c in dataset.items if not c.startswith("attr_")]].copy()
    plain.loc[:9, "price"] = np.nan
    facts = known_facts(replace(dataset, items=plain))
    assert all(isinstance(value, str) for value in facts["price band"])


def test_every_stage_of_a_bundle_is_probed(trained):
    bundle = Bundle.load(trained.bundle)
    features = probed_features(bundle)
    table = fact_table(bundle.dataset, features)
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
    transitions = transition_table(bundle.dataset, features)
    assert list(transitions) == COLUMNS and len(transitions) == 1 + len(features)
    assert set(transitions.index) == rows - {("", "most frequent")} | {("", "chance")}
    assert ((transitions >= 0) & (transitions <= 1)).all(axis=None)


# --- transitions -----------------------------------------------------------------------------------


N, DIRECTIONS = 600, 16


@pytest.fixture(scope="module")
def chains():
    """Items in a space where j follows i if z_j is near a rotation of z_i; a third of them is never clicked.

    Returns features, a function that draws sessions, and which items are held out.
    """
    rng = np.random.default_rng(1)
    z = rng.normal(size=(N, DIRECTIONS))
    turn = np.linalg.qr(rng.normal(size=(DIRECTIONS, DIRECTIONS)))[0]
    held_out = rng.random(N) < 1 / 3

    def next_of(item: int, allowed: np.ndarray) -> int:
        score = 3 * z[item] @ turn @ z.T / DIRECTIONS**0.5 + rng.gumbel(size=N)
        score[~allowed] = -np.inf
        score[item] = -np.inf
        return int(np.argmax(score))

    return z, next_of, held_out


def of_pairs(chains):
    _, next_of, held_out = chains
    rng = np.random.default_rng(2)
    warm = np.flatnonzero(~held_out)
    pairs = [(first, next_of(first, ~held_out)) for first in rng.choice(warm, 3_000)]
    items = [np.array(pair, np.int32) for pair in pairs]
    ids = np.array([str(n) for n in range(len(items))], dtype=object)
    train = Sessions(ids, items, np.arange(len(items)))
    firsts = rng.choice(warm, 400)
    targets = np.array([next_of(first, held_out) for first in firsts], np.int32)
    prefixes = [np.array([first], np.int32) for first in firsts]
    return train, Cases(np.arange(len(prefixes)), prefixes, targets), held_out


def test_a_directed_transition_is_found_and_is_not_similarity(chains):
    train, cases, held_out = of_pairs(chains)
    similar, found, remaining = probe_transitions(chains[0], train, cases, held_out)
    chance = 20 / held_out.sum()
    assert similar < 2 * chance
    assert found > 4 * chance
    assert remaining > 0.9 * found


def test_without_test_sessions_there_are_no_transitions(dataset):
    without = replace(dataset, test=dataset.test.take(np.zeros(0, np.int64)))
    features = {("embedding", "one"): np.zeros((len(dataset), 2))}
    assert transition_table(without, features).empty
    assert not fact_table(without, features).empty


def test_noise_holds_no_transition(chains):
    train, cases, held_out = of_pairs(chains)
    noise = np.random.default_rng(3).normal(size=(N, DIRECTIONS))
    chance = 20 / held_out.sum()
    assert max(probe_transitions(noise, train, cases, held_out)) < 2 * chance


def test_without_similarity_nothing_remains_of_similar_items(chains):
    z, _, held_out = chains
    rng = np.random.default_rng(4)
    units = z / np.linalg.norm(z, axis=1, keepdims=True)
    near = units @ units.T
    np.fill_diagonal(near, -np.inf)
    rows, warm = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    firsts = rng.choice(warm, 2_000)
    items = [np.array([f, warm[np.argmax(near[f, warm])]], np.int32) for f in firsts]
    ids = np.array([str(n) for n in range(len(items))], dtype=object)
    train = Sessions(ids, items, np.arange(len(items)))
    prefixes = [np.array([f], np.int32) for f in firsts[:300]]
    targets = np.array([rows[np.argmax(near[p[0], rows])] for p in prefixes], np.int32)
    cases = Cases(np.arange(300), prefixes, targets)
    similar, found, remaining = probe_transitions(z, train, cases, held_out)
    assert similar > 0.9 and found > 0.6
    assert remaining < found / 2


def test_what_k_nu_explains_of_k_tau():
    rng = np.random.default_rng(0)
    nu, is_test = rng.normal(size=(400, 6)), np.arange(400) < 80
    linear = nu @ rng.normal(size=(6, 4))
    noise = rng.normal(size=(400, 4))
    assert explained(linear, nu, is_test) > 0.99
    assert explained(noise, nu, is_test) < 0.05
    assert explained(linear / linear.std() + noise, nu, is_test) == pytest.approx(0.5, abs=0.15)
