"""A small bundle with a real encoder, of an untrained base model: made in seconds.

path = make_small_bundle(tmp_path / "bundle")
bundle = Bundle.load(path, device="cpu")
"""

from pathlib import Path

import numpy as np
import torch
from fake_bundle import contents, make_fake_dataset
from tiny_base import make_tiny_base

from tpad.bundle import write_bundle
from tpad.mllm import MLLM, LoraSettings
from tpad.mllm.features import encode_images
from tpad.model.embedding_sets import as_stored
from tpad.model.heads import HeadsConfig, KnowledgeHeads
from tpad.model.item_encoder import STUDENT, TRANSFER, ItemEncoder, ReadingConfig
from tpad.model.item_features import concatenated
from tpad.model.plain_features import FieldFeatures, TextFeatures, item_texts
from tpad.model.scaler import FeatureScaler
from tpad.model.session.fused import FusionWeights
from tpad.model.session.memory import MemoryConfig
from tpad.model.session.network import SessionModelConfig
from tpad.training.fusion import FusionTuning, fit_tuned

SETS = ("tpad", "vision_tfidf")
WORDS = 5  # of the heads' vocabulary


def make_small_bundle(folder: Path, n_items: int = 20) -> Path:
    """Write the bundle; its tables and its base model are made beside it."""
    dataset = make_fake_dataset(folder.with_name("shop"), n_items, n_sessions=20)
    mllm = MLLM.load(make_tiny_base(folder.with_name("base")), device="cpu")
    torch.manual_seed(0)
    for name in (STUDENT, TRANSFER):
        mllm.adapters.add(name, LoraSettings(rank=2))
    encoder = _untrained(mllm, dataset)
    embeddings = {n: as_stored(n, x) for n, x in encoder.encode(contents(dataset)).items()}
    config = SessionModelConfig(width=8, hidden=8, layers=1, heads=2, epochs=1)
    tuning = FusionTuning(config, MemoryConfig(), FusionWeights(), 0.0)
    recommenders = {
        name: fit_tuned(x, dataset.train, dataset.validation, ~dataset.cold, tuning)
        for name, x in embeddings.items()
    }
    return write_bundle(
        folder,
        dataset=dataset,
        encoder=encoder,
        embeddings=embeddings,
        recommenders=recommenders,
        parts=encoder.parts,
        config={"seed": 0},
    )


def _untrained(mllm: MLLM, dataset) -> ItemEncoder:
    items = contents(dataset)
    prices = dataset.items["price"].to_numpy()
    sizes = HeadsConfig(tau=4, nu=4, hidden=8)

    def made(scaler: FeatureScaler) -> ItemEncoder:
        return ItemEncoder(
            mllm,
            ReadingConfig((0, 2), "both", 40, 20, None, "words", (STUDENT, TRANSFER)),
            TextFeatures.fit(item_texts(items), 6),
            FieldFeatures.fit(dataset.items["category"].tolist(), prices),
            SETS,
            heads=(scaler, KnowledgeHeads(scaler.n_features, mllm.hidden_size, WORDS, sizes)),
        )

    first = made(FeatureScaler(1))
    images = encode_images(mllm, (item.image for item in items))
    features = concatenated(first.read(items, images, STUDENT)).numpy()
    return made(FeatureScaler.fit(features, np.ones(len(items), bool)))
