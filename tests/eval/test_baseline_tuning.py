"""Tuning of the settings of baselines, and the validation cases that it uses."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from small_shops import dataset_of

from eval.baselines import BASELINES, SEARCH, Popularity, ValidationCases, content_baseline, tune
from tpad import ConfigError
from tpad.data.pseudo_cold import pseudo_cold

DATA = dataset_of([[0, 1, 2], [1, 2, 3], [0, 2, 3]] * 6, [[0, 1, 2], [2, 3]], [[4, 0]], 5)


def test_validation_cases_have_known_targets_outside_the_prefix():
    data = dataset_of([[0, 1, 2]], [[0, 3, 1, 0], [2, 1]], [], 4)
    cases = ValidationCases.of(data)
    assert [list(p) for p in cases.prefixes] == [[0, 3], [2]] and list(cases.targets) == [1, 1]
    assert list(ValidationCases.of(data, mask_seen=False).targets) == [1, 0, 1]
    last = ValidationCases.of(data, mask_seen=False, cases="last item")
    assert [list(p) for p in last.prefixes] == [[0, 3, 1], [2]] and list(last.targets) == [0, 1]
    assert len(ValidationCases.of(dataset_of([[0, 1]], [], [], 2), cases="last item")) == 0
    known = replace(data, validation=replace(data.validation, history=np.array([3, 0])))
    assert list(ValidationCases.of(known, mask_seen=False).targets) == [0, 1]


def test_validation_mrr_masks_the_history_and_shares_ties():
    data = dataset_of([[0, 1, 2, 3]], [[0, 1], [0, 2]], [], 4)
    table = np.array([[9.0, 2.0, 1.0, 1.0]])

    class Table(Popularity):
        def scores(self, sessions):
            return np.repeat(table, len(sessions), 0)

    found = ValidationCases.of(data).mrr(Table())
    assert np.isclose(found, (1 + (1 / 2 + 1 / 3) / 2) / 2)  # ranks 1, and 2 or 3


def test_validation_in_chunks_gives_the_same_result(monkeypatch, shop):
    model = BASELINES["popularity"].make(0, {}, None).fit(shop)
    whole = ValidationCases.of(shop).mrr(model)
    monkeypatch.setattr("eval.metrics.ranking.CELLS_AT_ONCE", 7 * len(shop))
    assert 0 < whole < 1 and ValidationCases.of(shop).mrr(model) == whole


def test_tuning_records_all_tries_and_takes_the_best():
    found = tune("item_knn", DATA, seed=0, tries=6)
    assert len(found.tries) == 6
    assert found.tries[0][0] == {"k": 100, "regularisation": 20.0}  # the defaults come first
    assert len({json.dumps(settings) for settings, _ in found.tries}) == 6
    values = [value for _, value in found.tries]
    assert found.settings == found.tries[int(np.argmax(values))][0]
    assert json.loads(json.dumps(asdict(found)))["settings"] == found.settings
    model = BASELINES["item_knn"].make(0, found.settings, None).fit(DATA)
    assert ValidationCases.of(DATA).mrr(model) == max(values)


def test_tuning_depends_on_its_seed():
    assert tune("vsknn", DATA, 3, 4) == tune("vsknn", DATA, 3, 4)
    assert tune("vsknn", DATA, 3, 4).tries != tune("vsknn", DATA, 4, 4).tries


def test_every_model_gets_the_same_number_of_tries():
    shared = {"epochs": 1, "width": 8}
    for name in ("item_knn", "vsknn", "ease", "slist", "gru4rec", "narm", "srgnn", "sasrec"):
        settings = shared if BASELINES[name].seeded else None
        assert len(tune(name, DATA, 0, 3, settings=settings).tries) == 3
    content = content_baseline(np.eye(5))
    assert len(tune(content, DATA, 0, 3).tries) == 3
    assert len(tune(content, DATA, 0, 99).tries) == 10  # as many as there are
    assert len(tune(content, DATA, 0, 9, settings={"decay": 1.0, "centre": True}).tries) == 3
    assert tune("markov", DATA, 0, 9).tries == [] and tune("markov", DATA, 0, 9).settings == {}


def test_no_combination_is_tried_twice_and_the_default_comes_first():
    found = tune(content_baseline(np.eye(5)), DATA, 0, 99)
    tried = [json.dumps(settings, sort_keys=True) for settings, _ in found.tries]
    assert len(set(tried)) == len(tried)
    assert found.tries[0][0] == {"query": "recency", "decay": 3.0, "centre": False}


def test_fixed_settings_are_not_tuned():
    found = tune("gru4rec", DATA, 0, 3, settings={"epochs": 1, "width": 8}, mask_seen=False)
    for settings, _ in found.tries:
        assert settings["epochs"] == 1 and settings["width"] == 8
        assert settings["mask_seen"] is False and settings["validation"] == "every prefix"


def test_tuning_does_not_use_test_sessions():
    other = dataset_of(
        [[0, 1, 2], [1, 2, 3], [0, 2, 3]] * 6, [[0, 1, 2], [2, 3]], [[3, 2, 1]] * 9, 5
    )
    assert tune("vsknn", DATA, 0, 4) == tune("vsknn", other, 0, 4)


def test_invalid_arguments_are_errors():
    with pytest.raises(ConfigError, match="There is no baseline 'als'; choose from popularity"):
        tune("als", DATA, 0, 3)
    with pytest.raises(ConfigError, match="tries must be at least 1"):
        tune("vsknn", DATA, 0, 0)
    with pytest.raises(ConfigError, match="There is no setting 'depth'"):
        tune("vsknn", DATA, 0, 3, settings={"depth": 1})


def test_pseudo_cold_items_are_not_trained_on_and_count_as_much_as_the_others():
    sessions = [[i % 20, (i + 1) % 20, (i + 2) % 20] for i in range(60)]
    data = dataset_of(sessions, sessions, [], 22)  # 20 and 21 are cold
    held_out = pseudo_cold(~data.cold)
    learnt = []

    class Content:
        """Finds every target that plays cold at once, and the others in the second place."""

        can_score_new_items = True

        def fit(self, dataset):
            learnt.append(dataset)
            return self

        def scores(self, sessions):
            result = np.zeros((len(sessions), 22), np.float32)
            result[:, 20:] = 9.0  # no candidates: they are cold
            for row, session in enumerate(sessions):
                follows = (int(session[-1]) + 1) % 20
                result[row, follows] = 3.0 if held_out[follows] else 2.0
                other = (int(session[-1]) + 2) % 20
                result[row, other] = 1.0 if held_out[follows] else 3.0
            return result

    baseline = replace(content_baseline(np.eye(22)), make=lambda *_: Content())
    found = tune(baseline, data, 0, 1)
    assert found.tries[0][1] == pytest.approx((1 + 1 / 2) / 2)
    assert held_out.sum() == 2 and not learnt[0].popularity[held_out].any()
    assert learnt[0].popularity[~held_out & ~data.cold].all()
    tune(replace(baseline, new_items=False), data, 0, 1)
    assert learnt[1] is data


def test_only_models_by_content_have_pseudo_cold_items():
    assert content_baseline(np.eye(2)).new_items
    assert not any(one.new_items for one in BASELINES.values())


def test_if_only_one_kind_has_targets_its_mrr_counts():
    data = dataset_of([[0, 1, 2, 3]], [[0, 1]], [], 4)
    model = BASELINES["popularity"].make(0, {}, None).fit(data)
    plain = ValidationCases.of(data).mrr(model)
    other = np.array([False, False, True, False])
    assert ValidationCases.of(data, held_out=other).mrr(model) == plain
    assert ValidationCases.of(data, held_out=~other).mrr(model) == plain


def test_search_tables_are_public():
    assert set(SEARCH) == {*BASELINES, "content", "vsknn_content", "ease_content"}
    for name, entry in BASELINES.items():
        assert entry.search is SEARCH[name]
