"""Session neighbours, against a plain implementation of their formula."""

import numpy as np
import pytest
from scipy import sparse

from tpad.data.sessions import Sessions
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours

N = 12
CONFIG = NeighboursConfig(k=4, sample=3, recency=2.0, rarity=0.7)


@pytest.fixture(scope="module")
def train() -> Sessions:
    rng = np.random.default_rng(0)
    items = [rng.integers(0, N, rng.integers(2, 6)).astype(np.int32) for _ in range(30)]
    ids = np.array([f"s{row}" for row in range(30)], dtype=object)
    return Sessions(ids, items, np.arange(30))


def plain_scores(train: Sessions, prefix: np.ndarray, config: NeighboursConfig) -> np.ndarray:
    step = {int(item): back for back, item in reversed(list(enumerate(prefix[::-1])))}
    weight = {item: np.exp(-back / config.recency) for item, back in step.items()}
    recent = list(reversed([set(items.tolist()) for items in train.items]))
    compared = {
        row
        for item in step
        for row in [row for row, other in enumerate(recent) if item in other][: config.sample]
    }
    similarity = {}
    for row in compared:
        shared = [
            item
            for item in step
            if row in [at for at, other in enumerate(recent) if item in other][: config.sample]
        ]
        total = sum(weight[item] for item in shared) / sum(weight.values())
        similarity[row] = (total, min(step[item] for item in shared))
    best = sorted(compared, key=lambda row: (-round(similarity[row][0], 9), row))[: config.k]
    clicks = np.bincount(train.clicks, minlength=N)
    idf = np.log(len(train) / np.maximum(clicks, 1)).clip(min=0)
    scores = np.zeros(N)
    for row in best:
        value, latest = similarity[row]
        scores[list(recent[row])] += value / (1 + latest) ** 2
    return scores * (1 + config.rarity * idf)


@pytest.mark.parametrize("prefix", [[3], [1, 2], [4, 4, 7], [0, 5, 0, 9]])
def test_scores_are_the_formula(train, prefix):
    model = SessionNeighbours.fit(train, N, CONFIG)
    expected = plain_scores(train, np.array(prefix), CONFIG)
    scores = model.scores([np.array(prefix)]).toarray()[0]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    steps = np.arange(len(prefix))[::-1]
    rows, values = model.row(np.array(prefix), steps, np.ones(len(prefix)))
    dense = np.zeros(N)
    dense[rows] = values
    np.testing.assert_allclose(dense, expected, rtol=1e-6)


def test_many_sessions_are_scored_as_one_by_one(train):
    model = SessionNeighbours.fit(train, N, CONFIG)
    rng = np.random.default_rng(1)
    prefixes = [rng.integers(0, N, rng.integers(1, 5)) for _ in range(150)]
    together = model.scores(prefixes).toarray()
    alone = np.vstack([model.scores([prefix]).toarray() for prefix in prefixes])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_stand_ins_lend_their_scores(train):
    model = SessionNeighbours.fit(train, N, CONFIG)
    weights = np.zeros((N + 1, N), np.float32)
    weights[np.arange(N), np.arange(N)] = 1
    weights[N, [2, 5]] = 0.75, 0.25
    near = sparse.csr_array(weights)
    scores = model.scores([np.array([2]), np.array([N])], near).toarray()
    np.testing.assert_allclose(scores[0, N], 0.75 * scores[0, 2] + 0.25 * scores[0, 5], rtol=1e-5)
    assert scores[1, :N].any()  # the new item in a session is read as its stand-ins


def test_a_session_without_known_items_has_no_neighbours(train):
    few = SessionNeighbours.fit(train.take(np.arange(2)), N, CONFIG)
    unknown = np.setdiff1d(np.arange(N), train.take(np.arange(2)).clicks)[:1]
    assert not few.scores([unknown]).toarray().any()
    assert not len(few.row(unknown, np.zeros(1, int), np.ones(1))[0])


def test_the_state_is_restored_and_checked(train):
    model = SessionNeighbours.fit(train, N, CONFIG)
    state = model.state()
    again = SessionNeighbours.restored(state, N, CONFIG)
    prefixes = [np.array([1, 2]), np.array([5])]
    np.testing.assert_array_equal(
        again.scores(prefixes).toarray(), model.scores(prefixes).toarray()
    )
    for name, value in (
        ("clicks", state["clicks"][:-1]),
        ("clicks", state["clicks"] - 1000),
        ("indices", state["indices"] + N),
        ("indptr", state["indptr"][::-1].copy()),
    ):
        with pytest.raises(ValueError, match="session"):
            SessionNeighbours.restored({**state, name: value}, N, CONFIG)
