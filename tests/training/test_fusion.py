"""The fused recommender: its scores, its tuning, and what it learns on a small shop."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from tpad.data.cases import mask_history
from tpad.data.sessions import Sessions
from tpad.errors import ConfigError
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.fused import FusedModel, FusionWeights, Parts
from tpad.model.session.memory import Memory, MemoryConfig
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model
from tpad.training.fusion import (
    ID_NETWORK,
    FusionConfig,
    FusionTuning,
    clicks,
    fit_tuned,
    tune_fused,
)
from tpad.training.fusion.pools import WHITENINGS, Pools, exact_gains, pools_of, smooth_gains
from tpad.training.fusion.validation import ENOUGH, SHARE, Validation
from tpad.training.fusion.weights import STARTS, tune_weights
from tpad.training.ranking import expected_gains

N, COLOURS = 40, 8
SMALL = {"width": 16, "hidden": 16, "epochs": 6, "batch_size": 16}
CONFIG = FusionConfig(
    SessionModelConfig(heads=2, learning_rate=5e-3, **SMALL), replace(ID_NETWORK, **SMALL)
)


def fit_fused(features, train, validation, warm, config):
    tuning = tune_fused(features, train, validation, warm, config)
    return fit_tuned(features, train, validation, warm, tuning), tuning


def sessions_of(items: list) -> Sessions:
    ids = np.array([f"s{row}" for row in range(len(items))], dtype=object)
    rows = [np.asarray(one, dtype=np.int32) for one in items]
    return Sessions(ids, rows, np.arange(len(items)))


@pytest.fixture(scope="module")
def shop():
    """Item 8 k + c is of kind k and colour c; after it comes kind k + 1 in the same colour."""
    kind, colour = np.divmod(np.arange(N), COLOURS)
    features = np.concatenate([np.eye(N // COLOURS)[kind], np.eye(COLOURS)[colour]], axis=1)
    rng = np.random.default_rng(0)
    cold = np.zeros(N, bool)
    cold[[3, 12, 21]] = True
    walks = []
    while len(walks) < 260:
        start = int(rng.integers(N))
        walk = [((start // COLOURS + step) % 5) * COLOURS + start % COLOURS for step in range(3)]
        walks.append(walk)
    train = [walk for walk in walks if not cold[walk].any()]
    return features.astype(np.float32), cold, sessions_of(train[:160]), sessions_of(train[160:])


@pytest.fixture(scope="module")
def fitted(shop):
    features, cold, train, validation = shop
    return fit_fused(features, train, validation, ~cold, CONFIG)


def test_it_ranks_clicked_and_new_items(shop, fitted):
    _, cold, *_ = shop
    model, _ = fitted
    targets = np.flatnonzero(~cold)
    prefixes = [np.array([(target - COLOURS) % N]) for target in targets]
    scores = model.scores(prefixes)
    scores[:, cold] = -np.inf
    scores[np.arange(len(prefixes)), np.concatenate(prefixes)] = -np.inf  # as in ranking
    first = scores.argmax(1) == targets
    assert first[~cold[[prefix[0] for prefix in prefixes]]].mean() > 0.9
    for new in np.flatnonzero(cold):
        (scores,) = model.scores([np.array([(new - COLOURS) % N])])
        assert (scores > scores[new]).sum() < 9


def test_the_result_is_reproducible(shop, fitted):
    features, cold, train, validation = shop
    again, tuning = fit_fused(features, train, validation, ~cold, CONFIG)
    assert tuning == fitted[1]
    prefixes = [np.array([1, 9]), np.array([3])]
    np.testing.assert_array_equal(again.scores(prefixes), fitted[0].scores(prefixes))


def test_scores_are_the_formula():
    rng = np.random.default_rng(1)
    network, memory, cosine = rng.random((3, 2, 5)).astype(np.float32)
    near = rng.random((2, 5)).astype(np.float32)
    parts = Parts(network, memory, cosine, near)
    unclicked = np.array([False, True, False, False, True])
    weights = FusionWeights(
        network=0.5, memory=2.0, sharpness=10.0, neighbours=1.5, cosine=3.0, offset=-1.5
    )
    expected = 0.5 * network + 2 * np.log(1 + 10 * memory) + 3 * cosine - 1.5 * unclicked
    expected += 1.5 * np.log(1 + near)
    np.testing.assert_allclose(parts.fused(weights, unclicked), expected, rtol=1e-5)
    assert parts.memory is memory  # not changed
    np.testing.assert_array_equal(memory, Parts(network, memory, cosine).memory)


@pytest.fixture(scope="module", params=["content", "ids"])
def pooled(shop, request):
    features, cold, train, validation = shop
    check = Validation.of(train, validation, ~cold, mask_seen=True)
    config = replace(getattr(CONFIG, request.param), epochs=1)
    network = fit_session_model(features, check.train, validation, check.clicked, config)
    memory = Memory.fit(check.train, N, MemoryConfig(), mask_seen=True)
    near = SessionNeighbours.fit(check.train, N, NeighboursConfig())
    return check, pools_of(features, network, memory, near, check), (network, memory, near)


def test_the_tuned_weights_are_no_worse_than_any_start(pooled):
    _, pools, *_ = pooled
    chosen = tune_weights(pools)
    for start in STARTS:
        gains = smooth_gains(pools.scores(start, 0.0))
        assert chosen.value >= np.average(gains, weights=pools.weight) - 1e-12


def test_the_network_is_used_only_if_it_helps(pooled):
    _, pools, *_ = pooled
    noise = np.random.default_rng(0).normal(size=pools.items.shape).astype(np.float32)
    told = noise.copy()
    told[:, 0] += 9  # the target
    for network, helps in ((noise, False), (told, True)):
        other = replace(
            pools, parts=pools.parts | {("network", one): network for one in WHITENINGS}
        )
        assert (tune_weights(other).weights.network > 0) == helps


def test_a_larger_offset_costs_nothing_that_can_be_measured(pooled):
    _, pools, *_ = pooled
    chosen = tune_weights(pools)

    def gains(offset):
        weights = replace(chosen.weights, offset=offset)
        return pools.weight * exact_gains(pools.scores(weights, chosen.whitening))

    def lost(offset):
        """What it costs, and the standard error of that."""
        cost = best - gains(offset)
        of_session = np.bincount(pools.session, cost - cost.mean())
        return cost.sum(), np.sqrt((of_session**2).sum())

    def share(offset):
        """Share of new items in the lists."""
        scores = pools.scores(replace(chosen.weights, offset=offset), chosen.whitening)
        first = np.argsort(-scores, axis=1)[:, :20]
        shown = np.take_along_axis(pools.unclicked, first, 1).mean(1)
        return np.average(shown, weights=pools.weight)

    offsets = np.arange(-2, 6.01, 0.125)
    best = max(map(gains, offsets), key=np.sum)
    cost, error = lost(chosen.weights.offset)
    assert cost <= error
    clicked = np.average(pools.unclicked[:, 0], weights=pools.weight)
    larger = [one for one in offsets if one > chosen.weights.offset]
    assert larger and all(np.greater(*lost(one)) or share(one) > clicked for one in larger)


def test_without_new_items_there_is_no_offset(pooled):
    pools = replace(pooled[1], unclicked=np.zeros_like(pooled[1].unclicked))
    assert tune_weights(pools).weights.offset == 0


def test_long_sessions_weigh_by_the_root_of_their_cases(pooled):
    pools = replace(pooled[1], session=np.array([7] * 9 + [3] * 4 + [5]))
    whole = [pools.weight[pools.session == session].sum() for session in (7, 3, 5)]
    np.testing.assert_allclose(whole, np.array([3, 2, 1]) * whole[2])
    assert pools.weight.mean() == pytest.approx(1)


def test_pools_hold_the_scores_of_the_fused_model(shop, pooled):
    """With fewer items than a pool is wide, a pool holds all candidates."""
    check, pools, (network, memory, near) = pooled
    weights = FusionWeights(network=0.5, neighbours=2.0, cosine=3.0, recency=4.0, offset=0.7)
    space = ContentSpace.fit(shop[0], check.clicked, 0.25)
    model = FusedModel(network, memory, weights, neighbours=near, space=space)
    expected = model.scores(check.cases.prefixes)
    found = pools.scores(weights, 0.25)
    for row, prefix in enumerate(check.cases.prefixes):
        items = pools.items[row][pools.items[row] >= 0]
        wanted = check.candidates.copy()
        wanted[prefix] = False
        assert items[0] == check.cases.targets[row]
        assert sorted(items) == np.flatnonzero(wanted).tolist()
        scores = found[row, : len(items)]
        np.testing.assert_allclose(scores, expected[row, items], rtol=1e-4, atol=1e-5)
        assert (found[row, len(items) :] == -np.inf).all()


@pytest.mark.parametrize("mask_seen", [True, False])
def test_memories_are_valued_as_dense_scores_are(shop, mask_seen):
    _features, cold, train, validation = shop
    check = Validation.of(train, validation, ~cold, mask_seen=mask_seen)
    gains = 1 + 1 / torch.arange(1, 21, dtype=torch.float64)
    for model in (
        Memory.fit(check.train.take(np.arange(20)), N, MemoryConfig(), mask_seen=mask_seen),
        SessionNeighbours.fit(check.train, N, NeighboursConfig()),
    ):
        scores = model.scores(check.cases.prefixes).toarray()
        scores[:, ~check.candidates] = -np.inf
        if mask_seen:
            mask_history(scores, check.cases.prefixes)
        targets = torch.from_numpy(check.cases.targets).long()
        expected = expected_gains(torch.from_numpy(scores), targets, gains).sum()
        assert clicks._value(model, check.cases, check) == pytest.approx(float(expected))


def test_smooth_gains_follow_the_rank():
    scores = np.array([[2, 1, 0], [1, 2, 0], [1, 1, 1]], np.float32)
    ranks = np.array([1, 2, 2])
    expected = 1 / (1 + (ranks / 20) ** 2) + 1 / ranks
    np.testing.assert_allclose(smooth_gains(scores), expected)


def test_a_pool_without_cases_keeps_the_defaults():
    none = Pools(np.zeros((0, 1), int), {}, np.zeros((0, 1), bool), np.zeros(0, int))
    assert tune_weights(none).weights == FusionWeights()


def test_validation_counts_new_targets_and_ranks_only_what_was_seen(shop):
    _features, cold, train, _ = shop
    new = 12
    validation = sessions_of([[4, new], [4, 12, 4], [0, 8]])
    check = Validation.of(train, validation, ~cold, mask_seen=True)
    own = check.cases.session >= len(train) * SHARE
    assert sorted(check.cases.targets[own]) == [8, 12, 12]  # a repeated item is no target
    assert check.candidates[new] and not check.candidates[3]
    assert not check.clicked[[new, 3]].any()


def test_training_sessions_are_added_to_a_small_validation_split(shop):
    _features, cold, train, validation = shop
    check = Validation.of(train, validation, ~cold, mask_seen=True)
    added = int(SHARE * len(train))
    assert len(check.train) <= len(train) - added
    assert len(np.unique(check.cases.session)) > len(validation)
    last = {item_id for item_id in train.ids[-added:]}
    assert not last & set(check.train.ids)
    many = sessions_of([[0, 8]] * ENOUGH)
    assert len(np.unique(Validation.of(train, many, ~cold, mask_seen=True).cases.session)) <= ENOUGH


def test_without_validation_sessions_the_defaults_are_kept(shop):
    features, cold, train, _ = shop
    one = FusionConfig(ids=replace(CONFIG.ids, epochs=1), tried=("ids",))
    _, tuning = fit_fused(features, train, sessions_of([]), ~cold, one)
    assert tuning.weights == FusionWeights()
    assert tuning.value == 0.0 and tuning.exploration is None


def test_a_tuning_survives_json(fitted):
    tuning = fitted[1]
    assert FusionTuning.from_json(json.loads(json.dumps(asdict(tuning)))) == tuning


def test_another_seed_changes_the_network_alone(shop, fitted):
    features, cold, train, validation = shop
    model, tuning = fitted
    other = fit_tuned(features, train, validation, ~cold, tuning, seed=7)
    assert other.network.config == replace(tuning.network, seed=7)
    assert other.weights == model.weights and other.exploration == tuning.exploration
    np.testing.assert_array_equal(other.memory.matrix.data, model.memory.matrix.data)
    assert not np.array_equal(other.scores([np.array([1])]), model.scores([np.array([1])]))


def test_an_interrupted_tuning_does_not_repeat_finished_networks(shop, fitted):
    features, cold, train, validation = shop
    kept = {}

    class Store:
        load = staticmethod(kept.get)
        save = staticmethod(kept.__setitem__)

    assert tune_fused(features, train, validation, ~cold, CONFIG, store=Store()) == fitted[1]
    assert sorted(kept) == [0, 1] and fitted[1] in kept.values()
    kept[0] = replace(kept[0], value=9.0)
    assert tune_fused(features, train, validation, ~cold, CONFIG, store=Store()) == kept[0]


def test_more_new_items_are_shown_at_larger_offsets(fitted):
    curve = fitted[1].exploration
    assert curve is not None and fitted[1].weights.offset in curve.offset
    assert curve.share[0] < 0.05 and max(curve.share) > 0.15
    assert curve.new[0] <= curve.new[-1] and curve.known[0] >= curve.known[-1]


def test_no_network_is_refused():
    with pytest.raises(ConfigError, match="tried must not be empty"):
        FusionConfig(tried=())
