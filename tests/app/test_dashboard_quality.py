"""The measures of embedding sets."""

import numpy as np
import pytest
from fake_bundle import FakeEncoder

from app.dashboard.quality import (
    Quality,
    effective_rank,
    nearest,
    next_is_near,
    same_category,
    transitions as pairs_of,
)
from tpad.bundle import Bundle


def test_effective_rank_counts_directions():
    axes = np.vstack([np.eye(4), -np.eye(4)])
    assert effective_rank(axes) == pytest.approx(4)
    line = np.outer(np.arange(5.0), [1, 2, 3])
    assert effective_rank(line) == pytest.approx(1, abs=1e-5)
    assert effective_rank(np.ones((3, 2))) == 0
    wide = np.random.default_rng(0).normal(size=(6, 50))  # fewer rows than columns
    assert 4 < effective_rank(wide) <= 6


def test_neighbours_are_the_nearest_by_angle_and_never_the_item():
    vectors = np.array([[1, 0], [100, 1], [0, 1], [0, 0]], np.float32)
    assert nearest(vectors, np.array([0, 2]), 1)[:, 0].tolist() == [1, 1]


def test_the_share_of_the_same_category_leaves_unknown_ones_out():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    assert same_category(vectors, np.array(["a", "a", "b", "b"], object), 1) == 1
    assert same_category(vectors, np.array(["a", "b", "a", "b"], object), 1) == 0
    assert same_category(vectors, np.array(["a", "", "", ""], object), 1) == 0
    assert np.isnan(same_category(vectors, np.array([""] * 4, object), 1))


def test_the_next_item_is_near_or_not():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    assert next_is_near(vectors, np.array([0, 0, 2]), np.array([1, 2, 3]), 1).tolist() == [
        True,
        False,
        True,
    ]
    assert next_is_near(vectors, np.zeros(0, int), np.zeros(0, int)).shape == (0,)


def test_transitions_skip_repeats_and_single_items():
    present, following = pairs_of([np.array([1, 2, 2, 3]), np.array([5]), np.array([4, 1])])
    assert list(zip(present.tolist(), following.tolist(), strict=True)) == [(1, 2), (2, 3), (4, 1)]
    assert len(pairs_of([])[0]) == 0


def test_each_set_of_a_bundle_is_measured_once(fake_bundle, monkeypatch):
    bundle = Bundle.load(fake_bundle, encoder=FakeEncoder())
    quality = Quality(bundle, {"tpad": "TPAD"})
    assert not quality.has("tpad")
    table = quality.table().set_index("set")
    assert table.index.tolist() == list(bundle.sets)
    assert table.title["tpad"] == "TPAD"
    assert ((table.same_category > 0) & (table.same_category <= 1)).all()
    assert (table.effective_rank <= table.dimensions + 1e-9).all()
    monkeypatch.setattr(quality, "_row", None)
    assert quality.has("tpad")
    assert len(quality.table()) == len(table)
