"""The gain of a picture per token, and its standard error."""

import numpy as np
import pytest

from tpad.assembly.measure import _gain


def test_a_gain_that_is_equal_for_all_tokens_has_no_error():
    assert _gain(np.array([1.0, 1.5]), np.array([2, 3])) == pytest.approx(
        {"nats_per_token": 0.5, "standard_error": 0.0}
    )


def test_the_error_is_that_of_drawing_other_items():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 40, 300)
    differences = 0.1 * tokens + rng.normal(0, 1, 300) * tokens**0.5
    found = _gain(differences, tokens)
    draws = rng.integers(0, 300, (2000, 300))
    means = differences[draws].sum(1) / tokens[draws].sum(1)
    assert found["standard_error"] == pytest.approx(means.std(), rel=0.1)
    assert found["nats_per_token"] == pytest.approx(0.1, abs=3 * means.std())
