"""The memory of clicks: counts against a plain loop, stand-ins for new items, saving."""

import numpy as np
import pytest
from scipy import sparse

from tpad.data.sessions import Sessions
from tpad.errors import ConfigError, DataError
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.memory import Memory, MemoryConfig, count_pairs
from tpad.model.session.session_matrix import decayed_rows
from tpad.model.session.stand_ins import POWER, stand_ins

N = 7
SESSIONS = [np.array(one) for one in ([0, 1, 2], [1, 0], [3, 1, 1, 4], [5], [2, 3, 2])]


def sessions_of(items: list[np.ndarray]) -> Sessions:
    ids = np.array([f"s{row}" for row in range(len(items))], dtype=object)
    return Sessions(ids, items, np.arange(len(items)))


def plain(config: MemoryConfig, mask_seen: bool) -> np.ndarray:
    counts = np.zeros((N, N))
    for session in SESSIONS:
        for late in range(len(session)):
            for early in range(late):
                weight = np.exp(-(late - early - 1) / config.decay)
                counts[session[early], session[late]] += weight
    both = counts + config.back * counts.T
    if mask_seen:
        np.fill_diagonal(both, 0)
    clicks = np.bincount(np.concatenate(SESSIONS), minlength=N)
    shrunk = both / (clicks + config.shrinkage)[:, None]
    return shrunk / np.maximum(clicks, 1) ** config.popularity


@pytest.mark.parametrize("mask_seen", [True, False])
@pytest.mark.parametrize("popularity", [0.0, 0.5])
def test_the_matrix_is_that_of_a_plain_loop(mask_seen, popularity):
    config = MemoryConfig(decay=3.0, back=0.4, shrinkage=2.0, popularity=popularity)
    memory = Memory.fit(sessions_of(SESSIONS), N, config, mask_seen=mask_seen)
    np.testing.assert_allclose(memory.matrix.toarray(), plain(config, mask_seen), rtol=1e-5)


def test_scores_weight_the_items_of_a_session_by_recency():
    config = MemoryConfig(recency=1.5)
    memory = Memory.fit(sessions_of(SESSIONS), N, config, mask_seen=True)
    matrix = memory.matrix.toarray()
    scores = memory.scores([np.array([0, 3]), np.array([1])]).toarray()
    np.testing.assert_allclose(scores[0], matrix[3] + np.exp(-1 / 1.5) * matrix[0], rtol=1e-5)
    np.testing.assert_allclose(scores[1], matrix[1], rtol=1e-5)


def test_pairs_that_are_far_apart_are_not_counted():
    long = [np.arange(N)]
    assert count_pairs(long, N, 1.0)[0, N - 1] == 0
    assert count_pairs(long, N, 8.0)[0, N - 1] > 0
    assert count_pairs([], N, 2.0).nnz == 0


def test_weights_of_a_session_can_sum_to_one():
    weights = decayed_rows([np.array([2, 0, 2]), np.array([4])], N, 2.0).toarray()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    assert weights[0, 2] > weights[0, 0]
    assert decayed_rows([], N, 2.0).shape == (0, N)


def test_new_items_have_row_and_column_of_their_stand_ins():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N, 3))
    clicked = np.arange(N) < 6  # item 6 is new
    features[6] = features[2]
    units = ContentSpace.fit(features, clicked).units(features)
    weights = stand_ins(units, clicked, count=1)
    assert weights[[6], :].toarray().argmax() == 2
    memory = Memory.fit(sessions_of(SESSIONS), N, MemoryConfig(), mask_seen=True)
    scores = memory.scores([np.array([1]), np.array([6]), np.array([2])], weights).toarray()
    assert scores[0, 6] == pytest.approx(scores[0, 2])
    np.testing.assert_allclose(scores[1], scores[2])


def test_a_large_catalogue_finds_its_stand_ins_by_an_index(monkeypatch):
    rng = np.random.default_rng(0)
    units = np.repeat(rng.standard_normal((200, 16)), 10, axis=0)  # families of ten
    units += 0.3 * rng.standard_normal(units.shape)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    units[0] = np.nan
    clicked = np.arange(len(units)) % 4 > 0
    exact = stand_ins(units.astype(np.float32), clicked)
    monkeypatch.setattr("tpad.model.session.stand_ins.MOST_PAIRS", 0)
    found = stand_ins(units.astype(np.float32), clicked)
    assert (found[[0]].nnz, exact[[0]].nnz) == (0, 0)
    assert np.allclose(found.sum(1)[1:], 1, atol=1e-5)
    same = np.minimum(found.toarray(), exact.toarray()).sum(1)[1:]  # overlap of weights
    assert same[~clicked[1:]].mean() > 0.95


