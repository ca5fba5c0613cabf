"""Baselines on hand-made sessions."""

import numpy as np
from small_shops import dataset_of

from eval.baselines import Markov, Popularity


def test_popularity_counts_training_clicks():
    data = dataset_of([[0, 1], [1, 2], [1, 2]], [], [[3, 0]], 4)
    scores = Popularity().fit(data).scores([np.array([0]), np.array([3, 2])])
    np.testing.assert_array_equal(scores, [[1, 3, 2, -np.inf]] * 2)
    assert scores.dtype == np.float32


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


def test_markov_smooths_as_the_validation_sessions_ask():
    train = [[0, 1]] * 3 + [[2, 3]] * 30
    sure = dataset_of(train, [[0, 1]] * 5, [], 4)
    unsure = dataset_of(train, [[0, 3], [0, 2], [0, 3], [0, 2]], [], 4)
    assert Markov().fit(sure).smoothing == min(Markov.SMOOTHING)
    assert Markov().fit(unsure).smoothing == max(Markov.SMOOTHING)
