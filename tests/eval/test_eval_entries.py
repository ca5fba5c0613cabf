"""Which models are evaluated, under which names and with which settings."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from small_models import FAST, Oracle

from eval.baselines import BASELINES
from eval.cli.import_lists import our_names
from eval.models.entries import all_entries, select, too_large_for
from eval.models.naming import ENSEMBLES, NEIGHBOURS
from eval.models.shipped import shipped_recommenders
from tpad import Bundle
from tpad.errors import ConfigError
from tpad.model.embedding_sets import EMBEDDING_SETS
from tpad.training.fusion import FusionConfig, FusionTuning


def test_with_a_bundle_only_its_own_sets_are_compared(entries, embeddings):
    assert [(entry.name, entry.role) for entry in entries] == [
        *((name, "baseline") for name in (*BASELINES, *ENSEMBLES)),
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
    by_id = {*BASELINES, *ENSEMBLES}
    sets = [name for name in names if name not in by_id and not name.endswith(NEIGHBOURS)]
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
    config = FAST.with_epochs(3)
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
    # The same settings, and so the same budget, as every other set.
    assert by_name["tpad-no-words"].settings == by_name["vision"].settings
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
    network = stored.network.config
    assert FusionTuning.from_json(tuned).weights == stored.weights
    own = entry.make(network.seed, tuned, None).fit(dataset).scores(prefixes)
    np.testing.assert_array_equal(own, stored.scores(prefixes))
    other = entry.make(network.seed + 1, tuned, None).fit(dataset)
    assert other.fitted.network.config == replace(network, seed=network.seed + 1)
    assert not np.array_equal(other.scores(prefixes), own)
    assert entry.settings["shipped"] == bundle.info["checksums"]["recommenders/tpad.safetensors"]


def test_ablations_have_the_network_that_was_chosen_for_the_shipped_method(fake_bundle):
    bundle = Bundle.load(fake_bundle)
    found = all_entries(
        bundle.dataset,
        bundle.embeddings,
        FusionConfig(),
        shipped=shipped_recommenders(bundle),
        ablations={"no-words": bundle.embeddings["vision"]},
    )
    settings = next(entry.settings for entry in found if entry.name == "tpad-no-words")
    assert settings["content"] == asdict(bundle.recommenders["tpad"].network.config)
    assert settings["tried"] == ("content",)


def test_every_baseline_gets_as_many_tries_and_the_same_budget(shop, embeddings):
    entries = {e.name: e for e in all_entries(shop, embeddings, FAST, tries=2)}
    found = entries["gru4rec"].tune(shop, 0, None)
    assert len(found["tries"]) == 2 and found["settings"]["epochs"] == FAST.content.epochs
    assert len(entries["tfidf_neighbours"].tune(shop, 0, None)["tries"]) == 2
    assert entries["popularity"].tune(shop, 0, None) is None
    assert entries["oracle" if "oracle" in entries else "markov"].tune(shop, 0, None) is None


def test_baselines_that_cannot_be_fitted_to_so_many_items_are_left_out(
    shop, embeddings, monkeypatch
):
    small = replace(BASELINES["ease"], most_items=21)  # of 22 training items
    monkeypatch.setitem(BASELINES, "ease", small)
    assert too_large_for(shop) == {"ease": 21, "ease_tfidf": 21}
    names = [entry.name for entry in all_entries(shop, embeddings, FAST)]
    assert not {"ease", "ease_tfidf"} & set(names) and {"slist", "vsknn_tfidf"} <= set(names)


def test_ensembles_use_the_texts_of_the_bundle_or_compute_them(shop, embeddings):
    by_name = {entry.name: entry for entry in all_entries(shop, embeddings, FAST)}
    plain = {entry.name: entry for entry in all_entries(shop, {}, FAST)}
    for name in ENSEMBLES:
        assert by_name[name].features(0) is embeddings["tfidf"]
        assert len(plain[name].features(0)) == len(shop) and not plain[name].seeded
    with pytest.raises(ConfigError, match="already a model ease_tfidf"):
        all_entries(shop, embeddings, FAST, extra={"ease_tfidf": embeddings["vision"]})


def test_models_are_chosen_by_name(shop, entries, embeddings):
    assert [entry.name for entry in select(entries, ["tpad", "markov"])] == ["markov", "tpad"]
    with pytest.raises(ConfigError, match="no model 'gru'"):
        select(entries, ["gru"])
    with pytest.raises(ConfigError, match="knowledge has shape"):
        all_entries(shop, {"knowledge": embeddings["knowledge"][:5]}, FAST)