def test_weights_of_stand_ins_are_powers_of_the_cosine():
    units = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0], [0, 0]], np.float32)
    weights = stand_ins(units, np.array([True, True, False, False, False])).toarray()
    expected = np.array([0.6**POWER, 0.8**POWER])
    np.testing.assert_allclose(weights[2, :2], expected / expected.sum(), rtol=1e-5)
    np.testing.assert_array_equal(weights[:2, :2], np.eye(2))
    assert not weights[3:].any()  # nothing is similar


def test_unit_vectors_are_centred_on_clicked_items_and_need_one():
    features = np.array([[1.0, 1], [3, 1], [9, 1]])
    units = ContentSpace.fit(features, np.array([True, True, False])).units(features)
    np.testing.assert_allclose(units, [[-1, 0], [1, 0], [1, 0]])
    with pytest.raises(DataError, match="at least one session"):
        ContentSpace.fit(features, np.zeros(3, bool))


def test_each_part_has_a_space_of_its_own_and_counts_the_same():
    rng = np.random.default_rng(0)
    tau, nu = rng.standard_normal((N, 3)), 100 * rng.standard_normal((N, 2))
    fields = rng.standard_normal((N, 1))
    features, clicked = np.concatenate([tau, nu, fields], 1), np.arange(N) < N - 1
    parts = {"tau": 3, "nu": 2, "fields": 1}
    space = ContentSpace.fit(features, clicked, 0.25, parts)
    units = space.units(features)
    own = [ContentSpace.fit(x, clicked, 0.25).units(x) for x in (tau, features[:, 3:])]
    np.testing.assert_allclose(units @ units.T, sum(u @ u.T for u in own) / 2, atol=1e-6)
    # Stand-ins are found by the transitional part.
    axes = space.of_behaviour
    np.testing.assert_allclose(2 * units[:, axes] @ units[:, axes].T, own[0] @ own[0].T, atol=1e-6)
    restored = ContentSpace.restored(space.state(), features.shape[1])
    np.testing.assert_array_equal(restored.units(features), units)
    assert restored.of_behaviour == axes
    whole = ContentSpace.fit(features, clicked, 0.25, {"vision": 3, "tfidf": 3})
    assert whole.of_behaviour == slice(0, whole.width)


def test_an_item_that_is_average_in_one_part_is_compared_by_the_others():
    features = np.array([[1.0, 0, 5], [-1, 0, 3], [0, 0, 9]])
    space = ContentSpace.fit(features, np.array([True, True, False]), 0.0, {"a": 2, "b": 1})
    np.testing.assert_allclose(np.linalg.norm(space.units(features), axis=1), 1)


def test_parts_that_do_not_match_the_features_are_refused():
    with pytest.raises(ConfigError, match="5 columns, but the embeddings 4"):
        ContentSpace.fit(np.ones((2, 4)), np.ones(2, bool), 0.0, {"tau": 3, "nu": 2})


@pytest.mark.parametrize(
    "changes",
    [
        {"behaviour": np.array([2])},
        {"0.mean": np.zeros(2)},
        {"1.matrix": np.zeros((3, 2), np.float32)},
        {"1.mean": np.full(2, np.nan)},
    ],
)
def test_a_damaged_space_is_refused(changes):
    state = ContentSpace.fit(np.eye(5), np.ones(5, bool), 0.5, {"tau": 3, "nu": 2}).state()
    with pytest.raises(ValueError):
        ContentSpace.restored(state | changes, 5)


def test_a_memory_survives_saving():
    memory = Memory.fit(sessions_of(SESSIONS), N, MemoryConfig(), mask_seen=False)
    again = Memory.restored(memory.state(), N, memory.config)
    assert isinstance(again.matrix, sparse.csr_array)
    np.testing.assert_array_equal(again.matrix.toarray(), memory.matrix.toarray())


@pytest.mark.parametrize("changes", [{"decay": 0.0}, {"back": -1.0}, {"recency": np.inf}])
def test_settings_out_of_bounds_are_refused(changes):
    with pytest.raises(ConfigError):
        MemoryConfig(**changes)
