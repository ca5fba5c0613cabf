"""Slices: which cases belong to each, on small examples and by properties."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from small_shops import dataset_of

from eval.metrics.slices import FREQUENCIES, LENGTHS, informative, kind_of, slices
from eval.protocol import Protocol, TestCases
from tpad import DataError

KEPT = Protocol(mask_history=False)


@pytest.fixture
def data():
    train = [[0, 1], *[[1, 2]] * 6, *[[3, 3, 3]] * 40]  # 1 is clicked 7, 2 6, 0 once, 3 120 times
    return dataset_of(
        train, [], [[0, 1, 4, 3, 3, 2], [2, 0]], 5, category=["tea", "tea", "oats", "", "cake"]
    )


def rows(mask) -> list[int]:
    return np.flatnonzero(mask).tolist()


def test_every_slice_on_a_small_example(data):
    cases = TestCases.of(data, KEPT)  # targets 1, 4, 3, 3, 2 and then 0
    found = {name: rows(mask) for name, mask in slices(cases, data).items()}
    assert found == {
        "all": [0, 1, 2, 3, 4, 5],
        "warm": [0, 2, 3, 4, 5],
        "cold": [1],
        "length 1": [0, 5],
        "length 2": [1],
        "length 3–4": [2, 3],
        "length 5+": [4],
        "frequency 0": [1],
        "frequency 1–5": [5],
        "frequency 6–20": [0, 4],
        "frequency 21–100": [],
        "frequency >100": [2, 3],
        "category cake": [1],
        "category oats": [4],
        "category tea": [0, 5],
        "no category": [2, 3],
        "repeat": [3],
        "no repeat": [0, 1, 2, 4, 5],
    }
    assert list(found)[:4] == ["all", "warm", "cold", "length 1"]


def test_kinds_of_finer_slices_and_which_are_informative(data):
    found = slices(TestCases.of(data, KEPT), data, most_categories=1)
    kinds = [kind_of(name) for name in found]
    assert (
        kinds == [None] * 3 + ["length"] * 4 + ["frequency"] * 5 + ["category"] * 3 + ["repeat"] * 2
    )
    assert [name for name in found if name not in informative(found)] == ["frequency 21–100"]
    masked = slices(TestCases.of(data), data)  # no target is a repeat
    assert masked["no repeat"].all() and "no repeat" not in informative(masked)
    assert kind_of("held out") is kind_of("few shot") is None


def test_only_the_largest_categories_have_a_slice(data):
    cases = TestCases.of(data, KEPT)
    found = slices(cases, data, most_categories=1)
    assert [name for name in found if "categor" in name] == [
        "category tea",
        "other categories",
        "no category",
    ]
    assert rows(found["other categories"]) == [1, 4]


def test_slices_by_the_role_of_items_in_a_split(data):
    cases = TestCases.of(data, KEPT)
    roles = np.array(["warm", "few_shot", "warm", "warm", "held_out"], dtype=object)
    found = slices(cases, data, roles=roles)
    assert rows(found["held out"]) == [1] and rows(found["few shot"]) == [0]
    assert "held out" not in slices(cases, data, roles=np.full(5, "warm", dtype=object))


sessions = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=9), min_size=1, max_size=12)


@settings(max_examples=40)
@given(sessions, sessions, st.booleans(), st.sampled_from(["every_prefix", "last_item"]))
def test_each_kind_of_slice_divides_the_cases(train, test, masked, which):
    data = dataset_of(train, [], test, 8, category=["a", "b", "c", "d", "", "a", "b", ""])
    cases = TestCases.of(data, Protocol(which, mask_history=masked))
    found = slices(cases, data, most_categories=2)
    kinds = [
        ["warm", "cold"],
        [f"length {name}" for name in LENGTHS],
        [f"frequency {name}" for name in FREQUENCIES],
        ["repeat", "no repeat"],
    ]
    by_category = [name for name in found if "categor" in name]
    for kind in [*kinds, by_category] if len(cases) and by_category else kinds:
        np.testing.assert_array_equal(sum(found[name].astype(int) for name in kind), 1)
    assert all(mask.shape == (len(cases),) and mask.dtype == bool for mask in found.values())
    assert not (masked and found["repeat"].any())
    np.testing.assert_array_equal(found["frequency 0"], found["cold"])


def test_cases_of_another_dataset_are_refused(data, shop):
    with pytest.raises(DataError, match="another dataset"):
        slices(TestCases.of(shop), data)
