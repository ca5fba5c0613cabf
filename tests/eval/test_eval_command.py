"""Models, runner, report and command line, on a fake bundle."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from eval import __main__ as command
from eval.baselines import BASELINES
from eval.cli import run, sources
from eval.cli.import_lists import our_names
from eval.database.store import Store
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import Ranks, metric_names
from eval.models.entries import all_entries, select, too_large_for
from eval.models.naming import NEIGHBOURS
from eval.models.shipped import shipped_recommenders
from eval.protocol import SLICES, Protocol, TestCases
from eval.reports.report import markdown
from eval.runs import runner
from eval.runs.results import Result
from eval.runs.runner import run_models
from eval.runs.slice_comparison import compare_with_best_baseline
from tpad import Bundle
from tpad.errors import ConfigError
from tpad.model.embedding_sets import EMBEDDING_SETS, write_with_ids
from tpad.model.session.network import SessionModelConfig
from tpad.world.build import World, WorldConfig
from tpad.world.oracle import attribute_table

FAST = SessionModelConfig(
    width=16, hidden=16, layers=1, heads=2, epochs=4, batch_size=32, learning_rate=5e-3
)


class Oracle:
    """Knows that the next kind in the same colour follows."""

    def scores(self, sessions):
        scores = np.zeros((len(sessions), 24), dtype=np.float32)
        scores[np.arange(len(sessions)), [(session[-1] + 6) % 24 for session in sessions]] = 1
        return scores


@pytest.fixture(scope="module")
def embeddings(shop):
    """In the order of a bundle, TPAD first."""
    attributes = attribute_table(shop.items)
    noise = np.random.default_rng(0).standard_normal((24, 12)).astype(np.float32)
    return {
        "tpad": attributes,
        "vision_tfidf": attributes[:, :6],
        "knowledge": noise,
        "vision": attributes[:, :4],
        "tfidf": attributes[:, 4:],
        "transfer": noise[:, :6],
        "random": noise[:, 6:],
    }


@pytest.fixture(scope="module")
def entries(shop, embeddings):
    return all_entries(shop, embeddings, FAST, Oracle())


def test_with_a_bundle_only_its_own_sets_are_compared(entries, embeddings):
    assert [(entry.name, entry.role) for entry in entries] == [
        *((name, "baseline") for name in BASELINES),
        ("tfidf_neighbours", "baseline"),
        ("vision_neighbours", "baseline"),
        ("vision_tfidf_neighbours", "baseline"),
        ("knowledge_neighbours", "baseline"),
        ("transfer_neighbours", "baseline"),
        ("random", "baseline"),
        ("tfidf", "baseline"),
        ("vision", "baseline"),
        ("vision_tfidf", "baseline"),
        ("knowledge", "baseline"),
        ("transfer", "baseline"),
        ("tpad_neighbours", "tpad"),
        ("tpad", "tpad"),
        ("attributes_neighbours", "reference"),
        ("attributes", "reference"),
        ("oracle", "oracle"),
    ]
    for entry in entries:
        if entry.name in embeddings:
            assert entry.features(0) is embeddings[entry.name]


def test_without_a_bundle_plain_sets_are_computed(shop):
    names = [entry.name for entry in all_entries(shop, {}, FAST, Oracle())]
    sets = [name for name in names if name not in BASELINES and not name.endswith(NEIGHBOURS)]
    assert sets == ["random", "tfidf", "attributes", "oracle"]
    assert set(sets[:2]) <= set(EMBEDDING_SETS)


def test_imported_models_cannot_have_our_names(shop, embeddings):
    for sets in (embeddings, {}, {"mine": embeddings["vision"]}):
        ours = {entry.name for entry in all_entries(shop, sets, FAST, Oracle())}
        assert ours <= our_names(sets)
    assert "peer" not in our_names(embeddings) and "mine" not in our_names()


def test_further_sets_come_before_tpad_and_its_variants(shop, embeddings):
    x = embeddings["tpad"]
    given = {"tpad": x, "tpad_image": x, "vision": x}
    entries = all_entries(shop, given, FAST, extra={"clip": x})
    sets = [entry for entry in entries if entry.name in (*given, "clip")]
    assert [entry.name for entry in sets] == ["vision", "clip", "tpad_image", "tpad"]
    assert [entry.role for entry in sets] == ["baseline", "baseline", "tpad", "tpad"]
    for taken in ("vision", "markov"):
        with pytest.raises(ConfigError, match=f"already a model {taken}"):
            all_entries(shop, given, FAST, extra={taken: x})


def test_ablations_are_variants_of_tpad_and_no_baselines(shop, embeddings):
    x = embeddings["vision"]
    config = replace(FAST, epochs=3)
    given = {"full": x, "no-words": x}
    entries = all_entries(shop, embeddings, config, Oracle(), ablations=given)
    tpad = [(entry.name, entry.role) for entry in entries if entry.name.startswith("tpad")]
    assert tpad == [
        ("tpad-full", "tpad"),
        ("tpad-no-words", "tpad"),
        ("tpad_neighbours", "tpad"),
        ("tpad", "tpad"),
    ]
    by_name = {entry.name: entry for entry in entries}
    assert by_name["tpad-no-words"].features(0) is x
    # The same settings, and so the same budget, as every other set, but for one thing: an ablation
    # has the PCA size of the method, so that nothing differs but what was left out.
    assert by_name["tpad-no-words"].settings == {**by_name["vision"].settings, "pca_sizes": [None]}
    assert set(by_name["tpad-no-words"].tune(shop, 0, None)["values"]) == {"all"}
    # They are no reason to leave out the sets that are made where there is no bundle.
    names = [entry.name for entry in all_entries(shop, {}, config, ablations=given)]
    assert {"random", "tfidf", "tpad-full"} <= set(names) and "tpad" not in names
    with pytest.raises(ConfigError, match="already a model tpad-full"):
        all_entries(shop, embeddings, config, extra={"tpad-full": x}, ablations=given)
    with pytest.raises(ConfigError, match="tpad-full has shape"):
        all_entries(shop, embeddings, config, ablations={"full": x[:3]})


def test_the_recommenders_of_a_bundle_are_evaluated_as_they_are(fake_bundle):
    bundle = Bundle.load(fake_bundle)
    dataset, stored = bundle.dataset, bundle.recommenders["tpad"]
    shipped = shipped_recommenders(bundle)
    entries = {e.name: e for e in all_entries(dataset, bundle.embeddings, FAST, shipped=shipped)}
    entry, prefixes = entries["tpad"], [session[:-1] for session in dataset.test.items]
    tuned = entry.tune(dataset, 1, None)  # nothing is tuned again
    assert (tuned["pca"], tuned["cold_offset"]) == (stored.config.pca, stored.config.cold_offset)
    own = entry.make(stored.config.seed, tuned, None).fit(dataset).scores(prefixes)
    np.testing.assert_array_equal(own, stored.scores(prefixes))
    other = entry.make(stored.config.seed + 1, tuned, None).fit(dataset)
    assert other.config == replace(stored.config, seed=stored.config.seed + 1)
    assert not np.array_equal(other.scores(prefixes), own)
    assert entry.settings["shipped"] == bundle.info["checksums"]["recommenders/tpad.safetensors"]


def test_every_baseline_gets_as_many_tries_and_the_same_budget(shop, embeddings):
    entries = {e.name: e for e in all_entries(shop, embeddings, FAST, tries=2)}
    found = entries["gru4rec"].tune(shop, 0, None)
    assert len(found["tries"]) == 2 and found["settings"]["epochs"] == FAST.epochs
    assert len(entries["tfidf_neighbours"].tune(shop, 0, None)["tries"]) == 2
    assert entries["popularity"].tune(shop, 0, None) is None
    assert entries["oracle" if "oracle" in entries else "markov"].tune(shop, 0, None) is None


def test_baselines_that_cannot_be_fitted_to_so_many_items_are_left_out(
    shop, embeddings, monkeypatch
):
    small = replace(BASELINES["ease"], most_items=21)  # of 22 training items
    monkeypatch.setitem(BASELINES, "ease", small)
    assert too_large_for(shop) == {"ease": 21}
    names = [entry.name for entry in all_entries(shop, embeddings, FAST)]
    assert "ease" not in names and "slist" in names


def test_models_are_chosen_by_name(shop, entries, embeddings):
    assert [entry.name for entry in select(entries, ["tpad", "markov"])] == ["markov", "tpad"]
    with pytest.raises(ConfigError, match="no model 'gru'"):
        select(entries, ["gru"])
    with pytest.raises(ConfigError, match="knowledge has shape"):
        all_entries(shop, {"knowledge": embeddings["knowledge"][:5]}, FAST)


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
    assert store.runs()[1].config["settings"]["width"] == FAST.width
    others = all_entries(shop, embeddings, replace(FAST, epochs=1), Oracle())
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


def test_same_seed_same_ranks(shop, entries):
    entry = select(entries, ["tpad"])[0]
    cases = TestCases.of(shop)
    first, second = (
        rank_all(entry.make(1, None, None).fit(shop), cases, 24).ranks.expected for _ in "ab"
    )
    np.testing.assert_array_equal(first, second)


def test_only_attributes_rank_cold_items(shop, entries):
    cases = TestCases.of(shop)
    by_name = {entry.name: entry for entry in entries}
    ranks = {
        name: rank_all(by_name[name].make(0, None, None).fit(shop), cases, 24).ranks.expected
        for name in ("popularity", "markov", "attributes", "oracle")
    }
    assert np.isinf(ranks["popularity"][cases.cold]).all()
    assert np.isinf(ranks["markov"][cases.cold]).all()
    assert np.isfinite(ranks["attributes"]).all()
    assert (ranks["oracle"] == 1).all()


def result(name, role, ranks):
    return Result(name, role, tuple(range(len(ranks))), Ranks.from_expected(np.array(ranks)))


def masks_of(cases):
    return {name: cases.slice(name) for name in SLICES}


@pytest.fixture
def results(shop):
    n = len(TestCases.of(shop))
    return [
        result("markov", "baseline", [np.full(n, np.inf)]),
        result("tfidf", "baseline", [np.full(n, 4), np.full(n, 2)]),
        result("tpad", "tpad", [np.full(n, 1), np.full(n, 2)]),
        result("oracle", "oracle", [np.full(n, 1)]),
    ]


def test_the_best_baseline_is_tested_against(shop, results):
    cases = TestCases.of(shop)
    found = compare_with_best_baseline(results, cases.session, masks_of(cases))
    assert {(c.slice, c.metric) for c in found} == {
        (s, m) for s in ("all", "warm", "cold") for m in ("P", "MRR")
    }
    test = next(c for c in found if (c.slice, c.metric) == ("all", "MRR"))
    assert test.other == "tfidf"
    assert (test.comparison.first, test.comparison.second) == (0.75, 0.375)
    assert test.comparison.p_value < 0.01
    assert test.comparison.p_corrected == pytest.approx(
        6 * min(c.comparison.p_value for c in found)
    )
    assert compare_with_best_baseline(results[:2], cases.session, masks_of(cases)) == []


def test_the_table_gives_deviation_interval_and_ratio(shop, results):
    cases = TestCases.of(shop)
    page = markdown(results, cases, masks_of(cases), title="the shop")
    lines = page.splitlines()
    in_full = lines[lines.index("## All targets") :]
    table = next(line for line in in_full if line.startswith("| tpad"))
    cells = [cell.strip() for cell in table.strip("|").split("|")]
    heads = next(line for line in in_full if line.startswith("| model"))
    column = [head.strip() for head in heads.strip("|").split("|")].index
    assert cells[column("MRR@20")] == "**0.750** ± 0.354"
    assert cells[column("MRR@20 interval")] == "0.750–0.750"
    assert cells[column("MRR@20 of oracle")] == "75 % (75–75)"
    assert [line for line in lines if line.startswith("## ")] == [
        "## At a glance",
        "## tpad compared with the best baseline",
        "## Averaged over sessions",
        "## All targets",
        "## Warm targets",
        "## Cold targets",
        "## Runs",
    ]


@pytest.fixture
def bundle(shop, embeddings, monkeypatch, tmp_path):
    """A bundle of the test shop, whatever folder is asked for."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    loaded = SimpleNamespace(dataset=shop, embeddings=embeddings, config={}, path=folder, sets=())
    monkeypatch.setattr(sources, "Bundle", SimpleNamespace(load=lambda path: loaded))
    monkeypatch.setattr(sources, "assert_no_leaks", lambda *_, **__: ["nothing leaks"])
    monkeypatch.setattr(run, "SessionModelConfig", lambda: FAST)
    return folder


