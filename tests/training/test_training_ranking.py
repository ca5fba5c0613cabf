"""The reciprocal ranks that training stages are validated by."""

import numpy as np
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from eval.metrics.ranks import case_values, target_ranks
from tpad.training.ranking import reciprocal_ranks

# Few distinct values, so that ties and −inf are common.
scores_and_targets = st.tuples(st.integers(1, 5), st.integers(1, 30)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.sampled_from([-np.inf, -1.0, 0.0, 2.0])),
        arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)),
    )
)


@given(scores_and_targets, st.integers(1, 20))
def test_training_and_evaluation_know_one_reciprocal_rank(case, k):
    scores, targets = case
    found = reciprocal_ranks(torch.from_numpy(scores), torch.from_numpy(targets), k)
    assert found.dtype == torch.float32
    expected = case_values(target_ranks(scores, targets), "MRR", k)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_a_model_that_scores_everything_alike_does_not_come_first():
    found = reciprocal_ranks(torch.zeros(1, 4), torch.tensor([2]))
    assert found.item() == torch.tensor((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_a_target_without_a_number_is_worth_nothing():
    scores = torch.tensor([[torch.nan, 0.0], [-torch.inf, 0.0]])
    assert reciprocal_ranks(scores, torch.tensor([0, 0])).tolist() == [0, 0]
