"""What is settled on pseudo-cold items: PCA size and cold offset."""

from dataclasses import replace

import numpy as np
import pytest

from tpad.data.pseudo_cold import hold_out
from tpad.data.sessions import Sessions
from tpad.model.session.network import SessionModelConfig
from tpad.training.tuning import cold_offset, tune_session_model

CONFIG = SessionModelConfig(
    width=16, hidden=16, layers=1, heads=2, epochs=4, batch_size=32, learning_rate=5e-3
)


def sessions_of(items: list) -> Sessions:
    ids = np.array([f"s{i}" for i in range(len(items))], dtype=object)
    rows = [np.asarray(session, dtype=np.int32) for session in items]
    return Sessions(ids, rows, np.arange(len(items), dtype=np.int64))


def test_held_out_items_leave_the_sessions():
    kept = np.array([True, True, False, True])
    reduced = hold_out(sessions_of([[0, 2, 1], [2, 3], [1, 3]]), kept)
    assert [list(items) for items in reduced.items] == [[0, 1], [1, 3]]
    assert list(reduced.ids) == ["s0", "s2"]


@pytest.fixture(scope="module")
def shop():
    """Item i is followed by i + 1 on a circle; two features hold the circle, the rest is noise."""
    rng = np.random.default_rng(0)
    angle = np.arange(40) * 2 * np.pi / 40
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    features = np.concatenate([np.repeat(circle, 20, axis=1), rng.standard_normal((40, 4))], axis=1)
    walks = [(start + np.arange(3)) % 40 for start in rng.integers(0, 40, 300)]
    return features.astype(np.float32), sessions_of(walks[:250]), sessions_of(walks[250:])


def test_the_best_size_is_chosen_and_every_try_is_recorded(shop):
    features, train, validation = shop
    warm = np.ones(40, dtype=bool)
    choice = tune_session_model(features, train, validation, warm, CONFIG, sizes=(None, 2, 1))
    assert set(choice.values) == {"all", "2", "1"}
    best = max(choice.values, key=lambda size: choice.values[size])
    assert str(choice.pca or "all") == best
    assert choice.values["2"] > choice.values["1"]  # one number cannot tell where on a circle
    applied = choice.apply(CONFIG)
    assert (applied.pca, applied.cold_offset) == (choice.pca, choice.cold_offset)
    again = tune_session_model(features, train, validation, warm, CONFIG, sizes=(None, 2, 1))
    assert again == choice


def test_sizes_that_reduce_nothing_are_one_and_the_same(shop):
    features, train, validation = shop
    warm = np.ones(40, dtype=bool)
    choice = tune_session_model(features, train, validation, warm, CONFIG, sizes=(None, 44, 256))
    assert choice.pca is None and set(choice.values) == {"all"}


def test_cold_items_have_no_say(shop):
    features, _, validation = shop
    warm = np.arange(40) < 30
    rng = np.random.default_rng(1)
    walks = [(start + np.arange(2)) for start in rng.integers(0, 29, 200)]
    config = replace(CONFIG, epochs=2)
    changed = features.copy()
    changed[~warm] += 100
    inside = sessions_of([items for items in validation.items if warm[items].all()])
    first = tune_session_model(features, sessions_of(walks), inside, warm, config, sizes=(None, 2))
    second = tune_session_model(changed, sessions_of(walks), inside, warm, config, sizes=(None, 2))
    assert first == second


def test_offset_maximises_the_likelihood():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((500, 12)).astype(np.float32)
    scores[:, 5] = -np.inf  # no candidate
    unclicked = np.arange(12) >= 8
    true = scores + 1.5 * unclicked
    chances = np.exp(true - np.log(np.exp(true).sum(1, keepdims=True)))
    targets = np.array([rng.choice(12, p=row / row.sum()) for row in chances])

    def likelihood(offset: float) -> float:
        moved = scores.astype(np.float64) + offset * unclicked
        return (moved[np.arange(500), targets] - np.log(np.exp(moved).sum(1))).sum()

    best = cold_offset(np.split(scores, 2), targets, unclicked)
    assert best == pytest.approx(1.5, abs=0.3)
    assert likelihood(best) > max(likelihood(best - 0.05), likelihood(best + 0.05))


def test_offset_is_bounded_where_nobody_clicks_the_unclicked():
    scores = np.zeros((10, 4), dtype=np.float32)
    assert cold_offset([scores], np.zeros(10, dtype=int), np.arange(4) == 3) == pytest.approx(-4.0)
