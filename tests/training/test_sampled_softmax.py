"""Sampled softmax: its correction, its masks, and models trained with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_session_model import CONFIG, POOLED, assert_equal_models, sessions_of, shop  # noqa: F401
from torch import nn

from tpad.model.session.batching import PADDING, shuffled_batches
from tpad.training.fitting import _Task, fit_session_model
from tpad.training.row_adam import RowAdam, clip_gradients
from tpad.training.sampled_softmax import (
    MASKED,
    Sampling,
    SessionSampler,
    correction,
    positions,
    some_cases,
)

N = 60
SAMPLING = Sampling(full_softmax_items=20, negatives=15, validation_cases=30)


def windows_over(rng: np.random.Generator, count: int = 300) -> list[np.ndarray]:
    """Windows of two to five clicks within a family of six items; some items are popular."""
    share = 1.0 / np.arange(1, 7)
    families = rng.integers(0, N // 6, count)
    lengths = rng.integers(2, 6, count)
    return [
        6 * family + rng.choice(6, length, p=share / share.sum())
        for family, length in zip(families, lengths, strict=True)
    ]


@pytest.mark.parametrize("masked", [True, False])
def test_the_corrected_normaliser_is_unbiased_for_each_case(masked):
    rng = np.random.default_rng(0)
    windows = windows_over(rng)
    sampler = SessionSampler(windows, np.arange(N), N, SAMPLING.negatives)
    # A case prefers its own family, as after training: the items that share its window count most.
    scores = torch.randn(N, N, generator=torch.manual_seed(0))
    scores += 3.0 * (torch.arange(N)[:, None] // 6 == torch.arange(N) // 6)
    ratios, no_own = [], []
    for _ in range(40):
        for batch in shuffled_batches(windows, 16, rng):
            inputs, targets = batch[:, :-1], batch[:, 1:]
            lengths = (batch >= 0).sum(1).numpy()
            columns, log_q = sampler.draw(lengths, targets[targets >= 0].numpy(), rng)
            own = positions(columns, targets)  # (B, L)
            seen = positions(columns, inputs[:, :1]) if masked else None  # of the first case
            every, sampled = scores[inputs[:, 0]], scores[inputs[:, 0]][:, columns]
            if masked:
                every = every.scatter(1, inputs[:, :1], -torch.inf)
            whole = every.logsumexp(1)
            kept = (targets[:, 0] != inputs[:, 0]) | (not masked)  # repeats are no cases
            found = (sampled - correction(log_q, own, seen)).logsumexp(1)
            ratios.append((found - whole).exp()[kept])
            only = torch.full_like(own, PADDING)  # the correction of one target alone
            only[:, 0] = own[:, 0]
            no_own.append(
                ((sampled - correction(log_q, only, seen)).logsumexp(1) - whole).exp()[kept]
            )
    ratio = torch.cat(ratios)
    deviation = float(ratio.std() / len(ratio) ** 0.5)
    assert deviation < 0.01
    assert abs(float(ratio.mean()) - 1) < 0.01 + 3 * deviation
    assert abs(float(torch.cat(no_own).mean()) - 1) > 0.05


def test_correction_of_own_targets_and_of_seen_items():
    log_q = torch.tensor([-1.0, -2.0, -3.0, -4.0])
    own = torch.tensor([[1, 1, PADDING], [3, PADDING, PADDING]])
    seen = torch.tensor([[0, PADDING, PADDING], [0, 2, 0]])
    expected = [[MASKED, 0.0, -3.0, -4.0], [MASKED, -2.0, MASKED, 0.0]]
    assert correction(log_q, own, seen).tolist() == expected
    assert correction(log_q, own, None)[1].tolist() == [-1.0, -2.0, -3.0, 0.0]


def test_positions_in_a_sample():
    columns = torch.tensor([2, 5, 9])
    wanted = torch.tensor([[9, 3], [PADDING, 2], [5, 10]])
    assert positions(columns, wanted).tolist() == [[2, PADDING], [PADDING, 0], [1, PADDING]]


def task_of(items: list, negatives: int, **changes) -> tuple[_Task, torch.Tensor]:
    """A task without dropout, with the sampled loss, and its windows as one batch."""
    rng = np.random.default_rng(0)
    changes = {"id_embedding": True, "item_bias": True, **changes}
    config = replace(CONFIG, dropout=0.0, id_dropout=0.0, **changes)
    torch.manual_seed(0)
    task = _Task(
        rng.standard_normal((N, 8)).astype(np.float32),
        sessions_of([]),
        np.arange(N) < N - 3,
        config,
        None,
        1e-3,
        Sampling(negatives, negatives),
        torch.device("cpu"),
    )
    task.trainer([np.array(one) for one in items])
    batch = torch.full((len(items), max(map(len, items))), PADDING)
    for row, one in enumerate(items):
        batch[row, : len(one)] = torch.as_tensor(one)
    return task, batch


def gradients(task: _Task, batch: torch.Tensor) -> torch.Tensor:
    task.network.zero_grad()
    loss, _ = task._loss(batch)
    loss.backward()
    parts = [p.grad.to_dense() for p in task.network.parameters() if p.grad is not None]
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("mask_seen", [True, False])
@pytest.mark.parametrize("network", [{}, POOLED])
def test_the_mean_gradient_is_that_of_the_full_softmax(mask_seen, network):
    windows = windows_over(np.random.default_rng(1), 60)
    windows[0] = np.array([1, N - 1, 2])  # with a cold item, which is input only
    task, batch = task_of(windows, 40, mask_seen=mask_seen, **network)
    sampled = torch.stack([gradients(task, batch) for _ in range(200)]).mean(0)
    sampler, task.sampler = task.sampler, None
    whole = gradients(task, batch)
    assert nn.functional.cosine_similarity(sampled, whole, dim=0) > 0.995
    assert sampled.norm() == pytest.approx(float(whole.norm()), rel=0.05)
    # The batch holds all windows, so all their targets are certain to be in the sample.
    targets = batch[:, 1:]
    columns, log_q = sampler.draw(
        (batch >= 0).sum(1).numpy(),
        task._columns(targets)[targets >= 0].clamp(min=0).numpy(),
        np.random.default_rng(0),
    )
    held = np.isin(columns.numpy(), targets.numpy())
    assert held.any() and not log_q[torch.from_numpy(held)].any()


def test_a_step_uses_the_rows_of_its_batch_and_sample_only():
    task, batch = task_of([[0, 1, 2], [3, 4]] + [[5, 6]] * 20, 10)
    loss, cases = task._loss(batch[:2])
    loss.backward()
    assert cases == 3
    network = task.network
    assert set(network.input_ids.grad.coalesce().indices()[0].tolist()) <= {0, 1, 3, 4}
    touched = set(network.output_ids.grad.coalesce().indices()[0].tolist())
    assert {1, 2, 4} <= touched and 10 <= len(touched) <= 13 and max(touched) < N - 3
    assert set(network.bias.grad.coalesce().indices()[0].tolist()) == touched


def test_items_of_the_session_are_no_negatives():
    task, batch = task_of([[0, 1]], N - 4)
    loss, _ = task._loss(batch)
    loss.backward()
    gradient = task.network.bias.grad.to_dense()
    assert gradient[0] == 0 and gradient[1] < 0 and (gradient[2:] >= 0).all()


@pytest.mark.parametrize("network", [{}, POOLED])
def test_a_sampled_model_learns_what_follows(shop, network):  # noqa: F811
    features, cold, train, validation = shop
    config = replace(CONFIG, weight_decay=0.01, **network)
    model = fit_session_model(features, train, validation, ~cold, config, sampling=SAMPLING)
    assert max(report.validation for report in model.history) > 0.9


def test_equal_seeds_give_equal_sampled_models(shop):  # noqa: F811
    features, cold, train, validation = shop
    config = replace(CONFIG, epochs=2, id_embedding=True, item_bias=True)
    one, same, other = (
        fit_session_model(features, train, validation, ~cold, wanted, sampling=SAMPLING)
        for wanted in (config, config, replace(config, seed=4))
    )
    assert_equal_models(one, same)
    assert one.history != other.history


def test_up_to_the_size_nothing_is_sampled(shop):  # noqa: F811
    features, cold, train, validation = shop
    config = replace(CONFIG, epochs=2, id_embedding=True)
    plain = fit_session_model(features, train, validation, ~cold, config)
    size = int((~cold).sum())
    for limit, equal in ((size, True), (size - 1, False)):
        sampling = Sampling(limit, 15, 30)
        model = fit_session_model(features, train, validation, ~cold, config, sampling=sampling)
        if equal:
            assert_equal_models(plain, model)
        else:
            assert plain.history[0].loss != model.history[0].loss


@pytest.mark.parametrize("shape", [(6, 3), (6,)])
def test_row_adam_takes_the_steps_of_adam_without_momentum(shape):
    torch.manual_seed(0)
    start = torch.randn(shape)
    table, dense = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one, other = RowAdam([table], lr=0.1), torch.optim.Adam([dense], lr=0.1, betas=(0.0, 0.98))
    for rows in ([1, 4], [2], [1], [4, 2], [1]):
        values = torch.randn(len(rows), *shape[1:])
        rows = torch.tensor(rows)
        table.grad = torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=True)
        dense.grad = torch.zeros(shape).index_copy(0, rows, values)
        one.step()
        other.step()
    torch.testing.assert_close(table, dense)
    assert torch.equal(table[[0, 3, 5]], start[[0, 3, 5]])


def test_gradients_are_clipped_jointly():
    dense, sparse = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(4, 1))
    dense.grad = torch.tensor([3.0, 0.0])
    twice = torch.tensor([[1.0], [3.0]])  # the two parts of row 1 add up to 4
    sparse.grad = torch.sparse_coo_tensor([[1, 1]], twice, (4, 1), check_invariants=True)
    clip_gradients([dense, sparse, nn.Parameter(torch.zeros(1))], 1.0)
    torch.testing.assert_close(dense.grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(sparse.grad.to_dense()[1, 0], torch.tensor(0.8))
    clip_gradients([dense, sparse], 10.0)
    torch.testing.assert_close(dense.grad, torch.tensor([0.6, 0.0]))


def test_validation_cases_beyond_the_size_are_a_fixed_sample(shop):  # noqa: F811
    chosen = some_cases(100, 30)
    assert len(set(chosen.tolist())) == 30 and (np.diff(chosen) > 0).all() and chosen.max() < 100
    np.testing.assert_array_equal(chosen, some_cases(100, 30))
    np.testing.assert_array_equal(some_cases(5, 30), np.arange(5))
    features, cold, _, validation = shop
    arguments = (features, validation, ~cold, CONFIG, None, 1e-3)
    tasks = [_Task(*arguments, one, torch.device("cpu")) for one in (Sampling(), SAMPLING)]
    assert len(tasks[0].cases) > 30 == len(tasks[1].cases)


def test_there_are_fewer_negatives_than_items():
    with pytest.raises(ValueError, match="more negatives"):
        Sampling(full_softmax_items=10, negatives=11)
