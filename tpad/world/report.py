"""Measures the difficulty of a demo shop, to check that its law is well calibrated."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tpad.data.cases import mask_history
from tpad.data.columns import Columns
from tpad.data.sessions import Cases, Sessions
from tpad.mllm.features import encode_images
from tpad.mllm.model import MLLM
from tpad.model.item_encoder import RANDOM_SIZE
from tpad.model.plain_features import field_table, text_table
from tpad.model.session.network import SessionModelConfig
from tpad.training.fitting import fit_session_model
from tpad.training.fusion import fit_tuned, tune_fused
from tpad.world.build import PICTURE_SIZE, World, picture_seed
from tpad.world.drawing.product import draw
from tpad.world.oracle import Oracle, attribute_table

K = 20
FEW = 5
Ranker = Callable[[Sequence[np.ndarray]], np.ndarray]


def report(world: World, base: str | Path, cases: int = 4_000) -> str:
    """Clicks per item, precision at 20 of simple rankers on test prefixes, and conditions on these figures.

    Args:
        world: the shop; its pictures are drawn in memory.
        base: base model; its vision tower gives the picture features.
        cases: number of test prefixes, drawn at random.
    """
    sessions = {name: _sessions(rows) for name, rows in world.sessions.items()}
    test = sessions["test"].prefixes()
    chosen = np.random.default_rng(0).permutation(len(test.targets))[:cases]
    prefixes, targets = [test.prefixes[i] for i in chosen], test.targets[chosen]
    rankers = _rankers(world, base, sessions)
    hits = {name: _hits(ranker, prefixes, targets) for name, ranker in rankers.items()}
    clicks = _clicks(sessions["train"], len(world.products))
    cold = clicks[targets] == 0
    table = {name: (hit.mean(), hit[~cold].mean(), hit[cold].mean()) for name, hit in hits.items()}
    counted, checks = _counts(clicks[~world.cold], _partner_share(world, test))
    lines = [*counted, "", f"| ranker | P@{K} all | warm | cold |", "| --- | --- | --- | --- |"]
    lines += [f"| {n} | {a:.3f} | {w:.3f} | {c:.3f} |" for n, (a, w, c) in table.items()]
    checks += _conditions(table)
    lines += ["", *(f"- {'met' if good else 'NOT MET'}: {text}" for text, good in checks)]
    return "\n".join(lines)


def _rankers(world: World, base: str | Path, sessions: dict[str, Sessions]) -> dict[str, Ranker]:
    items, train = world.item_table(), sessions["train"]
    popularity = _clicks(train, len(items)).astype(np.float32)
    warm = popularity > 0
    fields, texts = field_table(items, warm), text_table(items, warm)
    attributes = attribute_table(items)
    mllm = MLLM.load(base)
    pictures = (
        draw(product.look, picture_seed(f"{world.config.seed}/{path}"), PICTURE_SIZE)
        for product, path in zip(world.products, items[Columns.IMAGE], strict=True)
    )
    seen = encode_images(mllm, pictures).tower.numpy()
    nothing = np.random.default_rng(0).standard_normal((len(items), RANDOM_SIZE))
    parts = train, sessions["validation"], warm

    def network(features: np.ndarray) -> Ranker:
        joined = np.concatenate([features, fields], axis=1).astype(np.float32)
        return fit_session_model(joined, *parts, SessionModelConfig()).scores

    def fused(features: np.ndarray) -> Ranker:
        features = features.astype(np.float32)
        return fit_tuned(features, *parts, tune_fused(features, *parts)).scores

    return {
        "oracle": Oracle(world.law).scores,
        "popularity": lambda some: np.tile(popularity, (len(some), 1)),
        "look-alikes (true attributes)": lambda some: (
            np.stack([attributes @ attributes[p[-1]] for p in some]) + 1e-6 * popularity
        ),
        "Markov chain by id": _markov(train, popularity),
        "vision tower + TF-IDF": network(np.concatenate([seen, texts], axis=1)),
        "true attributes": network(attributes),
        "ids alone, fused": fused(nothing),
        "true attributes, fused": fused(np.concatenate([attributes, fields], axis=1)),
    }


Checks = list[tuple[str, bool]]
"""Conditions, and whether each is met."""


def _counts(clicks: np.ndarray, partners: float) -> tuple[list[str], Checks]:
    """What is counted, as lines and as conditions.

    Args:
        clicks: (n,) training clicks of each item that is sold from the start.
        partners: share of the test clicks on a partner of the item before.
    """
    median, few = np.median(clicks), (clicks <= FEW).mean()
    lines = [
        f"Training clicks per item: median {median:g}, at most {clicks.max()}; "
        f"{few:.0%} of the items have {FEW} or fewer.",
        f"Clicks on a partner of the item before: {partners:.0%}.",
    ]
    return lines, [
        (f"median of 6 to 9 training clicks: {median:g}", 6 <= median <= 9),
        (f"a third of the items have {FEW} training clicks or fewer: {few:.2f}", few >= 1 / 3),
    ]


def _partner_share(world: World, test: Cases) -> float:
    last = np.array([prefix[-1] for prefix in test.prefixes])
    return (world.partners.rows[last] == test.targets[:, None]).any(1).mean()


def _conditions(table: dict[str, tuple[float, float, float]]) -> Checks:
    oracle, popularity = table["oracle"], table["popularity"]
    alike, markov = table["look-alikes (true attributes)"], table["Markov chain by id"]
    plain, best = table["vision tower + TF-IDF"], table["true attributes"]
    ids, fused = table["ids alone, fused"], table["true attributes, fused"]
    return [
        (f"oracle between .60 and .90: {oracle[0]:.3f}", 0.6 <= oracle[0] <= 0.9),
        (f"popularity below .20: {popularity[0]:.3f}", popularity[0] < 0.2),
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
        (
            f"ids alone match the network over true attributes on warm targets: "
            f"{ids[1] / best[1] - 1:+.1%}",
            ids[1] >= best[1],
        ),
        (
            f"with true attributes, the fused recommender leads ids alone on warm targets: "
            f"{fused[1] / ids[1] - 1:+.1%}",
            fused[1] > ids[1],
        ),
        (
            f"and the network on cold targets: {fused[2] / best[2] - 1:+.1%}",
            fused[2] > best[2],
        ),
    ]


def _clicks(sessions: Sessions, n_items: int) -> np.ndarray:
    """Clicks of each item: (n_items,)."""
    return np.bincount(sessions.clicks, minlength=n_items)


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