def test_command_writes_report_and_database(bundle, tmp_path, capsys):
    report, database = tmp_path / "report.md", tmp_path / "results.db"
    arguments = ["--bundle", str(bundle), "--database", str(database), "--report", str(report)]
    arguments += ["--seeds", "0", "--models", "markov", "tpad", "--epochs", "2"]
    assert command.main(arguments) == 0
    page = report.read_text(encoding="utf-8")
    assert "## Cold targets" in page and "| tpad |" in page and "markov 0" in page
    printed = capsys.readouterr().out
    assert "tpad (seed 0): all P@20" in printed
    store = Store(database)
    assert [run.status for run in store.runs()] == ["done", "done"]
    store.close()
    assert not list(tmp_path.glob("*.part"))


@pytest.fixture
def ablations(shop, embeddings, tmp_path):
    """A folder as `python -m tpad ablate` leaves it: the full method, and a set that reads all."""
    folder = tmp_path / "ablations"
    ids = shop.items["item_id"].tolist()
    facts = {"dataset": shop.fingerprint, "base": "b", "full_config": "{}"}
    for name, values in (("full", embeddings["vision"]), ("no-words", embeddings["tpad"])):
        write_with_ids(folder / f"{name}.safetensors", ids, values, facts)
    return folder


def test_ablations_are_stored_and_reported_with_tpad(bundle, ablations, tmp_path, capsys):
    database = tmp_path / "results.db"
    arguments = ["--bundle", str(bundle), "--database", str(database), "--ablations"]
    arguments += [str(ablations), "--seeds", "0", "--models", "vision", "tpad-no-words", "tpad"]
    arguments += ["--epochs", "2", "--report", str(tmp_path / "report.md")]
    assert command.main(arguments) == 0
    arguments = ["report", "--database", str(database), "--out", str(tmp_path / "report.tex")]
    assert command.main(arguments) == 0
    capsys.readouterr()
    store = Store(database)
    roles = {run.model: run.role for run in store.list_runs()}
    assert roles == {"vision": "baseline", "tpad-no-words": "tpad", "tpad": "tpad"}
    store.close()
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| tpad-no-words |" in page
    # It is the same as TPAD, and so better than the one baseline, but no baseline itself.
    tests = [line for line in page.splitlines() if line.startswith("| all | ")]
    assert tests and all("| vision " in line for line in tests)
    assert "tpad-no-words & " in (tmp_path / "report.tex").read_text(encoding="utf-8")


