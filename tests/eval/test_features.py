"""Features of the baselines."""

import numpy as np
from conftest import dataset_of

from eval.features import (
    attribute_features,
    field_features,
    join,
    random_features,
    text_features,
)


def cosine(features: np.ndarray, first: int, second: int) -> float:
    a, b = features[first], features[second]
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_text_sees_shared_words_through_typing_errors(shop):
    titles = ["red phone case", "red phone cse", "oat milk 1l", "oat milk 2l", "blue phone case"]
    data = dataset_of([[0, 1, 2, 3]], [], [], 5, title=titles)
    features = text_features(data)
    assert len(features) == 5 and np.isfinite(features).all()
    assert cosine(features, 0, 1) > cosine(features, 0, 2) + 0.3
    assert cosine(features, 4, 0) > cosine(features, 4, 2) + 0.3  # 4 is cold


def test_text_of_cold_items_has_no_say_in_the_features_of_others():
    titles = ["red phone", "blue phone", "red case", "green case", "purple hat"]
    other = [*titles[:4], "zebra zebra phone"]
    sessions = [[0, 1, 2, 3]]
    first = text_features(dataset_of(sessions, [], [], 5, title=titles))
    second = text_features(dataset_of(sessions, [], [], 5, title=other))
    np.testing.assert_allclose(first[:4], second[:4], atol=1e-6)


def test_a_shop_without_text_has_empty_features():
    data = dataset_of([[0, 1]], [], [], 3, title=["", "", ""])
    features = text_features(data)
    assert len(features) == 3 and np.ptp(features) == 0


def test_fields_flag_a_missing_price(shop):
    features = field_features(shop)
    assert np.isfinite(features).all()
    flagged = np.flatnonzero(features[:, -1])
    assert list(flagged) == [3]
    assert (features[:, :4].sum(1) == 1).all()  # one category each


def test_attributes_are_one_hot_and_known_in_the_demo_shop_only(shop):
    features = attribute_features(shop)
    assert features.shape == (24, 10)
    assert (features.sum(1) == 2).all()
    assert len(np.unique(features, axis=0)) == 24
    assert attribute_features(dataset_of([[0, 1]], [], [], 2)) is None


def test_random_features_follow_the_seed_and_join_keeps_order(shop):
    first = random_features(shop, 0)
    np.testing.assert_array_equal(first, random_features(shop, 0))
    assert not np.allclose(first, random_features(shop, 1))
    both = join(first, field_features(shop))
    np.testing.assert_array_equal(both[:, : first.shape[1]], first)
    assert both.dtype == np.float32
