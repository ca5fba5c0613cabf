"""Batches of sessions, and how recommenders are optimised."""

import numpy as np
import pytest
import torch

from tpad.model.session.batching import BUCKET, PADDING, pad_sessions, shuffled_batches
from tpad.training.optimisation import adamw, warm_up_cosine


def sessions_of(lengths) -> list[np.ndarray]:
    """Sessions that hold their own number, so often as they are long."""
    return [np.full(length, row, dtype=np.int32) for row, length in enumerate(lengths)]


def test_sessions_are_padded_at_the_end():
    padded, last = pad_sessions([np.array([4, 0, 7], np.int32), np.array([3], np.int32)])
    assert padded.dtype == last.dtype == torch.int64
    assert padded.tolist() == [[4, 0, 7], [3, PADDING, PADDING]] and last.tolist() == [2, 0]


@pytest.mark.parametrize("count", [1, 7, 8, 101])
def test_every_session_is_in_one_batch(count):
    lengths = np.random.default_rng(0).integers(1, 9, count)
    batches = shuffled_batches(sessions_of(lengths), 4, np.random.default_rng(1))
    rows = [row[row != PADDING].tolist() for batch in batches for row in batch]
    assert sorted(rows) == [[i] * length for i, length in enumerate(lengths)]
    assert all(1 <= len(batch) <= 4 for batch in batches)
    assert len(batches) == -(-count // 4)  # no batch more than it takes
    assert all(int((batch >= 0).sum(1).max()) == batch.shape[1] for batch in batches)


def test_like_lengths_share_a_batch_within_a_bucket():
    size = 4
    lengths = np.arange(1, size * BUCKET + 1)  # one bucket
    batches = shuffled_batches(sessions_of(lengths), size, np.random.default_rng(0))
    longest = sorted(batch.shape[1] for batch in batches)
    assert longest == list(range(size, size * BUCKET + 1, size))
    assert [batch.shape[1] for batch in batches] != longest  # but their order is random


def test_the_generator_decides_the_batches():
    sessions = sessions_of(np.random.default_rng(0).integers(1, 9, 60))
    one, same, other = (
        shuffled_batches(sessions, 4, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_only_matrices_decay():
    matrix, bias, kept = (torch.nn.Parameter(torch.ones(shape)) for shape in [(2, 2), (2,), (2, 2)])
    groups = [{"params": [matrix, bias], "lr": 0.1}, {"params": [kept], "lr": 0.1}]
    optimizer = adamw([groups[0], groups[1] | {"weight_decay": 0.0}], weight_decay=0.5)
    for parameter in (matrix, bias, kept):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(matrix, torch.tensor(1 - 0.1 * 0.5))
    assert torch.equal(bias, torch.ones(2)) and torch.equal(kept, torch.ones(2, 2))


def test_the_rate_rises_to_the_peak_and_falls_to_zero():
    rates = [warm_up_cosine(step, 4000) for step in range(4001)]
    assert np.isclose(rates[0], 0.01) and rates[-1] == 0
    assert int(np.argmax(rates)) == 99 and rates[99] > 0.99  # after at most 100 steps
    assert np.isclose(rates[2000], 0.5) and (np.diff(rates[99:]) < 0).all()
    assert warm_up_cosine(0, 20) == 0.5 and warm_up_cosine(0, 1) == 1.0  # a tenth of few steps
