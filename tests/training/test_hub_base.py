"""A base model of the hub: pinned to a commit, read with the run's settings, never copied."""

import shutil

import huggingface_hub
import numpy as np
import pytest
from PIL import Image
from tiny_base import make_tiny_base

from tpad.bundle import Bundle
from tpad.data.columns import Columns
from tpad.embedded import tiny
from tpad.errors import ConfigError, ModelError
from tpad.items import NewItem
from tpad.mllm import MLLM, encode_images
from tpad.mllm.loading import pinned_revision
from tpad.training.base import Base
from tpad.training.pipeline import train

HUB_ID = "org/tiny-vl"
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory, base_folder):
    """The hub as it lies in the local cache, without any network: two commits, `main` at the first.

    The second commit holds a damaged model, so that nobody can open it unnoticed.
    """
    folder = tmp_path_factory.mktemp("hub")
    model = folder / f"models--{HUB_ID.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(FIRST)
    for commit in (FIRST, SECOND):
        shutil.copytree(base_folder, model / "snapshots" / commit)
    (model / "snapshots" / SECOND / "model.safetensors").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield model


@pytest.fixture(scope="module")
def bundle(cache, dataset, config, tmp_path_factory):
    """Trained on the hub's `main`, which then moved on."""
    settings = {
        "baselines": ("vision", "knowledge"),
        "model.visual_tokens": 1,
        "model.dtype": "float32",
        "model.gradient_checkpointing": True,
        "knowledge.targets": "shop",
        "imagined.per_item": 0,
        "distillation.generative": False,
        "distillation.adapter_every": 0,
        "distillation.epochs": 1,
        "transfer.max_sessions": 8,
        "recommender.content.epochs": 1,
        "feedback.epochs": 0,
    }
    small = config
    for name, value in settings.items():
        small = small.override(name, value)
    base = Base.find(HUB_ID, "main")
    folder = tmp_path_factory.mktemp("run") / "bundle"
    train(dataset, base, small, folder, device="cpu", quiet=True)
    (cache / "refs" / "main").write_text(SECOND)
    return Bundle.load(folder, device="cpu")


def test_a_branch_is_pinned_to_its_commit(cache, bundle):
    place, family = {"hub_id": HUB_ID, "revision": FIRST}, {"family": "idefics3", "sees": True}
    assert bundle.info["base"] == place | family
    assert pinned_revision(HUB_ID) == pinned_revision(HUB_ID, "main") == SECOND
    assert pinned_revision(HUB_ID, FIRST) == FIRST
    assert Base.find(HUB_ID, FIRST).fingerprint != Base.find(HUB_ID).fingerprint


def test_no_base_weights_are_stored(bundle):
    assert not (bundle.path / "base").exists()
    weights = [name for name in bundle.info["checksums"] if name.endswith("model.safetensors")]
    assert sorted(weights) == [
        "adapters/student/adapter_model.safetensors",
        "adapters/transfer/adapter_model.safetensors",
    ]
    card = (bundle.path / "README.md").read_text("utf-8")
    assert f"base_model: {HUB_ID}\n" in card and f"revision `{FIRST}`" in card


def test_it_opens_the_base_by_id_and_commit_with_the_settings_of_the_training(
    bundle, dataset, monkeypatch
):
    asked = []
    load = MLLM.load.__func__

    def recorded(cls, source, settings=None, **options):
        asked.append((source, options["revision"], settings))
        return load(cls, source, settings, **options)

    monkeypatch.setattr(MLLM, "load", classmethod(recorded))
    encoder = bundle.encoder
    ((source, revision, settings),) = asked
    assert (source, revision) == (HUB_ID, FIRST)
    assert settings.as_json() == bundle.config["model"]
    assert (settings.visual_tokens, settings.dtype) == (1, "float32")
    assert encode_images(encoder.mllm, [Image.new("RGB", (50, 50))]).counts.tolist() == [1]


def test_a_new_item_is_read_as_those_of_the_training_were(bundle, dataset):
    rows = [0, 7, 50]
    frame = dataset.items.iloc[rows]
    items = [
        NewItem(dataset.image(row), title, description, category, price)
        for row, title, description, category, price in zip(
            rows,
            frame[Columns.TITLE],
            frame[Columns.DESCRIPTION],
            frame[Columns.CATEGORY],
            frame[Columns.PRICE],
            strict=True,
        )
    ]
    for name, vectors in bundle.encoder.encode(items).items():
        np.testing.assert_allclose(vectors, bundle.embeddings[name][rows], rtol=2e-2, atol=2e-2)
    # At its native size the model sees something else.
    native = encode_images(MLLM.load(HUB_ID, revision=FIRST, device="cpu"), [items[0].image])
    assert native.counts.tolist() == [tiny.IMAGE_TOKENS]
    seen = bundle.embeddings["vision"][0, : native.tower.shape[1]]
    assert np.abs(native.tower[0].numpy() - seen).max() > 0.1


def test_a_hub_id_or_revision_that_is_not_there(cache):
    with pytest.raises(ModelError, match="org/other cannot be loaded; check"):
        Base.find("org/other")
    with pytest.raises(ModelError, match="check the folder or the hub id, the revision"):
        Base.find(HUB_ID, "v9")


def test_a_folder_has_no_revision(tmp_path):
    folder = make_tiny_base(tmp_path / "base")
    with pytest.raises(ConfigError, match="is a folder and has no revision 'main'"):
        Base.find(str(folder), "main")
    assert not Base.find(str(folder)).is_hub
