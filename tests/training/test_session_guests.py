"""Items that a trained session model has never met: as elements of a session, and as candidates."""

import numpy as np
import pytest

from tpad.data.sessions import Sessions
from tpad.errors import DataError
from tpad.model.session.fitted import FittedSessionModel
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model

N_ITEMS, WIDTH = 12, 5


@pytest.fixture(scope="module", params=[False, True], ids=["features", "features and ids"])
def model(request):
    rng = np.random.default_rng(0)
    items = [rng.integers(0, N_ITEMS - 2, 4).astype(np.int32) for _ in range(30)]
    ids = np.array([f"s{i}" for i in range(30)], dtype=object)
    train = Sessions(ids, items, np.arange(30))
    config = SessionModelConfig(
        width=8, hidden=8, layers=1, heads=2, epochs=2, id_embedding=request.param
    )
    features = rng.normal(size=(N_ITEMS, WIDTH)).astype(np.float32)
    warm = np.arange(N_ITEMS) < N_ITEMS - 2
    return fit_session_model(features, train, train.take(np.arange(5)), warm, config)


def test_appended_items_are_what_a_model_over_all_features_makes_of_them(model):
    new = np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)
    appended = model.with_new_items(new[:1]).with_new_items(new[1:])
    whole = FittedSessionModel(model.network, model.scaler, np.concatenate([model.features, new]))
    np.testing.assert_allclose(appended.item_vectors, whole.item_vectors, atol=1e-6)
    prefixes = [np.array([0, N_ITEMS]), np.array([N_ITEMS + 2])]
    np.testing.assert_allclose(appended.scores(prefixes), whole.scores(prefixes), atol=1e-5)
    np.testing.assert_allclose(model.encode_new(new), whole.item_vectors[N_ITEMS:], atol=1e-6)
    assert model.n_items == N_ITEMS  # the model itself stays as it was


def test_guests_are_elements_but_no_candidates(model):
    guests = np.random.default_rng(2).normal(size=(2, WIDTH)).astype(np.float32)
    prefixes = [np.array([N_ITEMS + 1, 3, N_ITEMS]), np.array([1])]
    vectors = model.session_vectors(prefixes, guests)
    expected = model.with_new_items(guests).session_vectors(prefixes)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(
        vectors @ model.item_vectors.T,
        model.with_new_items(guests).scores(prefixes)[:, :N_ITEMS],
        atol=1e-5,
    )


def test_guests_of_another_size(model):
    with pytest.raises(DataError, match=r"shape \(n, 5\), not \(1, 4\)"):
        model.session_vectors([np.array([N_ITEMS])], np.zeros((1, 4), np.float32))
