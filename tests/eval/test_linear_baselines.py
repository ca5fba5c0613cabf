"""EASE and SLIST compared with their definitions, solved in another way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from small_shops import dataset_of

from eval.baselines import BASELINES, EASE, SLIST, EASEConfig, SLISTConfig
from tpad import DataError
from tpad.model.session.session_matrix import decayed_rows

N, DAY = 7, 24 * 60 * 60
TRAIN = [[0, 1, 2], [1, 2, 3], [0, 2, 0], [4, 1], [3, 4, 0, 1], [2, 3], [1, 1, 4], [4]]
DATA = dataset_of(TRAIN, [], [[5, 0]], N)  # 5 and 6 are cold
KNOWN = 5
ASKED = [[0], [1, 2], [3, 0, 3], [5, 2, 6]]


def asked(model) -> np.ndarray:
    return model.scores([np.array(session) for session in ASKED])


def weighted(session: list, decay: float | None) -> np.ndarray:
    """One session as its definition has it: (n_items,)."""
    known = [item for item in session if item < KNOWN]
    x = np.zeros(KNOWN)
    for back, item in enumerate(reversed(known)):
        if decay is None:
            x[item] = 1
        else:
            x[item] += np.exp(-back / decay)
    return x / x.sum()


@pytest.mark.parametrize("regularisation", [0.5, 20.0])
def test_ease_is_the_least_squares_solution_without_a_diagonal(regularisation):
    model = EASE(EASEConfig(regularisation)).fit(DATA)
    x = np.array([[item in session for item in range(KNOWN)] for session in TRAIN], float)
    for item in range(KNOWN):  # ridge regression of each item on all others
        others = np.delete(x, item, axis=1)
        gram = others.T @ others + regularisation * np.eye(KNOWN - 1)
        expected = np.linalg.solve(gram, others.T @ x[:, item])
        np.testing.assert_allclose(np.delete(model.weights[:, item], item), expected, rtol=1e-5)
        assert model.weights[item, item] == 0


@pytest.mark.parametrize("decay", [None, 2.0])
def test_ease_multiplies_the_session_with_the_weights(decay):
    model = EASE(EASEConfig(1.0, decay)).fit(DATA)
    scores = asked(model)
    assert np.isneginf(scores[:, KNOWN:]).all()
    for session, row in zip(ASKED, scores, strict=True):
        expected = weighted(session, decay) @ model.weights
        np.testing.assert_allclose(row[:KNOWN], expected, rtol=1e-4, atol=1e-7)


def slist_loss(b: np.ndarray, config: SLISTConfig, ages: np.ndarray) -> float:
    """The loss of the definition, split by split, and no sparse matrix."""
    total = config.regularisation * (b**2).sum()
    for session, age in zip(TRAIN, ages, strict=True):
        w = 1.0 if config.time_decay is None else np.exp(-age / config.time_decay)
        x = np.zeros(KNOWN)
        x[session] = 1
        total += config.alpha * w * ((x - weighted(session, None) @ b) ** 2).sum()
        for at in range(1, len(session)):
            target = np.zeros(KNOWN)
            for ahead, item in enumerate(session[at:]):
                target[item] += np.exp(-ahead / config.position_decay)
            past = weighted(session[:at], config.position_decay)
            total += (1 - config.alpha) * w * ((target - past @ b) ** 2).sum()
    return total


@pytest.mark.parametrize(
    "config",
    [
        SLISTConfig(alpha=0.0, regularisation=0.3),
        SLISTConfig(alpha=0.4, regularisation=0.1, position_decay=2.0, time_decay=3.0),
        SLISTConfig(alpha=1.0, regularisation=1.0),
    ],
)
def test_slist_has_the_smallest_loss_of_its_definition(config):
    starts = np.arange(len(TRAIN)) * DAY
    data = replace(DATA, train=replace(DATA.train, starts=starts))
    model = SLIST(config).fit(data)
    ages = (len(TRAIN) - 1 - np.arange(len(TRAIN))).astype(float)
    found = minimize(
        lambda b: slist_loss(b.reshape(KNOWN, KNOWN), config, ages),
        np.zeros(KNOWN**2),
        method="BFGS",
        options={"gtol": 1e-7},
    )
    np.testing.assert_allclose(model.weights, found.x.reshape(KNOWN, KNOWN), atol=2e-4)


def test_the_age_of_a_session_is_that_of_its_last_click():
    times = [np.full(len(session), DAY * row) for row, session in enumerate(TRAIN)]
    late = replace(DATA.train, times=times)
    config = SLISTConfig(time_decay=2.0)
    by_start = SLIST(config).fit(
        replace(DATA, train=replace(DATA.train, starts=np.arange(len(TRAIN)) * DAY))
    )
    by_click = SLIST(config).fit(replace(DATA, train=late))
    np.testing.assert_array_equal(by_click.weights, by_start.weights)
    assert not np.allclose(by_click.weights, SLIST(SLISTConfig()).fit(DATA).weights)


def test_slist_in_parts_gives_the_same_weights(monkeypatch):
    whole = SLIST().fit(DATA).weights
    monkeypatch.setattr("eval.baselines.slist.SPLITS_AT_ONCE", 3)
    np.testing.assert_allclose(SLIST().fit(DATA).weights, whole, rtol=1e-6)


def test_slist_knows_what_follows_what_and_recommends_repeats():
    train = [[0, 1, 2]] * 20 + [[3, 3]] * 20
    scores = SLIST().fit(dataset_of(train, [], [], 4)).scores([np.array([1]), np.array([3])])
    assert scores[0].argmax() == 2 and scores[1].argmax() == 3


def test_clicks_far_back_have_no_weight():
    long = np.arange(400) % 5
    near = decayed_rows([long], 5, 2.0).toarray()
    np.testing.assert_allclose(near.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(near, decayed_rows([long[-60:]], 5, 2.0).toarray(), rtol=1e-5)


@pytest.mark.parametrize("name", ["ease", "slist"])
def test_a_table_that_would_be_too_large_is_refused_before_it_is_made(name, monkeypatch):
    assert BASELINES[name].most_items == 30_000
    monkeypatch.setattr("eval.baselines.linear.MOST_ITEMS", 4)
    with pytest.raises(DataError, match="5 training items; the maximum is 4"):
        BASELINES[name].make(0, None, None).fit(DATA)
