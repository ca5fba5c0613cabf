"""The contract that every baseline must fulfil."""

import numpy as np
import pytest
from small_shops import dataset_of

from eval.baselines import BASELINES, Baseline, content_baseline, ensemble_baseline
from tpad import ConfigError, DataError, Dataset

QUICK = {"epochs": 2, "width": 8}
N_ITEMS, COLD = 12, [10, 11]
ENSEMBLES = {"vsknn_content": "vsknn", "ease_content": "ease"}
NAMES = [*BASELINES, "content", *ENSEMBLES]
NEURAL = ["gru4rec", "narm", "srgnn", "sasrec"]


@pytest.fixture(scope="module")
def small() -> Dataset:
    rng = np.random.default_rng(3)
    sessions = [list(rng.integers(0, 10, rng.integers(2, 7))) for _ in range(60)]
    return dataset_of(sessions, sessions[:10], [[10, 0]], N_ITEMS)


def baseline(name: str) -> Baseline:
    features = np.random.default_rng(0).standard_normal((N_ITEMS, 4))
    if name == "content":
        return content_baseline(features)
    if name in ENSEMBLES:
        return ensemble_baseline(ENSEMBLES[name], lambda: features)
    return BASELINES[name]


def fitted(name: str, data: Dataset, seed: int = 0):
    settings = QUICK if name in NEURAL else {}
    return baseline(name).make(seed, settings, None).fit(data)


@pytest.fixture(scope="module")
def models(small) -> dict:
    return {name: fitted(name, small) for name in NAMES}


SESSIONS = [[0, 1, 2], [3], [4, 4, 4], [5, 6, 5, 7, 1, 2, 3, 4], [11], [10, 2], [2, 10], []]


def asked(rows=None) -> list[np.ndarray]:
    chosen = SESSIONS if rows is None else [SESSIONS[row] for row in rows]
    return [np.array(session, dtype=np.int32) for session in chosen]


@pytest.mark.parametrize("name", NAMES)
def test_scores_have_the_agreed_form(models, name):
    model = models[name]
    scores = model.scores(asked())
    assert scores.shape == (len(SESSIONS), N_ITEMS) and scores.dtype == np.float32
    assert not np.isnan(scores).any()
    assert np.isfinite(scores[:, :10]).all()
    assert np.isneginf(scores[:, COLD]).all() != model.can_score_new_items
    assert model.scores([]).shape == (0, N_ITEMS)


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_the_other_sessions(models, name):
    together = models[name].scores(asked())
    order = [6, 2, 7, 0, 3, 5, 1, 4]
    np.testing.assert_allclose(models[name].scores(asked(order)), together[order], atol=1e-5)
    for row in range(len(SESSIONS)):
        np.testing.assert_allclose(models[name].scores(asked([row]))[0], together[row], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_scoring_changes_neither_the_model_nor_the_sessions(models, name):
    sessions = asked()
    first = models[name].scores(sessions)
    kept = first.copy()
    first[:] = 7.0
    np.testing.assert_array_equal(models[name].scores(sessions), kept)
    for session, original in zip(sessions, SESSIONS, strict=True):
        assert list(session) == original


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_scores_bit_for_bit(models, small, name):
    again = fitted(name, small).scores(asked())
    np.testing.assert_array_equal(again, models[name].scores(asked()))


@pytest.mark.parametrize("name", NAMES)
def test_only_seeded_models_depend_on_the_seed(models, small, name):
    other = fitted(name, small, seed=1).scores(asked())
    same = np.array_equal(other, models[name].scores(asked()))
    assert same != baseline(name).seeded


@pytest.mark.parametrize("name", list(BASELINES))
def test_models_by_id_fall_back_to_popularity(models, small, name):
    nothing = models[name].scores(asked([4, 7]))[:, :10]  # a cold item alone, and no item
    popularity = small.popularity[:10]
    for row in nothing:
        # Wherever popularity differs, so does the score, in the same direction.
        gap = np.sign(popularity[:, None] - popularity[None])
        np.testing.assert_array_equal(np.sign(row[:, None] - row[None]), gap)


@pytest.mark.parametrize("name", NAMES)
def test_only_training_sessions_are_trained_on(models, small, name):
    other = Dataset(small.items, small.image_root, small.train, small.validation, small.train)
    np.testing.assert_array_equal(fitted(name, other).scores(asked()), models[name].scores(asked()))


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_title_and_a_search_within_its_settings(name):
    entry = baseline(name)
    assert entry.title and entry.title[0].isupper()
    for table in entry.search:
        for setting, values in table.items():
            for value in values:
                entry.make(0, {setting: value}, None)
    if entry.search:
        default = entry.config()
        table = entry.search[0]
        assert all(getattr(default, setting) in table[setting] for setting in table)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_is_refused(name):
    with pytest.raises(ConfigError, match="There is no setting 'colour'"):
        baseline(name).make(0, {"colour": 1}, None)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("item_knn", {"k": 0}, "k must be at least 1, not 0"),
        ("item_knn", {"regularisation": -1.0}, "regularisation must be at least 0"),
        ("vsknn", {"k": "many"}, "k must be a whole number, not 'many'"),
        ("vsknn", {"sample_size": 2.5}, "sample_size must be a whole number"),
        ("vsknn", {"weighting": "cubic"}, "weighting must be 'same', 'linear', 'div'"),
        ("vsknn", {"similarity": "jaccard"}, "similarity must be 'dot' or 'cosine'"),
        ("vsknn", {"idf_weighting": float("nan")}, "idf_weighting must be"),
        ("ease", {"regularisation": 0.0}, "regularisation must be above 0"),
        ("ease", {"decay": -1.0}, "decay must be above 0, not -1.0"),
        ("slist", {"alpha": 1.5}, "alpha must be at most 1, not 1.5"),
        ("slist", {"input_decay": "slow"}, "input_decay must be a number, not 'slow'"),
        ("slist", {"time_decay": 0}, "time_decay must be above 0"),
        ("gru4rec", {"loss": "top1"}, "loss must be 'cross-entropy' or 'bpr-max'"),
        ("gru4rec", {"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ("gru4rec", {"layers": 0}, "layers must be at least 1, not 0"),
        ("narm", {"learning_rate": 0.0}, "learning_rate must be above 0"),
        ("narm", {"validation": "all"}, "validation must be 'every prefix' or 'last item'"),
        ("srgnn", {"steps": 0}, "steps must be at least 1, not 0"),
        ("sasrec", {"width": 9}, "heads=2 must divide width=9"),
        ("sasrec", {"negatives": 0}, "negatives must be at least 1, not 0"),
        ("content", {"query": "first"}, "query must be 'last', 'mean' or 'recency'"),
        ("content", {"decay": 0.0}, "decay must be above 0"),
        ("content", {"centre": "yes"}, "centre must be true or false"),
        ("vsknn_content", {"k": 0}, "k must be at least 1, not 0"),
        ("ease_content", {"weight": 1.0}, "weight must be below 1, not 1.0"),
        ("ease_content", {"offset": float("inf")}, "offset must be a finite number"),
    ],
)
def test_invalid_settings_are_errors(name, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        baseline(name).make(0, settings, None)


@pytest.mark.parametrize("name", NEURAL)
def test_training_without_data_is_an_error(name):
    with pytest.raises(DataError, match="two clicks"):
        fitted(name, dataset_of([[0], [1]], [], [], 3))
    with pytest.raises(DataError, match="only repeat"):
        fitted(name, dataset_of([[0, 0], [1, 1]], [], [], 3))
