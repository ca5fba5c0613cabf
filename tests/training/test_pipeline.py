"""A whole training run: what it leaves behind, and that it never does anything twice."""

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from tpad import Bundle, NewItem
from tpad.bundle.encoder import load_encoder
from tpad.data.columns import Columns
from tpad.errors import BundleError, ConfigError
from tpad.mllm import MLLM
from tpad.model.embedding_sets import EMBEDDING_SETS, as_stored
from tpad.model.item_encoder import ItemEncoder
from tpad.training import inputs
from tpad.training.base import Base
from tpad.training.fusion import FusionTuning, tune_fused
from tpad.training.inputs import contents
from tpad.training.pipeline import train
from tpad.training.stages import (
    describing,
    descriptions,
    distillation,
    feedback,
    pictures,
    recommender,
    teacher,
    transfer,
)


@pytest.fixture(scope="module")
def bundle(trained) -> Bundle:
    return Bundle.load(trained.bundle)


def items_with_pictures(dataset) -> list[NewItem]:
    return [
        NewItem(dataset.image(row), item.title, item.description, item.category, item.price)
        for row, item in enumerate(contents(dataset))
    ]


def test_the_bundle_loads_and_names_what_made_it(bundle, trained):
    assert bundle.sets == ("tpad", *trained.config.baselines)
    assert bundle.info["config"] == json.loads(json.dumps(trained.config.as_json()))
    assert bundle.info["dataset"]["fingerprint"] == trained.dataset.fingerprint
    assert bundle.info["dataset"]["n_items"] == 96
    assert (trained.bundle / "world.json").is_file()
    assert (trained.bundle / "arrivals" / "arrivals.csv").is_file()
    record = Path(trained.base.path) / "pretraining.json"
    assert (trained.bundle / "base" / "pretraining.json").read_bytes() == record.read_bytes()
    assert not list(trained.bundle.rglob("*.pkl")) and not list(trained.bundle.rglob("*.bin"))


def test_embeddings_are_those_that_the_weights_make_of_the_pictures(bundle, trained):
    encoder = load_encoder(trained.bundle, device="cpu")
    made = encoder.encode(items_with_pictures(trained.dataset))
    assert set(made) == set(bundle.sets)
    for name, x in made.items():
        # Stored in half precision.
        assert np.allclose(x, bundle.embeddings[name], atol=1e-3, rtol=1e-3), name
        assert x.dtype == np.float32 and np.isfinite(x).all()


def test_every_set_has_a_recommender_that_ranks_all_items(bundle, trained):
    prefixes = [s[:-1] for s in trained.dataset.test.items[:6]]
    scores = {name: bundle.recommenders[name].scores(prefixes) for name in bundle.sets}
    for name, of in scores.items():
        assert of.shape == (6, 96) and np.isfinite(of).all(), name
    assert not np.allclose(scores["tpad"], scores["knowledge"])


def test_the_recommender_of_every_set_is_tuned(bundle, trained):
    for name in bundle.sets:
        tuning, model = (
            FusionTuning.from_json(bundle.info["tuned"][name]),
            bundle.recommenders[name],
        )
        assert tuning.network == trained.config.recommender.networks[0]
        network = tuning.network
        if not tuning.weights.network:
            network = replace(network, epochs=1)  # its scores are not used
        assert (model.network.config, model.memory.config) == (network, tuning.memory)
        assert (model.weights, model.exploration) == (tuning.weights, tuning.exploration)
        assert tuning.exploration is not None


def test_what_ships_is_tuned_as_the_evaluation_tunes(bundle, trained):
    dataset, features = trained.dataset, bundle.embeddings["tpad"]
    tuning = tune_fused(
        features,
        dataset.train,
        dataset.validation,
        ~dataset.cold,
        trained.config.recommender,
        parts=bundle.parts["tpad"],
    )
    assert json.loads(json.dumps(asdict(tuning))) == bundle.info["tuned"]["tpad"]


def test_price_and_category_join_every_content_set_alike(bundle, trained):
    width = {name: bundle.embeddings[name].shape[1] for name in bundle.sets}
    extra = 3 + trained.dataset.items[Columns.CATEGORY].nunique()
    n_words = len(load_file(trained.bundle / "heads.safetensors")["heads.describe.weight"])
    assert width["tpad"] == trained.config.distillation.tau + n_words + extra
    assert width["vision_tfidf"] == width["vision"] + width["tfidf"] - extra
    shared = bundle.embeddings["tpad"][:, -extra:]
    for name in bundle.sets:
        if name != "random":
            assert np.allclose(bundle.embeddings[name][:, -extra:], shared), name


