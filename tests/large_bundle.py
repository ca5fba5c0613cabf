"""A bundle with as many items as are wanted, for measuring; nothing is trained and nothing encoded.

    path = make_large_bundle(tmp_path / "large", 1_000_000)
    recommender = tpad.load(path, encoder=WideEncoder())

It has the demo's items, sessions and trained network. The further items lie around them in families of
look-alikes, as the colours and sizes of one product do. A tenth of them has no clicks; the others have rows
in a made-up memory, and the session neighbours are walks along it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fake_bundle import FakeEncoder
from scipy import sparse

from tpad import Bundle, Dataset
from tpad.bundle import write_bundle
from tpad.model.session.fitted import FittedSessionModel
from tpad.model.session.fused import FusedModel
from tpad.model.session.memory import Memory
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours
from tpad.model.session.stand_ins import COUNT

DEMO = Path(__file__).parents[1] / "assets" / "demo"
WIDTH = 192  # of the demo's embeddings
FAMILY = 50  # items of a family, on average
CHUNK = 50_000
UNCLICKED = 0.1  # share of the further items
FOLLOWED_BY = 50  # entries of each row of the memory
SESSION_LENGTH = 5  # clicks of each training session; there are as many sessions as items
STAND_INS = COUNT  # of each item without clicks
# Of the demo's own spread: how far a family lies from a demo item, and an item from its family.
FAMILY_SPREAD, ITEM_SPREAD = 0.4, 0.2


class WideEncoder(FakeEncoder):
    """A made-up encoder whose vectors are as wide as the demo's."""

    def __init__(self) -> None:
        super().__init__(("tpad",))

    def encode(self, items, sets=None):
        vectors = super().encode(items, sets)["tpad"]  # (n, 24)
        return {"tpad": np.pad(vectors, ((0, 0), (0, WIDTH - vectors.shape[1])))}


def make_large_bundle(folder: str | Path, n_items: int, seed: int = 0) -> Path:
    """Write it; `n_items` is at least the demo's 1,200."""
    demo = Bundle.load(DEMO, verify="fast")
    features = large_features(demo.embeddings["tpad"], n_items, seed)
    own = demo.dataset.items
    more = n_items - len(own)
    items = pd.DataFrame(
        {
            "item_id": pd.Series([f"more-{i:07d}" for i in range(more)], dtype="str"),
            "title": pd.Series([f"look-alike no. {i}" for i in range(more)], dtype="str"),
            "description": pd.Series([""] * more, dtype="str"),
            "category": own["category"].sample(more, replace=True, random_state=seed).array,
            "price": np.round(np.random.default_rng(seed).gamma(2.0, 20.0, more), 2),
            "image": pd.Series([""] * more, dtype="str"),
        }
    )
    own = own[list(items.columns)].assign(image="")
    dataset = Dataset(
        pd.concat([own, items], ignore_index=True),
        Path(folder),
        demo.dataset.train,
        demo.dataset.validation,
        demo.dataset.test,
    )
    return write_bundle(
        folder,
        dataset=dataset,
        encoder=WideEncoder(),
        embeddings={"tpad": features},
        recommenders={"tpad": large_model(demo.recommenders["tpad"], features, seed)},
        config={"preset": "large", "seed": seed},
    )


def large_features(own: np.ndarray, n_items: int, seed: int = 0) -> np.ndarray:
    """(n_items, d) float32, those of the demo first."""
    rng, spread = np.random.default_rng(seed), own.std(0)
    more = n_items - len(own)
    n_families = more // FAMILY + 1

    def noise(n: int) -> np.ndarray:
        return rng.standard_normal((n, own.shape[1]), dtype=np.float32) * spread

    families = own[rng.integers(len(own), size=n_families)] + FAMILY_SPREAD * noise(n_families)
    features = np.empty((n_items, own.shape[1]), np.float32)
    features[: len(own)] = own
    for start in range(len(own), n_items, CHUNK):
        n = min(CHUNK, n_items - start)
        of = families[rng.integers(n_families, size=n)]
        features[start : start + n] = of + ITEM_SPREAD * noise(n)
    return features


def large_model(own: FusedModel, features: np.ndarray, seed: int = 0) -> FusedModel:
    """The demo's recommender over more items, with a made-up memory of popular items.

    Args:
        own: the demo's recommender.
        features: (n_items, d), those of the demo first.
        seed: of all random numbers.
    """
    rng, n_items = np.random.default_rng(seed), len(features)
    clicked = np.concatenate([own.clicked, rng.random(n_items - own.n_items) >= UNCLICKED])
    known, new = np.flatnonzero(clicked), np.flatnonzero(~clicked)
    state = own.network.state_dict() | {"network.warm": torch.from_numpy(clicked)}
    for name in ("network.bias", "network.input_ids", "network.output_ids"):
        if name in state:  # further items have those of an item of the demo
            state[name] = state[name][rng.integers(own.n_items, size=n_items)]
    network = FittedSessionModel.restored(state, own.network.config, features)
    # The square of a uniform number: popular items follow more often.
    place = (len(known) * rng.random(len(known) * FOLLOWED_BY) ** 2).astype(np.int64)
    indices = rng.permutation(known)[place].astype(np.int32)
    data = rng.choice(own.memory.matrix.data, len(indices))
    indptr = np.concatenate([[0], np.cumsum(clicked * FOLLOWED_BY)])
    memory = sparse.csr_array((data, indices, indptr), shape=(n_items, n_items))
    of_new = rng.choice(known, len(new) * STAND_INS)
    rows = np.concatenate([known, np.repeat(new, STAND_INS)])
    weights = np.concatenate([np.ones(len(known)), np.full(len(of_new), 1 / STAND_INS)])
    stand_ins = sparse.csr_array(
        (weights.astype(np.float32), (rows, np.concatenate([known, of_new]))), shape=memory.shape
    )
    return FusedModel(
        network,
        Memory(memory, own.memory.config),
        replace(own.weights, neighbours=1.0),
        own.exploration,
        neighbours=large_neighbours(memory, known, rng),
        space=own.space,
        weights_of_stand_ins=stand_ins,
    )


def large_neighbours(
    memory: sparse.csr_array, known: np.ndarray, rng: np.random.Generator
) -> SessionNeighbours:
    """Session neighbours whose sessions are walks along the memory.

    Args:
        memory: (n_items, n_items), with `FOLLOWED_BY` entries in the rows of `known`.
        known: rows of clicked items.
        rng: of the walks.
    """
    n_sessions = memory.shape[0]
    steps = [rng.choice(known, n_sessions)]
    while len(steps) < SESSION_LENGTH:
        place = memory.indptr[steps[-1]] + rng.integers(FOLLOWED_BY, size=n_sessions)
        steps.append(memory.indices[place])
    clicked = np.stack(steps, axis=1).ravel()  # (n_sessions · SESSION_LENGTH,)
    row = np.repeat(np.arange(n_sessions), SESSION_LENGTH)
    items = sparse.csr_array((np.ones(len(row), np.float32), (row, clicked)), shape=memory.shape)
    items.sum_duplicates()
    clicks = np.bincount(clicked, minlength=memory.shape[1]).astype(np.float64)
    return SessionNeighbours(items, clicks, NeighboursConfig())
