"""Neural baselines learn known patterns, and compute what their papers say."""

import numpy as np
import pytest
import torch
from small_shops import dataset_of

from eval.baselines import BASELINES
from eval.baselines.losses import MASKED, bpr_max, cross_entropy
from eval.baselines.narm import NARMNetwork
from eval.baselines.neural import NeuralConfig
from eval.baselines.srgnn import SRGNNConfig, SRGNNNetwork, session_graph

NEURAL = ["gru4rec", "narm", "srgnn", "sasrec"]
FAST = {"width": 16, "epochs": 8, "learning_rate": 2e-2, "batch_size": 16, "dropout": 0.0}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small gain nothing from a second thread, and wait for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cycles(n_items: int = 8, count: int = 96):
    """Every item is followed by the next one, round and round."""
    sessions = [[(start + i) % n_items for i in range(4)] for start in range(n_items)]
    return dataset_of(sessions * (count // n_items), sessions, [], n_items + 1)


def next_items(model) -> np.ndarray:
    """(8,) what follows each item of `cycles`, itself masked."""
    scores = model.scores([np.array([start]) for start in range(8)])
    np.fill_diagonal(scores, -np.inf)
    return scores.argmax(1)


@pytest.mark.parametrize("name", NEURAL)
@pytest.mark.parametrize("extra", [{}, {"loss": "bpr-max", "score_regularisation": 0.1}])
def test_learns_which_item_follows(name, extra):
    model = BASELINES[name].make(0, FAST | extra, None).fit(cycles())
    assert list(next_items(model)) == [1, 2, 3, 4, 5, 6, 7, 0]
    assert model.history[-1].loss < model.history[0].loss
    assert max(report.validation for report in model.history) == 1.0


@pytest.mark.parametrize("name", NEURAL)
def test_learns_from_what_came_before_the_last_item(name):
    # After 4 comes 2 if the session began with 0, and 3 if it began with 1: no chain knows that.
    train = [[0, 4, 2], [1, 4, 3]] * 40
    model = BASELINES[name].make(0, FAST, None).fit(dataset_of(train, train[:2], [], 5))
    scores = model.scores([np.array([0, 4]), np.array([1, 4])])
    assert scores[0, 2] > scores[0, 3] and scores[1, 3] > scores[1, 2]


@pytest.mark.parametrize("name", NEURAL)
def test_learns_from_sampled_negatives(name):
    model = BASELINES[name].make(0, FAST | {"negatives": 3}, None).fit(cycles())
    assert (next_items(model) == (np.arange(8) + 1) % 8).mean() >= 0.75


@pytest.mark.parametrize("name", NEURAL)
def test_unknown_items_are_skipped_and_only_recent_ones_count(name):
    settings = FAST | {"epochs": 1, "max_length": 3}
    model = BASELINES[name].make(0, settings, None).fit(cycles())
    scores = model.scores([np.array(s) for s in ([1, 2, 3], [7, 0, 1, 2, 3], [1, 8, 2, 3, 8])])
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    np.testing.assert_allclose(scores[2], scores[0], atol=1e-6)


@pytest.mark.parametrize("name", NEURAL)
def test_the_state_after_a_prefix_does_not_see_what_follows(name):
    data = cycles()
    model = BASELINES[name].make(0, FAST | {"epochs": 1}, None).fit(data)
    first = torch.tensor([[0, 3, 3, 1, 6], [0, 3, 3, 5, 2]])
    row, step = torch.tensor([0, 1]), torch.tensor([2, 2])
    with torch.no_grad():
        states = model.network.states(first, row, step)
        alone = model.network.states(first[:1, :3], row[:1], step[:1])
    torch.testing.assert_close(states[0], states[1])
    torch.testing.assert_close(states[0], alone[0])


@pytest.mark.parametrize("name", NEURAL)
def test_the_best_epoch_is_kept_and_patience_ends_training(name):
    seen = []
    settings = FAST | {"epochs": 9, "patience": 2}
    # Validation asks for the opposite of what training teaches, so it soon gets worse.
    train = [[0, 1, 2, 3]] * 30 + [[3, 0], [1, 0]]
    data = dataset_of(train, [[1, 0], [3, 0]], [], 4)
    model = BASELINES[name].make(0, settings, seen.append).fit(data)
    assert model.history == seen and [r.epoch for r in seen] == list(range(1, len(seen) + 1))
    values = [report.validation for report in seen]
    best = int(np.argmax(values))
    assert len(values) == min(9, best + 1 + 2)
    ranks = [
        1 + int((np.delete(scores, prefix) > scores[0]).sum())
        for prefix, scores in zip([1, 3], model.scores([np.array([1]), np.array([3])]), strict=True)
    ]
    assert np.isclose(np.mean(1 / np.array(ranks)), values[best])


def test_without_validation_cases_the_last_epoch_is_kept():
    model = BASELINES["gru4rec"].make(0, FAST, None).fit(dataset_of([[0, 1]] * 9, [], [], 2))
    assert len(model.history) == FAST["epochs"] and np.isnan(model.history[-1].validation)


def test_the_global_random_state_is_unchanged():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    BASELINES["sasrec"].make(0, FAST | {"epochs": 1}, None).fit(cycles())
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize("name", NEURAL)
def test_repeats_are_learned_if_the_history_is_kept(name):
    data = dataset_of([[0, 1, 0, 1]] * 40 + [[2, 3]] * 5, [[0, 1, 0]], [], 4)
    free = BASELINES[name].make(0, FAST | {"epochs": 16, "mask_seen": False}, None).fit(data)
    assert free.scores([np.array([0, 1])])[0].argmax() == 0
    assert free.history[-1].validation == 1.0  # also asked for 0 after 0, 1


def test_losses_on_small_examples():
    own, negatives = torch.tensor([1.0]), torch.tensor([[0.0, 2.0, MASKED]])
    expected = np.log(np.exp(1) + np.exp(0) + np.exp(2)) - 1
    assert np.isclose(float(cross_entropy(own, negatives)), expected)
    share = np.exp([0.0, 2.0]) / np.exp([0.0, 2.0]).sum()
    better = share @ (1 / (1 + np.exp(-(1 - np.array([0.0, 2.0])))))
    expected = -np.log(better) + 0.5 * share @ np.array([0.0, 4.0])
    assert np.isclose(float(bpr_max(own, negatives, 0.5)), expected)
    nobody = torch.full((1, 2), MASKED)
    assert np.isfinite(float(bpr_max(own, nobody, 0.5))) and float(cross_entropy(own, nobody)) == 0


def test_narm_attends_as_its_paper_says():
    torch.manual_seed(0)
    network = NARMNetwork(6, NeuralConfig(width=4)).eval()
    session = torch.tensor([[2, 5, 0]])
    with torch.no_grad():
        hidden = network.gru(network.items(session))[0][0]  # (3, 4)
        each = torch.stack(
            [
                network.attention(
                    torch.sigmoid(network.from_last(hidden[2]) + network.from_each(one))
                )
                for one in hidden
            ]
        )
        local = (each * hidden).sum(0)
        expected = network.decoder(torch.cat([hidden[2], local]))
        torch.testing.assert_close(network(session)[0, 2], expected)


def test_the_graph_of_a_session():
    node, into, out = session_graph(torch.tensor([[7, 8, 7, 9, 7, 8], [7, 7, 5, -1, -1, -1]]))
    assert node[0].tolist() == [0, 1, 0, 3, 0, 1]
    # 7 is left for 8 (twice, counted once) and 9, and comes from both.
    assert out[0].nonzero().tolist() == [[0, 1], [0, 3], [1, 0], [3, 0]]
    assert out[0, 0, 1] == 0.5 and out[0, 1, 0] == 1.0
    assert into[0, 0, 1] == 0.5 and into[0, 1, 0] == 1.0
    assert out[1].nonzero().tolist() == [[0, 0], [0, 2]]  # nothing leads into the padding


def test_srgnn_ignores_padding():
    torch.manual_seed(0)
    network = SRGNNNetwork(6, SRGNNConfig(width=4, steps=2)).eval()
    with torch.no_grad():
        short = network(torch.tensor([[2, 5, 2]]))
        padded = network(torch.tensor([[2, 5, 2, -1, -1], [0, 1, 2, 3, 4]]))
    torch.testing.assert_close(short[0], padded[0])