def test_a_new_item_costs_one_pass_and_is_recommended(bundle, trained, monkeypatch):
    passes = []
    real = MLLM.forward
    monkeypatch.setattr(
        MLLM, "forward", lambda self, *a, **k: passes.append(1) or real(self, *a, **k)
    )
    encoder = load_encoder(trained.bundle, device="cpu")
    passes.clear()  # loading tries it out
    item = NewItem(Image.new("RGB", (80, 80), "teal"), "Kipo case Nova 5", price=12.0)
    x = encoder.encode([item], sets=["tpad"])
    assert len(passes) == 1 and set(x) == {"tpad"}
    encoder.encode([item], sets=["tfidf", "vision", "random"])
    assert len(passes) == 1
    vectors = bundle.recommenders["tpad"].network.encode_new(x["tpad"])
    assert np.isfinite(vectors).all()


def test_items_without_picture_or_text_are_embedded(trained):
    encoder = load_encoder(trained.bundle, device="cpu")
    picture = Image.new("RGB", (60, 90), "red")
    some = [NewItem(picture), NewItem(title="Stride cap L"), NewItem(), NewItem(picture, "Kipo")]
    whole = encoder.encode(some)
    for name, x in whole.items():
        assert x.shape[0] == 4 and np.isfinite(x).all(), name
    assert not np.allclose(whole["tpad"][0], whole["tpad"][3], atol=1e-3)
    # An item's embedding does not depend on those that are encoded with it.
    alone = encoder.encode(some[1:2])
    for name in whole:
        assert np.allclose(alone[name][0], whole[name][1], atol=1e-4), name


def test_the_text_alone_or_the_picture_alone_changes_the_embedding(trained):
    encoder = load_encoder(trained.bundle, device="cpu")
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    some = [NewItem(red, "Kipo case"), NewItem(blue, "Kipo case"), NewItem(red, "Grove jam")]
    x = encoder.encode(some)
    for name in ("tpad", "knowledge", "transfer", "vision_tfidf"):
        assert not np.allclose(x[name][0], x[name][1], atol=1e-3), name
        assert not np.allclose(x[name][0], x[name][2], atol=1e-3), name
    assert np.allclose(x["vision"][0], x["vision"][2]), "the picture alone"
    assert np.allclose(x["tfidf"][0], x["tfidf"][1]), "the text alone"


def test_unknown_sets_are_refused(trained):
    encoder = load_encoder(trained.bundle, device="cpu")
    with pytest.raises(ConfigError, match="no embedding set 'clip'"):
        encoder.encode([NewItem(title="x")], sets=["clip"])
    with pytest.raises(ConfigError, match=r"baselines must be one of .*not 'clip'"):
        trained.config.override("baselines", ("clip",))
    assert set(trained.config.baselines) | {"tpad"} == set(EMBEDDING_SETS)


def test_a_run_without_words_gives_an_encoder_that_reloads(trained, tmp_path):
    config = trained.config.override("distillation.words", False).override("baselines", ())
    folder = train(
        trained.dataset,
        trained.base,
        config,
        tmp_path / "bundle",
        work=trained.work,
        device="cpu",
        quiet=True,
    )
    bundle, encoder = Bundle.load(folder), load_encoder(folder, device="cpu")
    assert encoder.heads[1].describe is None
    made = encoder.encode(items_with_pictures(trained.dataset))["tpad"]
    stored = bundle.embeddings["tpad"]
    sizes, extra = config.distillation, 3 + trained.dataset.items[Columns.CATEGORY].nunique()
    assert stored.shape[1] == sizes.tau + sizes.nu + extra
    assert np.ptp(stored[:, : sizes.nu], axis=0).max() > 0.01  # items are told apart
    assert np.allclose(as_stored("tpad", made), stored, atol=1e-3, rtol=1e-3)
    encoder.save(tmp_path / "again")
    again = load_encoder(tmp_path / "again", device="cpu").encode(contents(trained.dataset)[:9])
    np.testing.assert_array_equal(
        again["tpad"], encoder.encode(contents(trained.dataset)[:9])["tpad"]
    )


def test_words_need_the_last_layer(trained, tmp_path):
    config = trained.config.override("knowledge.layers", (0,))
    with pytest.raises(ConfigError, match=r"add it to knowledge\.layers"):
        train(trained.dataset, trained.base, config, tmp_path / "bundle", device="cpu", quiet=True)
    assert not (tmp_path / "bundle").exists()


