"""Ensembles of a model by item id and neighbours by content, and how weight and offset are chosen."""

from dataclasses import replace

import numpy as np
import pytest
from small_shops import dataset_of

from eval.baselines import ValidationCases, ensemble_baseline, tune
from eval.baselines.ensemble import WEIGHTS, Ensemble, choose_weight_and_offset
from eval.metrics.frontier import frontier_of
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import case_values
from eval.protocol import TestCases
from tpad.data.pseudo_cold import hold_out, pseudo_cold

N_ITEMS, N_KINDS = 60, 6


class Given:
    """Scores by the last item."""

    can_score_new_items = True

    def __init__(self, table):
        self.table = np.asarray(table, np.float32)

    def fit(self, dataset):
        return self

    def scores(self, sessions):
        return self.table[[int(session[-1]) for session in sessions]]


@pytest.fixture(scope="module")
def shop():
    """Items of one kind follow each other; items from 54 on are cold."""
    rng = np.random.default_rng(0)

    def walks(count, upper):
        kinds = rng.integers(0, N_KINDS, count)
        rows = [np.arange(kind, upper, N_KINDS) for kind in kinds]
        return [rng.permutation(row)[:4] for row in rows]

    return dataset_of(walks(150, 54), walks(60, 54), walks(60, N_ITEMS), N_ITEMS)


@pytest.fixture(scope="module")
def kinds():
    """(n_items, n) features: the kind of each item."""
    return np.eye(N_KINDS)[np.arange(N_ITEMS) % N_KINDS]


def test_scores_are_the_weighted_sum_of_standardised_ones():
    data = dataset_of([[0, 1], [1, 2]], [], [], 4)  # 3 is cold
    by_id = Given([[1.0, 2.0, 6.0, -np.inf]] * 4)
    by_content = Given([[0.0, -np.inf, 0.5, 1.0]] * 4)
    model = Ensemble(by_id, by_content, weight=0.25, offset=2.0).fit(data)
    first, second = np.array([1.0, 2.0, 6.0]), np.array([0.0, 0.5, 1.0])
    first, second = ((one - one.mean()) / one.std() for one in (first, second))
    expected = 0.75 * np.append(first, 0) + 0.25 * np.insert(second, 1, 0) + [0, 0, 0, 2]
    np.testing.assert_allclose(model.scores([np.array([0])])[0], expected, atol=1e-6)


def test_an_item_that_no_part_scores_stays_out():
    data = dataset_of([[0, 1]], [], [], 3)
    part = Given([[1.0, 2.0, -np.inf]] * 3)
    scores = Ensemble(part, part, weight=0.5, offset=9.0).fit(data).scores([np.array([0])])
    assert np.isneginf(scores[0, 2]) and np.isfinite(scores[0, :2]).all()
    flat = Ensemble(Given(np.ones((3, 3))), Given(np.ones((3, 3))), 0.5, 0.0).fit(data)
    assert (flat.scores([np.array([0])]) == 0).all()  # without a spread nothing is preferred


def reduced(shop):
    held_out = pseudo_cold(~shop.cold)
    data = replace(shop, train=hold_out(shop.train, ~held_out))
    return data, ValidationCases.of(shop, held_out=held_out)


def value_of(model, validation):
    """P@20 + MRR@20 over all validation cases, ranked anew."""
    cases = TestCases(
        "d",
        "p",
        np.arange(len(validation)),
        validation.prefixes,
        validation.targets,
        validation.held_out[validation.targets],
        True,
        0,
    )
    candidates = validation.candidates

    class Masked(Given):
        def __init__(self):
            pass

        def scores(self, sessions):
            return np.where(candidates, model.scores(sessions), -np.inf)

    ranks = rank_all(Masked(), cases, len(candidates)).ranks
    return sum(case_values(ranks, metric, 20).mean() for metric in ("P", "MRR"))


@pytest.mark.parametrize("part", ["vsknn", "ease"])
def test_weight_and_offset_are_the_best_of_all_that_are_tried(shop, kinds, part):
    data, validation = reduced(shop)
    baseline = ensemble_baseline(part, lambda: kinds)
    fitted = baseline.make(0, {}, None).fit(data)
    chosen, value = choose_weight_and_offset(fitted, validation)
    assert chosen["weight"] in WEIGHTS and np.isfinite(chosen["offset"])
    best = baseline.make(0, chosen, None).fit(data)
    assert value == pytest.approx(value_of(best, validation), abs=1e-3)
    for weight in (0.02, 0.3, 0.9):
        for offset in (-5.0, 0.0, 0.5, 5.0):
            other = baseline.make(0, {"weight": weight, "offset": offset}, None).fit(data)
            assert value_of(other, validation) <= value + 0.02  # the offsets tried are a selection


def test_choosing_in_chunks_gives_the_same_result(shop, kinds, monkeypatch):
    data, validation = reduced(shop)
    fitted = ensemble_baseline("ease", lambda: kinds).make(0, {}, None).fit(data)
    whole = choose_weight_and_offset(fitted, validation)
    monkeypatch.setattr("eval.baselines.ensemble.CELLS_AT_ONCE", 7 * N_ITEMS)
    assert choose_weight_and_offset(fitted, validation) == whole


def test_of_many_validation_cases_evenly_spaced_ones_are_used(shop, kinds, monkeypatch):
    data, validation = reduced(shop)
    fitted = ensemble_baseline("ease", lambda: kinds).make(0, {}, None).fit(data)
    monkeypatch.setattr("eval.baselines.ensemble.MOST_CASES", 30)
    rows = np.linspace(0, len(validation) - 1, 30).astype(int)
    some = replace(
        validation,
        prefixes=[validation.prefixes[row] for row in rows],
        targets=validation.targets[rows],
    )
    found = choose_weight_and_offset(fitted, validation)
    assert len(validation) > 30 and found == choose_weight_and_offset(fitted, some)


def test_without_validation_cases_the_settings_stay(shop, kinds):
    data = replace(shop, validation=dataset_of([], [], [], N_ITEMS).validation)
    found = tune(ensemble_baseline("ease", lambda: kinds), data, 0, 2)
    assert found.settings["weight"] == 0.3 and found.settings["offset"] == 0.0
    assert np.isnan([value for _, value in found.tries]).all()


def test_tuning_makes_as_many_fits_as_for_any_other_model(shop, kinds):
    found = tune(ensemble_baseline("vsknn", lambda: kinds), shop, 0, 3)
    assert len(found.tries) == 3
    first, value = found.tries[0]
    assert (first["k"], first["content_decay"]) == (500, 3.0)  # the defaults come first
    assert value == found.tries[0][1] and {"weight", "offset"} <= set(first)
    values = [value for _, value in found.tries]
    assert found.settings == found.tries[int(np.argmax(values))][0]


def test_an_ensemble_finds_new_items_and_keeps_known_ones(shop, kinds):
    baseline = ensemble_baseline("ease", lambda: kinds)
    model = baseline.make(0, tune(baseline, shop, 0, 3).settings, None).fit(shop)
    cases = TestCases.of(shop)
    ranking = rank_all(model, cases, N_ITEMS, k=8, unclicked=shop.cold)
    hits = case_values(ranking.ranks, "P", 8)
    assert hits[~cases.cold].mean() > 0.8
    curve, area = frontier_of(ranking.by_kind)
    assert curve.cold[-1] > 0.9 and area > 0.6
