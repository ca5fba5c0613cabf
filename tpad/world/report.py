"""Measures the difficulty of a demo shop, to check that its law is well calibrated."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tpad.data.cases import mask_history
from tpad.data.columns import Columns
from tpad.data.sessions import Sessions
from tpad.mllm.features import encode_images
from tpad.mllm.model import MLLM
from tpad.model.plain_features import field_table, text_table
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model
from tpad.world.build import PICTURE_SIZE, World, picture_seed
from tpad.world.drawing.product import draw
from tpad.world.oracle import Oracle, attribute_table

K = 20
Ranker = Callable[[Sequence[np.ndarray]], np.ndarray]


def report(world: World, base: str | Path, cases: int = 4_000) -> str:
    """Precision at 20 of simple rankers on test prefixes, and five conditions on these figures.

    Args:
        world: the shop; its pictures are drawn in memory.
        base: base model; its vision tower gives the picture features.
        cases: number of test prefixes, drawn at random.
    """
    sessions = {name: _sessions(rows) for name, rows in world.sessions.items()}
    items, warm = world.item_table(), ~world.cold
    test = sessions["test"].prefixes()
    chosen = np.random.default_rng(0).permutation(len(test.targets))[:cases]
    prefixes, targets = [test.prefixes[i] for i in chosen], test.targets[chosen]

    fields, texts = field_table(items, warm), text_table(items, warm)
    attributes = attribute_table(items)
    mllm = MLLM.load(base)
    pictures = (
        draw(product.look, picture_seed(f"{world.config.seed}/{path}"), PICTURE_SIZE)
        for product, path in zip(world.products, items[Columns.IMAGE], strict=True)
    )
    seen = encode_images(mllm, pictures).tower.numpy()
    popularity = np.bincount(sessions["train"].clicks, minlength=len(items)).astype(np.float32)

    def fitted(features: np.ndarray) -> Ranker:
        return fit_session_model(
            np.concatenate([features, fields], axis=1).astype(np.float32),
            sessions["train"],
            sessions["validation"],
            warm,
            SessionModelConfig(),
        ).scores

    rankers: dict[str, Ranker] = {
        "oracle": Oracle(world.law).scores,
        "popularity": lambda some: np.tile(popularity, (len(some), 1)),
        "look-alikes (true attributes)": lambda some: (
            np.stack([attributes @ attributes[p[-1]] for p in some]) + 1e-6 * popularity
        ),
        "Markov chain by id": _markov(sessions["train"], popularity),
        "vision tower + TF-IDF": fitted(np.concatenate([seen, texts], axis=1)),
        "true attributes": fitted(attributes),
    }
    hits = {name: _hits(ranker, prefixes, targets) for name, ranker in rankers.items()}
    cold = world.cold[targets]
    table = {name: (hit.mean(), hit[~cold].mean(), hit[cold].mean()) for name, hit in hits.items()}
    lines = [f"| ranker | P@{K} all | warm | cold |", "| --- | --- | --- | --- |"]
    lines += [f"| {n} | {a:.3f} | {w:.3f} | {c:.3f} |" for n, (a, w, c) in table.items()]
    lines += ["", *_conditions(table)]
    return "\n".join(lines)


def _conditions(table: dict[str, tuple[float, float, float]]) -> list[str]:
    oracle, popularity = table["oracle"], table["popularity"]
    alike, markov = table["look-alikes (true attributes)"], table["Markov chain by id"]
    plain, best = table["vision tower + TF-IDF"], table["true attributes"]
    checks = [
        (f"oracle between .50 and .80: {oracle[0]:.3f}", 0.5 <= oracle[0] <= 0.8),
        (f"popularity below .15: {popularity[0]:.3f}", popularity[0] < 0.15),
        (
            f"look-alikes below half of the oracle: {alike[0] / oracle[0]:.2f}",
            alike[0] < oracle[0] / 2,
        ),
        (
            f"Markov below three quarters of the oracle on warm targets: "
            f"{markov[1] / oracle[1]:.2f}",
            markov[1] < 0.75 * oracle[1],
        ),
        (
            f"true attributes lead vision tower + TF-IDF by a fifth on cold targets: "
            f"{best[2] / max(plain[2], 1e-9) - 1:+.0%}",
            best[2] >= 1.2 * plain[2],
        ),
    ]
    return [f"- {'met' if good else 'NOT MET'}: {text}" for text, good in checks]


def _sessions(rows: list[np.ndarray]) -> Sessions:
    ids = np.array([str(i) for i in range(len(rows))], dtype=object)
    return Sessions(ids, rows, np.arange(len(rows), dtype=np.int64))


def _markov(train: Sessions, popularity: np.ndarray) -> Ranker:
    counts = np.zeros((len(popularity), len(popularity)), np.float32)
    for session in train.items:
        np.add.at(counts, (session[:-1], session[1:]), 1.0)
    return lambda some: np.stack([counts[p[-1]] for p in some]) + 1e-6 * popularity


def _hits(ranker: Ranker, prefixes: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """(n,) probability that the target is in the top K; ties are broken at random."""
    hits = np.empty(len(targets))
    for start in range(0, len(targets), 1000):
        some = prefixes[start : start + 1000]
        scores = np.array(ranker(some), dtype=np.float32)  # (n, n_items)
        mask_history(scores, some)
        own = scores[np.arange(len(some)), targets[start : start + 1000]][:, None]  # (n, 1)
        above, equal = (scores > own).sum(1), (scores == own).sum(1)
        hits[start : start + len(some)] = np.clip((K - above) / equal, 0.0, 1.0)
    return hits
