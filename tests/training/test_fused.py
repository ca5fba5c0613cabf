"""The fused model: one session against many, new items, uploads, exploration, saving."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tpad.data.sessions import Sessions
from tpad.errors import BundleError, ConfigError
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.exploration import Exploration
from tpad.model.session.fused import FusedModel, FusionWeights
from tpad.model.session.memory import Memory, MemoryConfig
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours
from tpad.model.session.network import SessionModelConfig
from tpad.model.session.saving import load_recommender, save_recommender
from tpad.training.fitting import fit_session_model

N, WIDTH = 14, 5
EXPLORATION = Exploration((-1.0, 0.0, 2.0), (0.0, 0.2, 0.6), (0.4, 0.4, 0.3), (0.0, 0.1, 0.2), 0.3)


@pytest.fixture(
    scope="module",
    params=[(1.0, 0.7), (0.0, 0.0)],
    ids=["all parts", "without network and neighbours"],
)
def model(request) -> FusedModel:
    rng = np.random.default_rng(0)
    items = [rng.integers(0, N - 3, 4).astype(np.int32) for _ in range(30)]
    train = Sessions(np.array([f"s{i}" for i in range(30)], object), items, np.arange(30))
    config = SessionModelConfig(width=8, hidden=8, layers=0, epochs=2, id_embedding=True, tied=True)
    features = rng.normal(size=(N, WIDTH)).astype(np.float32)
    clicked = np.arange(N) < N - 3
    network = fit_session_model(features, train, train.take(np.arange(5)), clicked, config)
    memory = Memory.fit(train, N, MemoryConfig(), mask_seen=True)
    of_network, of_neighbours = request.param
    weights = FusionWeights(network=of_network, neighbours=of_neighbours, cosine=2.0, offset=0.5)
    return FusedModel(
        network,
        memory,
        weights,
        EXPLORATION,
        neighbours=SessionNeighbours.fit(train, N, NeighboursConfig()) if of_neighbours else None,
        space=ContentSpace.fit(features, clicked, 0.25),
    )


@pytest.fixture(scope="module")
def new() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)


SESSIONS = [np.array([1, 4, 1, 2]), np.array([N - 1]), np.array([N - 2, 3])]


def test_one_session_is_scored_as_many_are(model):
    for session, expected in zip(SESSIONS, model.scores(SESSIONS), strict=True):
        query = model.query(session)
        np.testing.assert_allclose(model.match(query), expected, rtol=1e-4, atol=1e-5)
        rows = np.array([0, N - 1, 5, 5])
        np.testing.assert_allclose(model.scores_at(query, rows), expected[rows], rtol=1e-4)


def test_added_items_are_scored_as_if_they_had_been_there(model, new):
    """Whether they were added at once or one by one, and are in a table of their own or not."""
    grown = model.with_new_items(new)
    one_by_one = model.with_new_items(new[:1]).with_new_items(new[1:2]).with_new_items(new[2:])
    sessions = [*SESSIONS, np.array([N, 2, N + 2])]
    expected = grown.scores(sessions)
    assert grown.n_items == one_by_one.n_items == N + 3 and model.n_items == N
    np.testing.assert_allclose(one_by_one.scores(sessions), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.scores(SESSIONS), expected[:3, :N], rtol=1e-4, atol=1e-5)
    for session, scores in zip(sessions, expected, strict=True):
        query = one_by_one.query(session)
        np.testing.assert_allclose(one_by_one.match(query), scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            one_by_one.scores_at(query, np.arange(N + 3)), scores, rtol=1e-4, atol=1e-5
        )
    same = model.with_new_items(model.network.features[-1:]).scores(SESSIONS)
    np.testing.assert_allclose(same[:, -1], same[:, -2], rtol=1e-4)


def test_items_that_are_no_candidates_are_scored_as_added_ones(model, new):
    grown = model.with_new_items(new)
    (expected,) = grown.scores([np.array([N + 1, 2, N])])
    query = model.query(np.array([N + 1, 2, N]), new)
    np.testing.assert_allclose(model.match(query), expected[:N], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.scores_of_new(query, new), expected[N:], rtol=1e-4)
    assert model.scores_of_new(query, new[:0]).shape == (0,)


def test_items_without_features_get_no_score(model):
    grown = model.with_new_items(np.full((1, WIDTH), np.nan, np.float32))
    scores = grown.match(grown.query(SESSIONS[0]))
    assert scores[-1] == -np.inf and np.isfinite(scores[:-1]).all()


def test_an_unclicked_item_has_the_mean_embedding_of_its_stand_ins(model):
    network = model.network
    (ids,) = {id(table): table.detach().numpy() for table in network.network.ids}.values()  # tied
    bare = network.encode_new(network.features)[:, :-1]  # (N, h), without embeddings
    found = network.item_vectors[:, :-1] - bare
    np.testing.assert_allclose(found, model.stand_ins @ ids, atol=1e-5)
    new = ~model.clicked
    assert np.abs(found[new]).max() > 0.005
    assert (
        np.abs(network.with_stand_ins(model.stand_ins).item_vectors - network.item_vectors).max()
        < 1e-6
    )


def test_exploration_moves_new_items_alone(model):
    plain = model.match(model.query(SESSIONS[0]))
    new = ~model.clicked
    for share, offset in ((1.0, 2.0), (0.6, 2.0), (0.1, -0.5), (0.2, 0.0), (0.9, 2.0)):
        moved = model.match(model.query(SESSIONS[0], exploration=share))
        np.testing.assert_allclose(moved - plain, new * (offset - 0.5), atol=1e-5)
    never = model.query(SESSIONS[0], exploration=0.0)
    scores = model.match(never)
    assert (scores[new] == -np.inf).all() and (scores[~new] == plain[~new]).all()
    assert model.scores_at(never, np.flatnonzero(new)).tolist() == [-np.inf] * 3


def test_an_unusable_exploration_is_refused(model):
    for share in (-0.1, 1.5, math.nan, "0.2"):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            model.query(SESSIONS[0], exploration=share)
    bare = FusedModel(model.network, model.memory, model.weights)
    assert bare.query(SESSIONS[0], exploration=0.0).offset == -math.inf
    with pytest.raises(ConfigError, match="without validation sessions"):
        bare.query(SESSIONS[0], exploration=0.3)


def test_of_equal_shares_the_nearest_offset_is_taken():
    flat = Exploration((0.0, 1.0, 2.0, 3.0), (0.0, 0.0, 0.4, 0.4), (0.0,) * 4, (0.0,) * 4, 0.0)
    assert flat.offset_for(0.2) == pytest.approx(1.5)
    assert flat.offset_for(0.4) == 2.0 and flat.offset_for(1.0) == 3.0


@pytest.mark.parametrize(
    "columns",
    [
        ((), (), (), ()),
        ((0.0, 1.0), (0.0,), (0.0,), (0.0,)),
        ((1.0, 0.0), (0.0, 0.1), (0.0, 0.0), (0.0, 0.0)),
        ((0.0, 1.0), (0.1, 0.0), (0.0, 0.0), (0.0, 0.0)),
        ((0.0,), (math.nan,), (0.0,), (0.0,)),
        ((0.0,), ("x",), (0.0,), (0.0,)),
    ],
)
def test_an_exploration_that_is_no_curve_is_refused(columns):
    with pytest.raises(ConfigError):
        Exploration(*columns, 0.1)


def test_saved_and_loaded_scores_are_equal(model, new, tmp_path):
    path = tmp_path / "recommender.safetensors"
    save_recommender(model.with_new_items(new), path)  # new items are not saved
    again = load_recommender(path, model.network.features)
    np.testing.assert_array_equal(again.scores(SESSIONS), model.scores(SESSIONS))
    np.testing.assert_array_equal(
        again.with_new_items(new).scores(SESSIONS), model.with_new_items(new).scores(SESSIONS)
    )
    assert again.history == model.history and again.exploration == EXPLORATION
    assert again.weights == model.weights and again.memory.config == model.memory.config
    assert again.network.config == model.network.config
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def spoiled(name: str, change):
    def spoil(arrays: dict, settings: dict) -> None:
        arrays[name] = change(arrays[name].copy())

    return spoil


def put(value, place=-1):
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return change


SPOILED = {
    "shorter data": spoiled("memory.data", lambda a: a[:-1]),
    "NaN": spoiled("memory.data", put(np.nan)),
    "negative": spoiled("memory.data", put(-1.0)),
    "index too large": spoiled("memory.indices", put(N)),
    "index below 0": spoiled("memory.indices", put(-1)),
    "rows not in order": spoiled("memory.indptr", put(10**9, 3)),
    "rows claim more": spoiled("memory.indptr", put(10**12)),
    "fewer rows": spoiled("memory.indptr", lambda a: np.append(a[:-2], a[-1])),
    "another type": spoiled("memory.indices", lambda a: a.astype(np.float32)),
    "a matrix": spoiled("memory.indptr", lambda a: a[None]),
    "unclicked stand-in": spoiled("stand_ins.indices", put(N - 1)),
    "fewer stand-ins": spoiled("stand_ins.indptr", lambda a: np.append(a[:-2], a[-1])),
    "mean of another width": spoiled("content.0.mean", lambda a: a[:-1]),
    "infinite mean": spoiled("content.0.mean", put(np.inf)),
    "short weights": spoiled("network.state_norm.weight", lambda a: a[:-1]),
    "no click": spoiled("network.warm", np.zeros_like),
    "no memory": lambda arrays, settings: arrays.pop("memory.data"),
    "no settings of the memory": lambda arrays, settings: settings.pop("memory"),
    "infinite offset": lambda arrays, settings: settings["weights"].update(offset=math.inf),
    "exploration without a share": lambda arrays, settings: settings["exploration"].pop("share"),
    "unknown setting": lambda arrays, settings: settings["weights"].update(code="x"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_damaged_files_are_refused_in_a_sentence(model, tmp_path, name):
    path = tmp_path / "recommender.safetensors"
    save_recommender(model, path)
    arrays, settings = load_file(path), settings_of(path)
    SPOILED[name](arrays, settings)
    save_file(arrays, path, {"format": "2", "settings": json.dumps(settings)})
    with pytest.raises(BundleError, match=r"recommender\.safetensors cannot be (used|read)"):
        load_recommender(path, model.network.features)


def test_other_files_and_features_are_refused(model, tmp_path):
    path = tmp_path / "recommender.safetensors"
    with pytest.raises(BundleError, match="cannot be read"):
        load_recommender(path, model.network.features)
    path.write_bytes(b"not a model")
    with pytest.raises(BundleError, match="cannot be read"):
        load_recommender(path, model.network.features)
    save_recommender(model, path)
    for features in (model.network.features[:, :4], model.network.features[1:]):
        with pytest.raises(BundleError, match=r"features of shape|ranks 14 items"):
            load_recommender(path, features)
    save_file(load_file(path), path, {"format": "1"})
    with pytest.raises(BundleError, match="train it again"):
        load_recommender(path, model.network.features)


def settings_of(path) -> dict:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["settings"])
