"""Baselines on small examples."""

from dataclasses import replace

import numpy as np
import pytest
from small_shops import dataset_of

from eval.baselines import (
    VSKNN,
    ContentConfig,
    ContentNeighbours,
    ItemKNN,
    ItemKNNConfig,
    Markov,
    Popularity,
    SessionPopularity,
    VSKNNConfig,
)
from eval.baselines.vsknn import SCORE_WEIGHTINGS, WEIGHTINGS
from tpad import DataError


def test_popularity_counts_training_clicks():
    data = dataset_of([[0, 1], [1, 2], [1, 2]], [], [[3, 0]], 4)
    scores = Popularity().fit(data).scores([np.array([0]), np.array([3, 2])])
    np.testing.assert_array_equal(scores, [[1, 3, 2, -np.inf]] * 2)
    assert scores.dtype == np.float32


def test_session_popularity_counts_the_sessions_own_clicks_then_those_of_training():
    data = dataset_of([[0, 1], [1, 2], [1, 2], [3, 4]], [], [], 6)
    scores = SessionPopularity().fit(data).scores([np.array([0, 3, 3, 5])])[0]
    assert list(np.argsort(-scores)[:4]) == [3, 0, 1, 2]
    assert np.isneginf(scores[5]), "a cold item stays unscored, even if it was clicked"
    equal = SessionPopularity().fit(data).scores([np.array([], int)])[0]
    assert equal[0] == equal[3] == equal[4]  # one training click each


def test_markov_follows_adjacent_clicks_from_the_last_item():
    data = dataset_of([[0, 1, 2], [0, 1], [0, 3], [3, 2]], [[0, 1]], [[4, 0]], 5)
    model = Markov().fit(data)
    scores = model.scores([np.array([0]), np.array([2, 0])])
    assert scores[0].argmax() == 1  # two of three times
    assert scores[0, 3] > scores[0, 2]  # 2 is more popular, but never followed
    np.testing.assert_array_equal(scores[0], scores[1])  # only the last item counts
    assert np.isneginf(scores[:, 4]).all()  # cold


def test_markov_gives_probabilities_of_the_smoothed_chain():
    data = dataset_of([[0, 1, 2], [0, 1], [0, 2]], [[0, 1], [1, 2]], [], 4)
    model = Markov().fit(data)
    popularity = np.array([3, 2, 2, 0]) / 7
    expected = (np.array([0, 2, 1, 0]) + model.smoothing * popularity) / (3 + model.smoothing)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(model.scores([np.array([0])])[0], np.log(expected), rtol=1e-5)
    np.testing.assert_allclose(np.exp(model.scores([np.array([0])])).sum(), 1, rtol=1e-5)


def test_markov_falls_back_to_popularity_after_a_cold_item():
    data = dataset_of([[0, 1], [1, 2], [1, 2]], [], [[3, 0]], 4)
    assert list(np.argsort(-Markov().fit(data).scores([np.array([3])])[0])) == [1, 2, 0, 3]


def test_markov_tunes_its_smoothing_on_validation_sessions():
    train = [[0, 1]] * 3 + [[2, 3]] * 30
    sure = dataset_of(train, [[0, 1]] * 5, [], 4)
    unsure = dataset_of(train, [[0, 3], [0, 2], [0, 3], [0, 2]], [], 4)
    assert Markov().fit(sure).smoothing == min(Markov.SMOOTHING)
    assert Markov().fit(unsure).smoothing == max(Markov.SMOOTHING)


def test_markov_does_not_tune_on_the_history_of_validation_sessions():
    train = [[0, 1]] * 3 + [[2, 3]] * 30
    data = dataset_of(train, [[0, 1, 0, 1, 0, 3]] * 4, [], 4)
    assert Markov().fit(data).smoothing < max(Markov.SMOOTHING)
    validation = replace(data.validation, history=np.full(4, 5))  # only 0 → 3 is new
    assert Markov().fit(replace(data, validation=validation)).smoothing == max(Markov.SMOOTHING)


