"""Runs are made, stored and reused, and rank what they can rank."""

import numpy as np
import pytest
from small_models import FAST, Oracle

from eval.database.store import Store
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import metric_names
from eval.models.entries import all_entries, select
from eval.protocol import Protocol, TestCases
from eval.runs import runner
from eval.runs.runner import run_models


def test_validation_cases_are_made_once_and_only_if_needed(shop, entries, tmp_path, monkeypatch):
    made, of = [], runner.validation_cases
    monkeypatch.setattr(runner, "validation_cases", lambda *given: made.append(given) or of(*given))
    monkeypatch.setattr(runner, "code_version", lambda: ("1", "abc"))
    chosen = select(entries, ["popularity", "markov"])
    with Store(tmp_path / "results.db") as store:
        for _ in range(2):  # the second time all is there already
            run_models(store, shop, "shop", chosen, [0], protocol=Protocol(mask_history=False))
    assert made == [(shop, Protocol(mask_history=False))]


def test_runs_are_reused_and_only_missing_ones_are_made(
    shop, entries, embeddings, tmp_path, monkeypatch
):
    monkeypatch.setattr("eval.runs.runner.code_version", lambda: ("1", "abc"))
    store = Store(tmp_path / "results.db")
    chosen = select(entries, ["markov", "tpad"])
    first = run_models(store, shop, "shop", chosen, [0])
    second = run_models(store, shop, "shop", chosen, [0, 1])
    assert [result.seeds for result in second] == [(0,), (0, 1)]  # no seed changes Markov
    assert len(store.runs()) == 3
    np.testing.assert_array_equal(first[1].ranks.expected[0], second[1].ranks.expected[0])
    assert second[1].tuned == first[1].tuned
    assert store.runs()[1].config["settings"]["content"]["width"] == FAST.content.width
    others = all_entries(shop, embeddings, FAST.with_epochs(1), Oracle())
    run_models(store, shop, "shop", select(others, ["markov", "tpad"]), [0])
    assert len(store.runs()) == 4  # other settings, other run; Markov has none
    monkeypatch.setattr("eval.runs.runner.code_version", lambda: ("1", "abc-dirty"))
    run_models(store, shop, "shop", select(entries, ["markov"]), [0])
    run_models(store, shop, "shop", select(entries, ["markov"]), [0])
    assert len(store.runs()) == 6  # changed code is never trusted to be the same
    store.close()


def test_a_run_stores_the_ties_of_its_ranks(shop, entries, tmp_path):
    with Store(tmp_path / "results.db") as store:
        (found,) = run_models(store, shop, "shop", select(entries, ["markov"]), [0])
        stored = {(m.slice, m.name, m.k): m.value for m in store.metrics(store.runs()[0].id)}
    assert found.ranks.ties.max() > 2  # items that never followed each other score alike
    everything = np.ones(found.ranks.shape[1], bool)
    for metric, k in metric_names():
        figure = found.metric(metric, k, everything).mean()
        assert stored["all", metric, k] == pytest.approx(figure, abs=1e-12)


def test_an_interrupted_evaluation_keeps_what_was_finished(shop, entries, tmp_path):
    store = Store(tmp_path / "results.db")

    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chosen = select(entries, ["markov", "tpad"])
        run_models(store, shop, "shop", chosen, [0], progress=stop)
    assert [run.status for run in store.runs()] == ["done", "interrupted"]
    store.close()


def made(entry, shop, seed):
    return entry.make(seed, entry.tune(shop, seed, None), None)


def test_same_seed_same_ranks(shop, entries):
    entry = select(entries, ["tpad"])[0]
    cases = TestCases.of(shop)
    first, second = (
        rank_all(made(entry, shop, 1).fit(shop), cases, 24).ranks.expected for _ in "ab"
    )
    np.testing.assert_array_equal(first, second)


def test_only_attributes_rank_cold_items(shop, entries):
    cases = TestCases.of(shop)
    by_name = {entry.name: entry for entry in entries}
    ranks = {
        name: rank_all(made(by_name[name], shop, 0).fit(shop), cases, 24).ranks.expected
        for name in ("popularity", "markov", "attributes", "oracle")
    }
    assert np.isinf(ranks["popularity"][cases.cold]).all()
    assert np.isinf(ranks["markov"][cases.cold]).all()
    assert np.isfinite(ranks["attributes"]).all()
    assert (ranks["oracle"] == 1).all()
