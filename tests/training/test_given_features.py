"""Vectors that a shop has already: read, learnt from, kept in the bundle, wanted of new items."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from tpad import Bundle, ConfigError, DataError, NewItem
from tpad.data.pseudo_cold import pseudo_cold
from tpad.data.vectors import ItemVectors
from tpad.model.given_features import TFIDF, GivenFeatures
from tpad.model.heads import KnowledgeHeads, word_loss
from tpad.training.inputs import contents
from tpad.training.pipeline import train
from tpad.training.stages import distillation_data
from tpad.training.stages.distillation_data import raw_features
from tpad.training.stages.imagined import ImaginedConfig
from tpad.training.stages.word_prediction import fit_word_predictions
from tpad.world.oracle import attribute_table

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
WARM = np.array([True, True, True, False])


def table(present=(1, 1, 1, 1), values=VALUES) -> ItemVectors:
    known = np.array(present, bool)
    return ItemVectors(np.where(known[:, None], values, 0).astype(np.float32), known)


def test_vectors_come_side_by_side_and_a_missing_one_is_the_mean_with_a_mark():
    given = GivenFeatures.fit({"a": table(), "b": table([1, 0, 1, 1])}, WARM)
    assert given.width == 3 + 3 + 1  # only `b` lacks some
    rows = given([{"a": VALUES[0], "b": VALUES[1]}, {"a": VALUES[2]}])
    assert rows[0].tolist() == [0, 1, 2, 3, 4, 5, 1]
    assert rows[1].tolist() == [6, 7, 8, *VALUES[[0, 2]].mean(0), 0]  # of the training items


def test_missing_and_unknown_vectors_are_errors():
    given = GivenFeatures.fit({"a": table(), "b": table([1, 0, 1, 1])}, WARM)
    for vectors, says in (
        (None, "a \\(3 numbers\\), b"),
        ({"b": VALUES[0]}, "no vector 'a'"),
        ({"a": VALUES[0, :2]}, r"shape \(3,\), not \(2,\)"),
        ({"a": VALUES[0], "c": VALUES[0]}, "does not use item vectors 'c'"),
    ):
        with pytest.raises(DataError, match=says):
            given([vectors])
    with pytest.raises(DataError, match="No item of the training sessions"):
        GivenFeatures.fit({"a": table([0, 0, 0, 1])}, WARM)


def test_it_is_kept_as_json_and_arrays():
    given = GivenFeatures.fit({"a": table([1, 0, 1, 1])}, WARM)
    again = GivenFeatures.restore(given.as_json(), given.arrays())
    assert np.array_equal(again([{}, {"a": VALUES[3]}]), given([{}, {"a": VALUES[3]}]))


def test_words_are_named_from_given_vectors_and_these_are_a_part_of_the_intrinsic(config):
    torch.manual_seed(0)
    k = torch.randn(200, 9)  # five read, of which the last two are the last token, then four given
    words = (k[:, 5:] > 0).float()  # (n, 4): what the given vectors tell, nothing else
    distill = replace(config.distillation, dropout=0.0)
    heads = KnowledgeHeads(9, 2, 4, distill, n_given=4)
    held_out = fit_word_predictions(heads, k, words, seed=0)
    assert held_out < 0.2 * float(word_loss(torch.zeros(200, 4), words))
    _, nu = heads.eval()(k)
    assert torch.equal(nu[:, 4:], k[:, 5:]) and heads.nu_width == 8
    assert ((nu[:, :4] > 0.5) == (words > 0.5)).float().mean() > 0.95


@pytest.fixture(scope="module")
def vectors(dataset):
    """What perfect reading would give, which the untrained model cannot; some items lack it."""
    values = attribute_table(dataset.items).astype(np.float32)
    present = np.ones(len(values), bool)
    present[::9] = False
    return {"attributes": ItemVectors(np.where(present[:, None], values, 0), present)}


@pytest.fixture(scope="module")
def work(trained, tmp_path_factory):
    """The workspace of a run without vectors; a copy, as others look at it too."""
    folder = tmp_path_factory.mktemp("given") / "work"
    shutil.copytree(trained.work, folder)
    return folder


def stages(work) -> Counter:
    """How many folders each stage has."""
    return Counter(folder.name.rsplit("-", 1)[0] for folder in work.iterdir() if folder.is_dir())


@pytest.fixture(scope="module")
def joined(dataset, trained, vectors, work, tmp_path_factory):
    """Beside what the student reads."""
    config = replace(
        trained.config,
        features=("attributes", TFIDF),
        baselines=("tfidf",),
        imagined=ImaginedConfig(),
    )
    out = tmp_path_factory.mktemp("joined") / "bundle"
    return Bundle.load(
        train(dataset, trained.base, config, out, work=work, vectors=vectors, quiet=True)
    )


def test_a_bundle_gives_its_items_the_embeddings_that_it_stores(joined, dataset, vectors):
    items = [
        replace(item, image=dataset.image(row))
        for row, item in enumerate(contents(dataset, vectors))
    ]
    made = joined.encoder.encode(items, ["tpad"])["tpad"]
    assert np.allclose(made, joined.embeddings["tpad"], atol=2e-2)
    words = joined.encoder.heads[1].describe.weight.shape[0]
    tail = joined.encoder.given.width
    assert made.shape[1] > words + tail
    blank = replace(items[0], vectors=None)  # it may lack what others lacked in training
    assert np.isfinite(joined.encoder.encode([blank], ["tpad"])["tpad"]).all()


def test_a_bundle_without_vectors_says_that_it_reads_none(trained):
    with pytest.raises(DataError, match="uses no item vectors"):
        Bundle.load(trained.bundle).encoder.encode([NewItem(vectors={"a": VALUES[0]})], ["tpad"])


def test_other_vectors_are_another_distillation_and_nothing_else(trained, joined, work):
    before, after = stages(trained.work), stages(work)
    assert after["distillation"] > before["distillation"]
    for stage in ("pictures", "knowledge", "transfer"):
        assert after[stage] == before[stage]


def test_settings_that_cannot_work_are_told(dataset, trained, vectors, work, tmp_path):
    def attempt(given, **settings):
        config = replace(trained.config, **settings)
        train(
            dataset, trained.base, config, tmp_path / "bundle", work=work, vectors=given, quiet=True
        )

    with pytest.raises(ConfigError, match="features names none"):
        attempt(vectors)
    with pytest.raises(ConfigError, match=r"set imagined\.per_item to 0"):
        attempt(vectors, features=("attributes",))
    assert not (tmp_path / "bundle").exists()


def test_items_that_play_cold_can_be_kept_from_the_heads(
    dataset, trained, vectors, work, tmp_path, monkeypatch
):
    seen = []

    def read(*arguments):
        seen.append(raw_features(*arguments))
        return seen[-1]

    monkeypatch.setattr(distillation_data, "raw_features", read)
    config = replace(
        trained.config,
        features=("attributes",),
        baselines=(),
        imagined=ImaginedConfig(),
        distillation=replace(trained.config.distillation, exclude_pseudo_cold=True),
        feedback=replace(trained.config.feedback, epochs=0),
    )
    out = train(
        dataset, trained.base, config, tmp_path / "bundle", work=work, vectors=vectors, quiet=True
    )
    unmet = pseudo_cold(~dataset.cold)
    assert 0 < unmet.sum() < (~dataset.cold).sum() and not dataset.cold[unmet].any()
    assert sorted(seen[0].rows) == np.flatnonzero(~dataset.cold & ~unmet).tolist()
    assert len(seen[0].features) == len(seen[0].rows)
    x = Bundle.load(out).embeddings["tpad"]
    assert np.isfinite(x).all() and x[unmet].std() > 0.1  # read like any new item