def test_item_knn_is_the_cosine_of_sessions():
    data = dataset_of([[0, 1, 1], [0, 1], [0, 2], [3, 1]], [], [], 5)
    model = ItemKNN(ItemKNNConfig(regularisation=0.0)).fit(data)
    scores = model.scores([np.array([2, 0])])[0]
    # Items 0 and 1 are in 3 sessions each, 2 of them shared; 0 and 2 share 2's only session.
    np.testing.assert_allclose(scores[[1, 2]], [2 / 3, 1 / np.sqrt(3)], rtol=1e-6)
    assert scores[3] < 0  # never beside 0: it follows by popularity
    assert np.isneginf(scores[4])
    shrunk = ItemKNN(ItemKNNConfig(regularisation=1.0)).fit(data).scores([np.array([0])])[0]
    np.testing.assert_allclose(shrunk[[1, 2]], [2 / 4, 1 / np.sqrt(8)], rtol=1e-6)


def test_item_knn_keeps_the_nearest_items_only():
    data = dataset_of([[0, 1], [0, 1], [0, 2], [2, 3]], [], [], 4)
    scores = ItemKNN(ItemKNNConfig(k=1)).fit(data).scores([np.array([0])])[0]
    assert scores[1] > 0 and scores[2] < 0


def test_vsknn_on_a_small_example():
    # By recency: t0 = {0, 2}, t1 = {1, 3}, t2 = {0, 1, 3}, t3 = {4, 5}.
    data = dataset_of([[4, 5], [3, 0, 1], [1, 3], [0, 2]], [], [], 6)
    model = VSKNN(VSKNNConfig(k=2, sample_size=3, idf_weighting=0.0)).fit(data)
    scores = model.scores([np.array([0, 1])])[0]
    # div: item 0 weighs 1/2, item 1 weighs 1; sim = 1/4, 1/2 and 3/4, and t2 and t1 are nearest.
    # Both share the last item, so they vote in full.
    np.testing.assert_allclose(scores[[0, 1, 3]], [0.75, 1.25, 1.25])
    assert (scores[[2, 4, 5]] < 0).all() and scores[4] == scores[5]
    # With all three, t0 shares only the item before the last: half of its 1/4.
    every = VSKNN(VSKNNConfig(k=3, idf_weighting=0.0)).fit(data).scores([np.array([0, 1])])[0]
    np.testing.assert_allclose(every[[0, 1, 2, 3]], [0.875, 1.25, 0.125, 1.25])
    # idf = ln(4 sessions / clicks); item 2 was clicked once, 0 twice.
    rare = VSKNN(VSKNNConfig(k=3, idf_weighting=5.0)).fit(data).scores([np.array([0, 1])])[0]
    np.testing.assert_allclose(rare[2], 0.125 * (1 + 5 * np.log(4)), rtol=1e-6)
    np.testing.assert_allclose(rare[0], 0.875 * (1 + 5 * np.log(2)), rtol=1e-6)


def test_vsknn_samples_the_most_recent_sessions():
    data = dataset_of([[0, 1], [0, 2], [0, 3]], [], [], 4)
    scores = VSKNN(VSKNNConfig(sample_size=2)).fit(data).scores([np.array([0])])[0]
    assert scores[1] < 0 < min(scores[2], scores[3])


