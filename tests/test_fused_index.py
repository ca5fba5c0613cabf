"""Candidates of large catalogues: the exact fused score of what the index and the memory find."""

import numpy as np
import pytest

from tpad.data.sessions import Sessions
from tpad.errors import ConfigError
from tpad.fused_index import FusedIndex
from tpad.index import IndexSettings
from tpad.model.session.exploration import Exploration
from tpad.model.session.fused import FusedModel, FusionWeights
from tpad.model.session.memory import Memory, MemoryConfig
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model

N, WIDTH, CLICKED = 4_000, 8, 2_500
SEARCHES = ["ivf", "hnsw", "faiss"]
THOROUGH = IndexSettings(nprobe=1_000, nlist=10)


@pytest.fixture(scope="module")
def model() -> FusedModel:
    rng = np.random.default_rng(0)
    items = [rng.integers(0, CLICKED, 5).astype(np.int32) for _ in range(400)]
    train = Sessions(np.array([f"s{i}" for i in range(400)], object), items, np.arange(400))
    config = SessionModelConfig(width=8, hidden=8, layers=0, epochs=1)
    features = rng.normal(size=(N, WIDTH)).astype(np.float32)
    clicked = np.arange(N) < CLICKED
    nothing = train.take(np.arange(0))
    network = fit_session_model(features, train, nothing, clicked, config)
    memory = Memory.fit(train, N, MemoryConfig(), mask_seen=True)
    curve = Exploration((-3.0, 0.0, 3.0), (0.0, 0.3, 0.7), (0.0,) * 3, (0.0,) * 3, 0.0)
    return FusedModel(network, memory, FusionWeights(cosine=2.0, offset=-0.5), curve)


SESSIONS = [np.array([1, 5, 9]), np.array([N - 1, 7]), np.array([2])]


@pytest.mark.parametrize("search", ["ivf", "faiss"])
@pytest.mark.parametrize("exploration", [None, 0.0, 0.4, 1.0])
def test_a_thorough_search_finds_what_the_exact_one_finds(model, search, exploration):
    exact, index = FusedIndex(model, "exact"), FusedIndex(model, search, THOROUGH)
    for session in SESSIONS:
        query = model.query(session, exploration=exploration)
        expected, scores = exact.search(query, 20, exclude=session)
        rows, found = index.search(query, 20, exclude=session)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(found, scores)
        assert not set(rows) & set(session)
        np.testing.assert_allclose(scores, model.match(query)[rows], rtol=1e-4)
        if exploration == 0:
            assert (rows < CLICKED).all()
    assert index.recall([model.query(one) for one in SESSIONS]) == 1.0


@pytest.mark.parametrize("search", ["exact", *SEARCHES])
def test_added_items_are_found(model, search):
    index = FusedIndex(model, search, THOROUGH)
    new = model.network.features[[3, 4]]
    grown = index.with_rows(model.with_new_items(new)).with_rows(
        model.with_new_items(new).with_new_items(np.full((1, WIDTH), np.nan, np.float32))
    )
    whole = FusedIndex(grown.model, "exact")
    query = grown.model.query(np.array([3, N + 1]), exploration=1.0)
    for one, other in zip(grown.search(query, N + 9), whole.search(query, N + 9), strict=True):
        np.testing.assert_array_equal(one, other)
    rows, _ = grown.search(query, N + 9)
    assert {N, N + 1} <= set(rows) and N + 2 not in rows


def test_auto_is_exact_for_small_catalogues(model, monkeypatch):
    assert FusedIndex(model).used == "exact"
    monkeypatch.setattr("tpad.fused_index.AUTO_SIZE", N + 1)
    small = FusedIndex(model)
    assert small.used == "exact"
    grown = small.with_rows(model.with_new_items(model.network.features[:1]))
    assert grown.used == "ivf" and grown.recall([grown.model.query(SESSIONS[0])]) > 0.8


def test_without_network_and_cosine_there_is_nothing_to_index(model):
    bare = FusedModel(model.network, model.memory, FusionWeights(network=0.0, cosine=0.0))
    index = FusedIndex(bare, "ivf")
    assert index.used == "exact" and len(index.search(bare.query(SESSIONS[0]), 5)[0]) == 5


def test_unusable_questions_are_refused(model):
    index = FusedIndex(model, "exact")
    with pytest.raises(ConfigError, match="at least 1"):
        index.search(model.query(SESSIONS[0]), 0)
    with pytest.raises(ConfigError, match="no sessions"):
        index.recall([])
    with pytest.raises(ConfigError, match="no search method"):
        FusedIndex(model, "annoy")
