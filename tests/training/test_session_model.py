"""The session recommender: what it learns, and what must never change its scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import new_stage
from torch import nn

from tpad.data.sessions import Sessions
from tpad.errors import BundleError, ConfigError, DataError
from tpad.model.session.fitted import FittedSessionModel
from tpad.model.session.network import SessionModel, SessionModelConfig
from tpad.training.fitting import fit_session_model
from tpad.training.sampled_softmax import Sampling

KINDS, COLOURS = 6, 8
CONFIG = SessionModelConfig(
    width=32, hidden=32, layers=1, heads=2, epochs=12, batch_size=32, learning_rate=5e-3, seed=3
)


def sessions_of(items: list) -> Sessions:
    ids = np.array([f"s{i}" for i in range(len(items))], dtype=object)
    rows = [np.asarray(session, dtype=np.int32) for session in items]
    return Sessions(ids, rows, np.arange(len(items), dtype=np.int64))


@pytest.fixture(scope="module")
def shop():
    """Items are (kind, colour); what follows is the next kind in the same colour, always."""
    kind, colour = np.divmod(np.arange(KINDS * COLOURS), COLOURS)
    features = np.concatenate([np.eye(KINDS)[kind], np.eye(COLOURS)[colour]], axis=1)
    cold = np.zeros(len(kind), dtype=bool)
    cold[[8, 17, 26, 35, 44]] = True  # each of another kind and colour
    rng = np.random.default_rng(0)
    train = []
    while len(train) < 700:
        start = int(rng.integers(len(kind)))
        walk = [((start // COLOURS + i) % KINDS) * COLOURS + start % COLOURS for i in range(3)]
        if not cold[walk].any():
            train.append(walk)
    return features.astype(np.float32), cold, sessions_of(train[:600]), sessions_of(train[600:])


@pytest.fixture(scope="module")
def fitted(shop):
    features, cold, train, validation = shop
    return fit_session_model(features, train, validation, ~cold, CONFIG)


def network(n_items: int = 10, **changes) -> SessionModel:
    torch.manual_seed(0)
    config = replace(CONFIG, **{"layers": 2} | changes)
    return SessionModel(5, torch.ones(n_items, dtype=torch.bool), config).eval()


def test_learns_what_follows_and_ranks_cold_items_by_their_features(shop, fitted):
    _, cold, *_ = shop
    for target in np.flatnonzero(cold):
        previous = (target - COLOURS) % (KINDS * COLOURS)
        scores = fitted.scores([np.array([previous])])[0]
        assert (scores > scores[target]).sum() <= 1, target
    warm = [i for i in range(KINDS * COLOURS) if not cold[[i, (i + COLOURS) % len(cold)]].any()]
    best = fitted.scores([np.array([i]) for i in warm]).argmax(1)
    assert (best == (np.array(warm) + COLOURS) % len(cold)).mean() > 0.9


def test_direction_matters(fitted):
    scores = fitted.scores([np.array([COLOURS + 1])])[0]
    assert scores[2 * COLOURS + 1] > scores[1] + 0.3  # the next kind, not the one before


def test_reports_fall_in_loss_and_the_best_epoch_is_kept(shop, fitted):
    losses = [report.loss for report in fitted.history]
    assert losses[-1] < 0.5 * losses[0]
    assert max(report.validation for report in fitted.history) > 0.8


def test_later_items_do_not_change_earlier_states():
    model, table = network(), torch.randn(10, 5)
    with torch.no_grad():
        first = model(table, torch.tensor([[1, 2, 3, 4]]))
        second = model(table, torch.tensor([[1, 2, 7, 9]]))
    assert torch.allclose(first[:, :2], second[:, :2], atol=1e-6)
    assert not torch.allclose(first[:, 2:], second[:, 2:], atol=1e-3)


def test_earlier_items_do_change_later_states():
    model, table = network(), torch.randn(10, 5)
    with torch.no_grad():
        first = model(table, torch.tensor([[1, 2, 3]]))
        second = model(table, torch.tensor([[9, 2, 3]]))
    assert not torch.allclose(first[:, 2], second[:, 2], atol=1e-3)


def test_padding_and_batch_mates_change_nothing(fitted):
    short, long = np.array([5]), np.array([1, 9, 3, 11, 12])
    alone = np.concatenate([fitted.scores([short]), fitted.scores([long])])
    together = fitted.scores([short, long])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_it_matters_which_of_two_items_came_first():
    """Distances alone tell the last item only: one layer then mixes the others in any order."""
    model, table = network(layers=1), torch.randn(10, 5)
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 1, 3]])

    def last_scores(sessions):
        with torch.no_grad():
            return model.scores(model(table, sessions)[:, 2], model.item_vectors(table))

    padded = torch.tensor([[1, 2, 3, -1, -1]])
    assert torch.allclose(last_scores(padded), last_scores(one), atol=1e-6)
    assert (last_scores(one) - last_scores(other)).abs().max() > 1e-4
    with torch.no_grad():
        model.positions.zero_()
    assert torch.allclose(last_scores(one), last_scores(other), atol=1e-6)


def test_a_fitted_model_reads_the_order_of_the_first_items(fitted):
    one, other = np.array([1, 9, 3]), np.array([9, 1, 3])
    long = np.array([4, 5, 6, 7, 10, 11])  # the others are padded to its length
    together = fitted.scores([one, other, long])
    np.testing.assert_allclose(together[:1], fitted.scores([one]), atol=1e-5)
    np.testing.assert_allclose(together[1:2], fitted.scores([other]), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2


def test_only_the_most_recent_items_are_read(shop):
    features, cold, train, validation = shop
    config = replace(CONFIG, max_length=2, epochs=1)
    model = fit_session_model(features, train, validation, ~cold, config)
    np.testing.assert_array_equal(
        model.scores([np.array([7, 1, 2])]), model.scores([np.array([1, 2])])
    )


def test_sessions_longer_than_the_window_train_on_every_click():

    windows = sessions_of([range(8), [3], [1, 2]]).windows(max_length=3)
    targets = [list(window[1:]) for window in windows]
    assert targets == [[1, 2, 3], [4, 5, 6], [7], [2]]


def test_same_seed_same_model_and_the_callers_randomness_is_untouched(shop):
    features, cold, train, validation = shop
    config = replace(CONFIG, epochs=2)
    torch.manual_seed(123)
    first = fit_session_model(features, train, validation, ~cold, config)
    after = torch.rand(1)
    torch.manual_seed(123)
    assert torch.equal(torch.rand(1), after)
    second = fit_session_model(features, train, validation, ~cold, config)
    other = fit_session_model(features, train, validation, ~cold, replace(config, seed=4))
    prefix = [np.array([1, 9])]
    np.testing.assert_array_equal(first.scores(prefix), second.scores(prefix))
    assert not np.allclose(first.scores(prefix), other.scores(prefix))


POOLED = {"layers": 0, "tied": True, "id_embedding": True}


@pytest.mark.parametrize(
    "changes", [{}, {"pca": 6, "id_embedding": True, "item_bias": True}, POOLED]
)
def test_a_restored_model_gives_the_same_scores(shop, changes):
    features, cold, train, validation = shop
    config = replace(CONFIG, epochs=1, **changes)
    model = fit_session_model(features, train, validation, ~cold, config)
    again = FittedSessionModel.restored(model.state_dict(), config, features, model.history)
    assert again.config == config
    assert again.history == model.history
    prefixes = [np.array([1, 2]), np.array([8])]
    np.testing.assert_array_equal(model.scores(prefixes), again.scores(prefixes))


def test_features_of_another_shape_are_refused(fitted, shop):
    with pytest.raises(BundleError, match="features of shape"):
        FittedSessionModel.restored(fitted.state_dict(), fitted.config, shop[0][:, :4])


def test_new_items_are_ranked_and_may_stand_in_a_session(fitted, shop):
    features = shop[0]
    target = 8  # cold: its features are given once more, as a new item
    wider = fitted.with_new_items(features[[target]])
    assert wider.n_items == len(features) + 1
    prefixes = [np.array([0]), np.array([1, 16])]
    scores = wider.scores(prefixes)
    np.testing.assert_allclose(scores[:, -1], scores[:, target], atol=1e-5)
    np.testing.assert_allclose(scores[:, :-1], fitted.scores(prefixes), atol=1e-5)
    np.testing.assert_allclose(
        wider.scores([np.array([len(features)])]), wider.scores([np.array([target])]), atol=1e-5
    )
    np.testing.assert_allclose(
        fitted.encode_new(features[[target]])[0], fitted.item_vectors[target], atol=1e-6
    )
    with pytest.raises(DataError, match="shape"):
        fitted.with_new_items(features[:, :3])


def test_scores_are_dot_products_of_session_and_item_vectors(fitted):
    prefixes = [np.array([3]), np.array([4, 12])]
    np.testing.assert_allclose(
        fitted.session_vectors(prefixes) @ fitted.item_vectors.T, fitted.scores(prefixes), atol=1e-4
    )
    assert fitted.scores([]).shape == (0, fitted.n_items)


def test_ids_are_used_for_warm_items_only(shop):
    features, cold, train, validation = shop
    config = replace(CONFIG, epochs=2, id_embedding=True)
    model = fit_session_model(features, train, validation, ~cold, config)
    same = np.tile(features[:1], (len(features), 1))
    vectors = FittedSessionModel(model.network, model.scaler, same).item_vectors
    assert np.ptp(vectors[cold], axis=0).max() < 1e-6  # told apart by features alone
    assert np.ptp(vectors[~cold], axis=0).max() > 1e-3


def test_without_blocks_the_state_is_a_mean_with_a_decay():
    model = network(**POOLED)
    names = {name for name, _ in model.named_parameters()}
    assert not any(name.startswith(("input_ids", "positions")) for name in names)
    elements = torch.randn(2, 4, CONFIG.width)
    factor = torch.exp(-nn.functional.softplus(model.decay))
    mean = sum(factor**back * elements[:, 3 - back] for back in range(4))
    torch.testing.assert_close(model.encode(elements)[:, 3], model.state_norm(mean))
    longer = torch.cat([elements, torch.randn(2, 1, CONFIG.width)], dim=1)
    torch.testing.assert_close(model.encode(longer)[:, :4], model.encode(elements))  # causal


def test_a_mean_with_a_decay_also_learns_what_follows(shop):
    features, cold, train, validation = shop
    config = replace(CONFIG, weight_decay=0.01, **POOLED)
    model = fit_session_model(features, train, validation, ~cold, config)
    assert max(report.validation for report in model.history) > 0.9


def test_gradients_flow_into_the_table():
    model, table = network(), torch.randn(10, 5, requires_grad=True)
    states = model(table, torch.tensor([[1, 2]]))
    model.scores(states, model.item_vectors(table)).sum().backward()
    assert table.grad[[1, 2]].abs().sum() > 0


class Table(nn.Module):
    """Features that are parameters."""

    def __init__(self, features: np.ndarray) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.from_numpy(features.copy()))

    def forward(self) -> torch.Tensor:
        return self.features


def test_downstream_feedback_trains_the_features_too(shop):
    features, cold, train, validation = shop
    noise = np.random.default_rng(0).standard_normal(features.shape).astype(np.float32)
    table = Table(noise)
    model = fit_session_model(noise, train, validation, ~cold, CONFIG, table_fn=table)
    assert np.abs(model.features - noise).max() > 0.05
    np.testing.assert_array_equal(model.features, table.features.detach().numpy())


def resumed(shop, config, folder, stops, told=None, **options):
    """A training killed after each of some epochs, then run to its end; reports go to `told`."""
    told, stops = [] if told is None else told, list(stops)

    def tell(report):
        told.append(report)
        if stops and report.epoch == stops[0]:
            stops.pop(0)
            raise KeyboardInterrupt

    for _ in range(len(stops)):
        with pytest.raises(KeyboardInterrupt):
            resumed_once(shop, config, folder, tell, **options)
    return resumed_once(shop, config, folder, tell, **options)


def resumed_once(shop, config, folder, tell, table=False, sampling=None):
    """One start, as in a new process."""
    features, cold, train, validation = shop
    torch.manual_seed(np.random.default_rng().integers(2**31))  # nothing may depend on it
    return fit_session_model(
        features,
        train,
        validation,
        ~cold,
        config,
        progress=tell,
        checkpoint=new_stage(folder),
        table_fn=Table(features) if table else None,
        table_learning_rate=1e-3,
        sampling=sampling,
    )


def assert_equal_models(one: FittedSessionModel, other: FittedSessionModel) -> None:
    assert one.history == other.history
    np.testing.assert_array_equal(one.features, other.features)
    weights = other.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("sampling", [None, Sampling(20, 15, 30)])
def test_a_killed_training_ends_where_an_uninterrupted_one_does(shop, tmp_path, table, sampling):
    features, cold, train, validation = shop
    config = replace(CONFIG, epochs=5, id_embedding=True, item_bias=sampling is not None)
    whole = fit_session_model(
        features,
        train,
        validation,
        ~cold,
        config,
        table_fn=Table(features) if table else None,
        table_learning_rate=1e-3,
        sampling=sampling,
    )
    told = []
    parts = resumed(
        shop, config, tmp_path / "parts", [1, 3, 5], told, table=table, sampling=sampling
    )
    assert_equal_models(whole, parts)
    assert [report.epoch for report in told] == [1, 2, 3, 4, 5]  # no epoch is run twice


def test_patience_reaches_across_a_kill(shop, tmp_path):
    features, cold, train, _ = shop
    rng = np.random.default_rng(1)
    warm = np.flatnonzero(~cold)
    noise = sessions_of([rng.choice(warm, 2, replace=False) for _ in range(60)])
    shop = features, cold, train, noise  # nothing can be learnt about it for long
    config = replace(CONFIG, patience=3)
    whole = fit_session_model(features, train, noise, ~cold, config)
    reached = [report.validation for report in whole.history]
    best = 1 + reached.index(max(reached))
    assert len(reached) == best + 3 < config.epochs
    for stops in ([best], [best + 1, best + 2], [best + 3]):
        parts = resumed(shop, config, tmp_path / f"parts-{stops[0]}", stops)
        assert_equal_models(whole, parts)


def test_an_epoch_shows_its_batches(shop):
    features, cold, train, validation = shop
    shown = []

    def bar(batches, total, what):
        batches = list(batches)
        shown.append((len(batches), total, what))
        return batches

    fit_session_model(features, train, validation, ~cold, replace(CONFIG, epochs=2), bar=bar)
    assert shown == [(19, 19, "epoch 1/2"), (19, 19, "epoch 2/2")]


def test_repeats_are_no_targets_when_history_is_masked():
    features = np.eye(4, dtype=np.float32)
    train = sessions_of([[0, 1, 0, 1], [0, 1], [2, 3]] * 20)
    nothing = sessions_of([])
    warm = np.ones(4, dtype=bool)
    config = replace(CONFIG, epochs=8)
    masked = fit_session_model(features, train, nothing, warm, config)
    kept = fit_session_model(features, train, nothing, warm, replace(config, mask_seen=False))
    prefix = [np.array([0, 1])]
    assert kept.scores(prefix)[0].argmax() == 0  # 0 follows 0, 1
    assert kept.scores(prefix)[0][0] > masked.scores(prefix)[0][0] + 1


def test_errors_are_sentences(shop):
    features, cold, train, validation = shop
    with pytest.raises(DataError, match="two clicks"):
        fit_session_model(features, sessions_of([[1], [2]]), validation, ~cold, CONFIG)
    with pytest.raises(DataError, match="row 4"):
        broken = features.copy()
        broken[4, 0] = np.nan
        fit_session_model(broken, train, validation, ~cold, CONFIG)
    with pytest.raises(DataError, match="features of 3 items"):
        fit_session_model(features[:3], train, validation, ~cold, CONFIG)
    with pytest.raises(DataError, match="warm target"):
        only_cold = sessions_of([[0, int(np.flatnonzero(cold)[0])]])
        fit_session_model(features, only_cold, validation, ~cold, CONFIG)
    with pytest.raises(ConfigError, match="divide"):
        SessionModelConfig(width=10, heads=4)
    with pytest.raises(ConfigError, match="dropout"):
        SessionModelConfig(dropout=1.0)