def plain_vsknn(train: list, session: list, n_items: int, config: VSKNNConfig) -> np.ndarray:
    """The definition, one session at a time; the latest training session comes last."""
    length = len(session)
    weights = {}
    for place, item in enumerate(session, 1):
        weights[item] = WEIGHTINGS[config.weighting](np.array([place]), np.array([length]))[0]
    sharing = [set(one) for one in reversed(train) if set(one) & set(session)]
    neighbours = []
    for one in sharing[: config.sample_size]:
        similarity = sum(weights[item] for item in sorted(one & set(session)))
        if config.similarity == "cosine":
            similarity /= np.sqrt(sum(w * w for w in weights.values()) * len(one))
        else:
            similarity /= len(weights)
        neighbours.append((round(similarity, 12), one))
    neighbours = [n for n in sorted(neighbours, key=lambda n: -n[0]) if n[0] > 0][: config.k]
    clicks = np.bincount(np.concatenate(train), minlength=n_items)
    scores = np.zeros(n_items)
    for similarity, one in neighbours:
        step = next(s for s, item in enumerate(reversed(session), 1) if item in one)
        decay = SCORE_WEIGHTINGS[config.weighting_score](np.array([step]))[0]
        for item in one:
            idf = max(np.log(len(train) / clicks[item]), 0.0)
            scores[item] += similarity * decay * (1 + config.idf_weighting * idf)
    return scores


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("weighting", ["same", "linear", "div", "log", "quadratic"])
def test_vsknn_agrees_with_its_definition_on_random_sessions(similarity, weighting):
    rng = np.random.default_rng(1)
    train = [list(rng.integers(0, 30, rng.integers(2, 8))) for _ in range(120)]
    asked = [list(rng.integers(0, 32, rng.integers(1, 15))) for _ in range(70)]
    config = VSKNNConfig(17, 40, similarity, weighting, weighting, 2.0)
    found = VSKNN(config).fit(dataset_of(train, [], [], 32)).scores([np.array(s) for s in asked])
    for session, row in zip(asked, found, strict=True):
        expected = plain_vsknn(train, session, 32, config)
        np.testing.assert_allclose(np.where(row > 0, row, 0), expected, rtol=1e-5, atol=1e-7)


def test_content_ranks_by_cosine_to_the_last_item_or_to_the_mean():
    features = np.array([[2, 0], [0, 1], [1, 1], [-1, 0.1]], dtype=float)
    data = dataset_of([[0, 1]], [], [[2, 3]], 4)
    session = [np.array([1, 0])]
    last = ContentNeighbours(features, ContentConfig(query="last")).fit(data).scores(session)[0]
    np.testing.assert_allclose(last[:3], [1, 0, np.sqrt(0.5)], atol=1e-6)
    mean = ContentNeighbours(features, ContentConfig(query="mean")).fit(data).scores(session)[0]
    assert mean.argmax() == 2  # as much like 0 as like 1, whatever their lengths
    np.testing.assert_allclose(mean[2], 1, atol=1e-6)


def test_content_weighs_recent_items_more():
    data, features = dataset_of([[0, 1, 2]], [], [], 3), np.eye(3)
    config = ContentConfig(query="recency", decay=2.0)
    found = ContentNeighbours(features, config).fit(data).scores([np.array([2, 0, 1, 1])])[0]
    expected = np.exp(-np.array([2.0, 0.0, 3.0]) / 2)  # steps back of items 0, 1 and 2
    expected[1] += np.exp(-0.5)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-6)


def test_content_centres_on_the_training_items():
    features = np.array([[10.0, 1], [10, -1], [10, 3], [90, 0]])
    data = dataset_of([[0, 1, 2]], [], [], 4)
    plain = ContentNeighbours(features).fit(data).scores([np.array([0])])[0]
    centred = ContentNeighbours(features, ContentConfig(centre=True)).fit(data)
    assert plain[1] > 0.9  # all look alike
    np.testing.assert_allclose(centred._units[:3], [[0, 0], [0, -1], [0, 1]], atol=1e-6)


def test_content_leaves_out_items_without_features():
    features = np.array([[1, 0], [np.nan, np.nan], [1, 0.1]])
    data = dataset_of([[0, 1]], [], [], 3)
    model = ContentNeighbours(features, present=np.array([True, False, True])).fit(data)
    scores = model.scores([np.array([0, 1]), np.array([1])])
    assert np.isneginf(scores[:, 1]).all()
    np.testing.assert_allclose(scores[0, [0, 2]], [1, 1 / np.sqrt(1.01)], rtol=1e-6)
    np.testing.assert_array_equal(scores[1, [0, 2]], [0, 0])


@pytest.mark.parametrize(
    ("features", "present", "sentence"),
    [
        (np.zeros(3), None, "must have the shape"),
        (np.array([[1.0], [np.nan], [1.0]]), None, "row 1 are not finite"),
        (np.ones((3, 2)), np.array([True]), "one per item"),
        (np.ones((2, 2)), None, "features of 2 items but 3 items"),
    ],
)
def test_content_checks_its_features(features, present, sentence):
    with pytest.raises(DataError, match=sentence):
        ContentNeighbours(features, present=present).fit(dataset_of([[0, 1]], [], [], 3))
