"""The parts of a score, which add up, and the evidence of the memory."""

import numpy as np
import pytest

from tpad.data.sessions import Sessions
from tpad.model.session.evidence import score_parts, sessions_with
from tpad.model.session.fused import FusedModel, FusionWeights
from tpad.model.session.memory import Memory, MemoryConfig
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model

N = 12
WALKS = [[0, 1, 2], [0, 2], [2, 0], [3, 1], [0, 0, 4, 2], [5, 6], [7, 8, 9]]


@pytest.fixture(scope="module")
def train() -> Sessions:
    items = [np.array(walk, np.int32) for walk in WALKS]
    return Sessions(np.array([f"s{i}" for i in range(len(WALKS))], object), items, np.arange(7))


@pytest.fixture(scope="module")
def model(train) -> FusedModel:
    features = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    features[11] = features[2]  # items 10 and 11 have no clicks
    config = SessionModelConfig(width=8, hidden=8, layers=0, epochs=1)
    clicked = np.arange(N) < 10
    network = fit_session_model(features, train, train.take(np.arange(0)), clicked, config)
    memory = Memory.fit(train, N, MemoryConfig(), mask_seen=True)
    return FusedModel(network, memory, FusionWeights(cosine=2.0, offset=0.7))


@pytest.mark.parametrize("session", [[0], [3, 0], [11, 5, 0], [9, 9]])
@pytest.mark.parametrize("item", [2, 11, 6])
def test_parts_add_up_to_the_score(model, session, item):
    rows = np.array(session)
    scores = model.match(model.query(rows))
    parts = score_parts(model, rows, item)
    mean = model.query(rows).network @ model.mean_vector
    assert parts.total == pytest.approx(scores[item] - mean, rel=1e-4)
    whole = parts.network + parts.memory + parts.cosine + parts.offset
    assert parts.total == pytest.approx(whole)
    assert parts.memory_of.sum() == pytest.approx(parts.memory)
    assert parts.cosine_of.sum() == pytest.approx(parts.cosine)
    assert parts.offset == (0.7 if item == 11 else 0.0)


def test_evidence_names_the_clicks_that_speak(model, train):
    parts = score_parts(model, np.array([5, 0]), 2).with_sessions(train.clicks, train.owners)
    assert parts.evidence[0] == () and parts.memory_of[0] == 0
    (one,) = parts.evidence[1]
    assert (one.source, one.target, one.sessions) == (0, 2, 3)
    assert one.share == pytest.approx(1)


def test_stand_ins_speak_for_a_new_item(model):
    parts = score_parts(model, np.array([0]), 11)
    best = parts.evidence[0][0]
    assert (best.source, best.target) == (0, 2) and 0 < best.share <= 1
    assert best.sessions is None


def test_an_upload_is_an_element_too(model):
    features = model.network.features
    rows = np.array([N, 0])
    parts = score_parts(model, rows, 2, features[[3]])
    query = model.query(rows, features[[3]])
    expected = model.match(query)[2] - query.network @ model.mean_vector
    assert parts.total == pytest.approx(expected, rel=1e-4)


def test_excluded_items_have_an_infinite_offset(model):
    assert score_parts(model, np.array([0]), 11, exploration=0.0).total == -np.inf


def test_sessions_in_which_an_item_followed(train):
    counts = {(a, b): sessions_with(train.clicks, train.owners, a, b) for a, b in SEEN}
    assert counts == SEEN


SEEN = {(0, 2): 3, (2, 0): 1, (0, 0): 1, (1, 3): 0, (3, 1): 1, (9, 10): 0}