def folders(work) -> set[str]:
    return {p.name for p in work.iterdir() if p.is_dir()}


def test_a_second_run_loads_every_stage(trained, tmp_path, monkeypatch):
    """Nothing is computed again, and the bundle is the same."""

    def never(*_, **__):
        raise AssertionError("a finished stage was run again")

    monkeypatch.setattr(descriptions, "generate", never)
    monkeypatch.setattr(teacher, "score_answers", never)
    monkeypatch.setattr(pictures, "encode_images", never)
    monkeypatch.setattr(descriptions, "write_descriptions", never)
    monkeypatch.setattr(transfer._Training, "run", never)
    monkeypatch.setattr(describing, "_tune", never)
    monkeypatch.setattr(distillation._Training, "run", never)
    monkeypatch.setattr(feedback, "fit_session_model", never)
    monkeypatch.setattr(recommender, "tune_fused", never)
    monkeypatch.setattr(recommender, "fit_tuned", never)
    monkeypatch.setattr(ItemEncoder, "encode", never)
    before = folders(trained.work)
    again = train(
        trained.dataset,
        trained.base,
        trained.config,
        tmp_path / "again",
        work=trained.work,
        device="cpu",
        quiet=True,
    )
    assert folders(trained.work) == before
    one, other = Bundle.load(trained.bundle), Bundle.load(again)
    for name in one.sets:
        assert np.array_equal(one.embeddings[name], other.embeddings[name]), name


def test_a_base_trained_again_in_place_is_another_base(base_folder, tmp_path):
    copy = tmp_path / "base"
    copy.mkdir()
    for file in base_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    first = Base(str(copy)).fingerprint
    assert first == Base(str(base_folder)).fingerprint  # wherever it lies
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    again = Base(str(copy)).fingerprint
    assert again != first
    (copy / "merges.txt").write_text("a b")  # part of some tokenizers
    assert Base(str(copy)).fingerprint != again
    assert Base("org/model", "main", True).fingerprint != Base("org/model", "v2", True).fingerprint


def test_base_weights_are_kept_exactly(trained, base_folder, tmp_path):
    """Halved to bfloat16 only where that loses nothing: embeddings come from the saved weights."""
    saved, given = MLLM.load(trained.bundle / "base"), MLLM.load(base_folder)
    for (name, one), (_, other) in zip(
        saved.model.state_dict().items(), given.model.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name
    size = os.path.getsize(trained.bundle / "base" / "model.safetensors")
    assert size < 1.1 * os.path.getsize(base_folder / "model.safetensors")
    encoder = load_encoder(trained.bundle, device="cpu")
    with torch.no_grad():
        weight = next(p for n, p in encoder.mllm.model.named_parameters() if "q_proj" in n)
        weight.add_(1e-5)
    encoder.save(tmp_path / "again")
    again = load_encoder(tmp_path / "again", device="cpu")
    item = [NewItem(Image.new("RGB", (64, 64), "red"), "Kipo case")]
    one, other = encoder.encode(item), again.encode(item)
    for name in one:
        assert np.allclose(one[name], other[name], atol=1e-5), name


def test_a_damaged_encoder_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(BundleError, match=r"encoder\.json is missing"):
        load_encoder(tmp_path)


def test_a_shop_without_training_sessions_is_refused(dataset, base_folder, config, tmp_path):
    empty = replace(
        dataset,
        train=replace(
            dataset.train,
            ids=dataset.train.ids[:0],
            items=[],
            starts=dataset.train.starts[:0],
            times=None,
        ),
    )
    with pytest.raises(ConfigError, match="no training sessions"):
        train(empty, Base(str(base_folder)), config, tmp_path / "out", quiet=True)


def test_long_embeddings_have_the_fingerprint_of_their_whole_text(monkeypatch):
    monkeypatch.setattr(inputs, "ROWS_AT_ONCE", 4)
    features = np.random.default_rng(0).random((11, 3), dtype=np.float32)
    parts = {"tau": 1, "nu": 2}
    text = json.dumps([[11, 3], [["tau", 1], ["nu", 2]]]).encode() + features.tobytes()
    assert inputs.fingerprint(features, parts) == hashlib.sha256(text).hexdigest()
    assert inputs.fingerprint(features, {"nu": 3}) != inputs.fingerprint(features, parts)
