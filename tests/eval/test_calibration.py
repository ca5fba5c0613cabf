"""Calibration against closed forms, and the rule for the temperature."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import log_softmax
from small_models import LastItem
from small_shops import dataset_of

from eval.metrics.calibration import (
    are_log_probabilities,
    calibration,
    first_is_right,
    fit_temperature,
    reliability,
    temperature_of,
    validation_cases,
)
from eval.metrics.ranking import Ranking, rank_all
from eval.protocol import Protocol, TestCases

N_ITEMS = 8


def draws(seed: int, count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A law P(next | last), and sessions of two clicks drawn from it."""
    rng = np.random.default_rng(seed)
    law = rng.dirichlet(np.full(N_ITEMS, 0.5), N_ITEMS)
    np.fill_diagonal(law, 0)
    law /= law.sum(1, keepdims=True)
    first = rng.integers(0, N_ITEMS, count)
    second = [rng.choice(N_ITEMS, p=law[item]) for item in first]
    return law, [np.array(pair) for pair in zip(first, second, strict=True)]


@pytest.fixture(scope="module")
def drawn():
    law, sessions = draws(0, 3000)
    shop = dataset_of(sessions[:50], sessions[1000:2000], sessions[2000:], N_ITEMS)
    with np.errstate(divide="ignore"):
        return np.log(law), shop


def test_perfect_and_worthless_confidence():
    right = np.arange(1000) % 4 == 0
    assert reliability(np.full(1000, 0.25), right).error == pytest.approx(0)
    assert reliability(np.ones(10), np.zeros(10)).error == 1
    assert reliability(np.ones(10), np.ones(10)).error == 0
    assert math.isnan(reliability(np.zeros(0), np.zeros(0)).error)


def test_calibration_error_on_a_small_example():
    confidence, right = np.array([0.05, 0.15, 0.55, 0.95]), np.array([0, 1, 1, 1])
    bins = reliability(confidence, right, bins=2, equal_width=True)
    np.testing.assert_array_equal(bins.count, [2, 2])
    np.testing.assert_allclose(bins.confidence, [0.1, 0.75])
    np.testing.assert_allclose(bins.accuracy, [0.5, 1.0])
    np.testing.assert_allclose([bins.low, bins.high], [[0.05, 0.55], [0.15, 0.95]])
    assert bins.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.25)


@given(st.integers(0, 10_000), st.integers(1, 12), st.booleans())
def test_bins_hold_every_case_once(seed, n_bins, equal_width):
    rng = np.random.default_rng(seed)
    confidence = rng.choice([0, 0.1, 0.1001, 0.5, 1.0, rng.random()], 40)
    right = rng.random(40) < confidence
    bins = reliability(confidence, right, bins=n_bins, equal_width=equal_width)
    assert bins.count.sum() == 40 and len(bins.count) <= n_bins
    assert (bins.low <= bins.confidence + 1e-12).all()
    assert (bins.confidence <= bins.high + 1e-12).all()
    assert (bins.high[:-1] < bins.low[1:]).all()  # equal confidences share a bin
    assert 0 <= bins.error <= 1
    assert bins.confidence @ bins.count == pytest.approx(confidence.sum())
    order = rng.permutation(40)
    again = reliability(confidence[order], right[order], bins=n_bins, equal_width=equal_width)
    assert again.error == pytest.approx(bins.error)
    # One bin hides the most: the error can only grow with more of them.
    assert bins.error >= abs(confidence.mean() - right.mean()) - 1e-12


def test_bins_of_equal_mass_are_even():
    confidence = np.random.default_rng(0).random(1000) ** 4
    np.testing.assert_array_equal(reliability(confidence, confidence > 0.5).count, 100)