def test_ablations_of_other_data_are_refused(bundle, ablations, shop, capsys, tmp_path):
    ids = shop.items["item_id"].tolist()
    facts = {"dataset": "another", "base": "b", "full_config": "{}"}
    write_with_ids(ablations / "mine.safetensors", ids, np.ones((len(ids), 2)), facts)
    arguments = ["--bundle", str(bundle), "--ablations", str(ablations), "--list"]
    assert command.main(arguments) == 2
    assert "another dataset or split" in capsys.readouterr().err
    (ablations / "mine.safetensors").unlink()
    assert command.main(arguments) == 0
    assert "tpad-no-words\ttpad\n" in capsys.readouterr().out


def test_command_lists_models(bundle, capsys):
    assert command.main(["--bundle", str(bundle), "--list"]) == 0
    assert "tpad\ttpad" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--models", "gru"], "no model 'gru'"),
        (["--database", "/nowhere/results.db"], "folder that exists"),
        (["--report", "/nowhere/report.md"], "folder of /nowhere/report.md"),
        (["--epochs", "0"], "epochs must be at least 1"),
    ],
)
def test_user_errors_are_one_sentence_and_exit_code_2(bundle, capsys, extra, message):
    assert command.main(["--bundle", str(bundle), *extra]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_missing_bundle_is_named(capsys, tmp_path):
    assert command.main(["--bundle", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_a_demo_shop_is_compared_with_its_oracle(tmp_path, capsys):
    shop_folder = tmp_path / "small"
    shop_folder.mkdir()
    world = World(
        WorldConfig(items=60, train_sessions=200, validation_sessions=20, test_sessions=60)
    )
    world.item_table().to_csv(shop_folder / "items.csv", index=False)
    world.interaction_table().to_csv(shop_folder / "interactions.csv", index=False)
    facts = {"law": world.law.as_json(), "popularity": world.law.popularity.tolist()}
    (shop_folder / "world.json").write_text(json.dumps(facts))
    arguments = ["--world", str(shop_folder), "--database", str(tmp_path / "r.db")]
    assert command.main([*arguments, "--models", "popularity", "oracle", "--seeds", "3"]) == 0
    page = capsys.readouterr().out
    assert "# Results on small" in page
    in_full = page[page.index("## All targets") :].splitlines()
    row = next(line for line in in_full if line.startswith("| popularity"))
    share, low, high = map(float, re.findall(r"[\d.]+", row.rstrip(" |").split("|")[-1]))
    assert 0 < low < share < high < 90  # of the oracle
    row = next(line for line in in_full if line.startswith("| oracle"))
    assert row.rstrip(" |").endswith("100 %")


def test_interrupt_is_one_sentence(bundle, monkeypatch, capsys, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_models", stop)
    code = command.main(["--bundle", str(bundle), "--database", str(tmp_path / "r.db")])
    assert code == 130
    assert "finished runs are kept" in capsys.readouterr().err
