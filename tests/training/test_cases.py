"""Cases that models are validated on."""

import numpy as np
import pytest
import torch

from tpad.data.cases import known_cases, mask_history
from tpad.data.sessions import Sessions
from tpad.training.ranking import contained

SESSIONS = Sessions(
    np.array(["a", "b"], dtype=object),
    [np.array([0, 1, 2, 0], np.int32), np.array([3, 1], np.int32)],
    np.arange(2),
)


@pytest.mark.parametrize(
    "length, mask_seen, expected",
    [
        (None, False, [([0], 1), ([0, 1, 2], 0), ([3], 1)]),
        (None, True, [([0], 1), ([3], 1)]),
        (2, True, [([0], 1), ([1, 2], 0), ([3], 1)]),  # 0 is no longer among what is read
    ],
)
def test_targets_are_known_and_not_seen(length, mask_seen, expected):
    known = np.array([True, True, False, True])
    cases = known_cases(SESSIONS, known, max_length=length, mask_seen=mask_seen)
    found = [(list(p), int(t)) for p, t in zip(cases.prefixes, cases.targets, strict=True)]
    assert found == expected
    assert cases.session.tolist() == [0] * (len(expected) - 1) + [1]


def test_without_known_targets_there_are_no_cases():
    cases = known_cases(SESSIONS, np.zeros(4, bool), max_length=None, mask_seen=False)
    assert len(cases) == len(cases.targets) == len(cases.session) == 0


def test_the_items_of_a_prefix_are_masked_and_no_others():
    scores = np.zeros((3, 4), np.float32)
    mask_history(scores, [np.array([2, 0, 2]), np.array([], np.int32), np.array([3])])
    expected = [[-np.inf, 0, -np.inf, 0], [0, 0, 0, 0], [0, 0, 0, -np.inf]]
    np.testing.assert_array_equal(scores, expected)
    mask_history(np.zeros((0, 4)), [])


def test_what_a_prefix_holds_is_told_of_candidates_only():
    prefixes = [np.array([3, 0, 3], np.int32), np.array([9], np.int32), np.array([1, 4], np.int32)]
    expected = [[False, True, False], [False, False, False], [True, False, True]]
    assert contained(prefixes, torch.tensor([1, 3, 4])).tolist() == expected