def test_invalid_probabilities_are_errors():
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(np.array([1.2]), np.array([1]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(np.array([np.nan]), np.array([1]))
    with pytest.raises(ValueError, match="one outcome"):
        reliability(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="bins"):
        reliability(np.ones(2), np.ones(2), bins=0)


def test_metrics_match_their_definitions():
    rng = np.random.default_rng(4)
    table = rng.standard_normal((N_ITEMS, N_ITEMS))
    test = [rng.permutation(N_ITEMS)[:4] for _ in range(20)]
    cases = TestCases.of(dataset_of([[0, 1]], [], test, N_ITEMS), Protocol(mask_history=False))
    found = calibration(rank_all(LastItem(table), cases, N_ITEMS, temperature=0.7))
    p = np.exp(log_softmax(table[[prefix[-1] for prefix in cases.prefixes]] / 0.7, axis=1))
    wanted = np.eye(N_ITEMS)[cases.targets]
    right = p.argmax(1) == cases.targets
    assert found.n == len(cases)
    assert found.brier == pytest.approx(((p - wanted) ** 2).sum(1).mean(), abs=1e-6)
    assert found.first_brier == pytest.approx(((p.max(1) - right) ** 2).mean(), abs=1e-6)
    assert found.log_likelihood == pytest.approx(np.log((p * wanted).sum(1)).mean(), abs=1e-5)
    assert found.ece == pytest.approx(reliability(p.max(1), right).error, abs=1e-6)
    assert (found.impossible, found.temperature) == (0, 0.7)
    assert set(found.metrics()) == {
        "ece",
        "brier",
        "first_brier",
        "log_likelihood",
        "impossible",
        "temperature",
    }


def ranking_of(scores: np.ndarray, targets: np.ndarray) -> Ranking:
    class Given:
        can_score_new_items = True

        def scores(self, sessions):
            return scores.astype(np.float32)

    n, n_items = scores.shape
    cases = TestCases(
        "", "", np.arange(n), [np.array([0])] * n, targets, np.zeros(n, bool), False, 0
    )
    return rank_all(Given(), cases, n_items, chunk=n)


def test_targets_that_cannot_be_scored_count_as_impossible():
    scores = np.array([[0.0, -np.inf, 0.0], [0.0, -np.inf, 0.0]])
    found = calibration(ranking_of(scores, np.array([0, 1])))
    assert found.impossible == 0.5
    assert found.log_likelihood == pytest.approx(-math.log(2))
    assert found.brier == pytest.approx((0.5 + 1.5) / 2)
    assert calibration(ranking_of(scores, np.array([0, 1])), mask=np.array([True, False])).n == 1


def test_ties_share_the_first_rank():
    scores = np.array([[1.0, 1, 1, 0], [1, 1, 0, 0], [2, 1, 1, 0], [0, 2, 1, 1]])
    found = first_is_right(ranking_of(scores, np.array([2, 3, 1, 1])))
    np.testing.assert_allclose(found, [1 / 3, 0, 0, 1])
    # A model that tells nothing apart is calibrated: one in four.
    assert calibration(ranking_of(np.zeros((9, 4)), np.arange(9) % 4)).ece == pytest.approx(0)


def test_no_case_has_a_candidate():
    found = calibration(ranking_of(np.full((2, 3), -np.inf), np.array([0, 1])))
    assert found.n == 0 and math.isnan(found.ece) and math.isnan(found.brier)


def test_the_true_law_is_calibrated_and_has_the_highest_likelihood(drawn):
    law, shop = drawn
    cases = TestCases.of(shop)
    true = calibration(rank_all(LastItem(law), cases, N_ITEMS))
    sharp = calibration(rank_all(LastItem(3 * law), cases, N_ITEMS))
    flat = calibration(rank_all(LastItem(law / 3), cases, N_ITEMS))
    for other in (sharp, flat):
        assert true.ece < 0.06 < other.ece
        assert true.brier < other.brier
        assert true.log_likelihood > other.log_likelihood


def test_only_scores_that_are_not_log_probabilities_get_a_temperature(drawn):
    law, shop = drawn
    cases = validation_cases(shop)
    assert len(cases) == 1000
    assert temperature_of(LastItem(law), cases, N_ITEMS) == 1.0
    for scale in (4.0, 0.05, 300.0):
        found = temperature_of(LastItem(scale * law + 5), cases, N_ITEMS)
        assert found == pytest.approx(scale, rel=0.15)
    # Fitted on validation, judged on test: as good as the law.
    ranking = rank_all(LastItem(4 * law), TestCases.of(shop), N_ITEMS, temperature=found / 75)
    assert calibration(ranking).ece < 0.06


def test_temperature_is_at_the_maximum_of_the_likelihood(drawn):
    law, shop = drawn
    cases = validation_cases(shop)
    scores = 2.5 * law[[prefix[-1] for prefix in cases.prefixes]]
    found = fit_temperature(scores.astype(np.float32), cases.targets)

    def likelihood(temperature: float) -> float:
        return log_softmax(scores / temperature, axis=1)[
            np.arange(len(cases)), cases.targets
        ].mean()

    for other in (0.9, 0.97, 1.03, 1.1):
        assert likelihood(found) > likelihood(other * found)


def test_temperature_is_one_without_information(drawn):
    _, shop = drawn
    cases = validation_cases(shop)
    flat = LastItem(np.zeros((N_ITEMS, N_ITEMS)))
    assert temperature_of(flat, cases, N_ITEMS) == 1.0
    blind = LastItem(np.full((N_ITEMS, N_ITEMS), -np.inf))
    assert temperature_of(blind, cases, N_ITEMS) == 1.0
    none = validation_cases(dataset_of([[0, 1]], [], [[0, 1]], N_ITEMS))
    assert temperature_of(flat, none, N_ITEMS) == 1.0


def test_temperature_uses_only_as_many_cases_as_fit(drawn):
    law, shop = drawn
    asked = []

    class Counts(LastItem):
        def scores(self, sessions):
            asked.append(len(sessions))
            return super().scores(sessions)

    found = temperature_of(Counts(4 * law), validation_cases(shop), N_ITEMS, cells=300 * N_ITEMS)
    assert sum(asked[1:]) == 300
    assert found == pytest.approx(4, rel=0.3)


def test_validation_cases_follow_the_protocol(drawn):
    _, shop = drawn
    cases = validation_cases(shop, Protocol(mask_history=False))
    assert "kept" in cases.protocol
    assert [p[-1] for p in cases.prefixes] == [s[0] for s in shop.validation.items]


def test_log_probabilities_are_recognised():
    rows = log_softmax(np.random.default_rng(0).standard_normal((5, 2000)), axis=1)
    assert are_log_probabilities(rows.astype(np.float32))
    assert not are_log_probabilities(rows + 0.1)
    assert not are_log_probabilities(np.exp(rows))
    assert not are_log_probabilities(np.full((1, 3), -np.inf))
