"""Features of the baselines without a bundle."""

import numpy as np
from small_shops import dataset_of

from eval.models.features import attribute_features, random_features, text_features


def cosine(features: np.ndarray, first: int, second: int) -> float:
    a, b = features[first], features[second]
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_text_features_tolerate_typing_errors():
    titles = ["red phone case", "red phone cse", "oat milk 1l", "oat milk 2l", "blue phone case"]
    features = text_features(dataset_of([[0, 1, 2, 3]], [], [], 5, title=titles, price=1.0))
    assert len(features) == 5 and np.isfinite(features).all()
    assert cosine(features, 0, 1) > cosine(features, 0, 2) + 0.3
    assert cosine(features, 4, 0) > cosine(features, 4, 2) + 0.3  # 4 is cold


def test_cold_items_do_not_influence_the_features_of_others():
    titles = ["red phone", "blue phone", "red case", "green case", "purple hat"]
    other = [*titles[:4], "zebra zebra phone"]
    first = dataset_of([[0, 1, 2, 3]], [], [], 5, title=titles, price=[1, 2, 3, 4, 5])
    second = dataset_of([[0, 1, 2, 3]], [], [], 5, title=other, price=[1, 2, 3, 4, 500])
    one, two = text_features(first)[:4], text_features(second)[:4]
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_without_text_all_items_have_equal_features():
    features = text_features(dataset_of([[0, 1]], [], [], 3, title=["", "", ""]))
    assert len(features) == 3 and np.ptp(features, axis=0).max() == 0


def test_attributes_are_one_hot_and_known_in_the_demo_shop_only(shop):
    features = attribute_features(shop)[:, :10]
    assert (features.sum(1) == 2).all()
    assert len(np.unique(features, axis=0)) == 24
    assert attribute_features(dataset_of([[0, 1]], [], [], 2)) is None


def test_price_and_category_are_appended_to_every_set(shop):
    text, attributes = text_features(shop), attribute_features(shop)
    fields = attributes[:, 10:]
    assert text.dtype == attributes.dtype == np.float32
    np.testing.assert_array_equal(text[:, -fields.shape[1] :], fields)
    flags = [column for column in fields.T if list(np.flatnonzero(column)) == [3]]
    assert len(flags) == 1, "the one missing price is flagged"
    assert ((fields[:, -4:] > 0).sum(1) == 1).all()  # one category each


def test_random_features_follow_the_seed(shop):
    first = random_features(shop, 0)
    np.testing.assert_array_equal(first, random_features(shop, 0))
    assert not np.allclose(first, random_features(shop, 1))
