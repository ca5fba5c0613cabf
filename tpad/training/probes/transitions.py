"""Transition probe: how well features tell which item follows, among items that nobody has clicked [ours].

Ridge regression predicts the features of the next item from the decayed mean features u of a session, so the
score of an item j is bilinear:

    probe(s, j) = (W u(s) + b) · z_j                  W, b fitted to the training sessions
    similarity(s, j) = cos(u(s), z_j)

z are the features, whitened on the training items. Only unclicked items are ranked, and none of them is used
for fitting. Much of the probe's success is due to similar items that follow each other. What remains without
it shows in the residuals of the probe's scores after a linear regression on the similarity, within each case.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV

from tpad.data.cases import known_cases
from tpad.data.dataset import Dataset
from tpad.data.pseudo_cold import hold_out, pseudo_cold
from tpad.data.sessions import Cases, Sessions
from tpad.model.session.session_matrix import decayed_rows
from tpad.training.ranking import expected_gains

K = 20
GAINS = torch.ones(K, dtype=torch.float64)  # of P@20
AXES = 128  # most principal axes
RECENCY = 3.0  # steps back over which the weight of an item decays by e
PENALTIES = np.logspace(0, 6, 7)
FEWEST = 100
"""Cases with a cold target; if there are fewer, a tenth of the training items is held out in their place."""
MOST = 50_000  # cases the probe is fitted to
CHUNK = 2_000  # cases ranked at once
COLUMNS = ["similarity", "probe", "probe without similarity"]


def transition_table(
    dataset: Dataset, features: Mapping[tuple[str, str], np.ndarray]
) -> pd.DataFrame:
    """P@20 among unclicked items: a row for each feature set, and the columns of `COLUMNS`.

    There are no columns if no test session leads to an item that can be held out.

    Args:
        dataset: its sessions.
        features: (stage, name) -> (n_items, d).
    """
    train, cases, candidates = held_out_cases(dataset)
    if not len(cases):
        return pd.DataFrame()
    chance = min(1.0, K / candidates.sum())
    rows = {("", "chance"): dict.fromkeys(COLUMNS, chance)}
    for name, values in features.items():
        rows[name] = dict(
            zip(COLUMNS, probe_transitions(values, train, cases, candidates), strict=True)
        )
    index = pd.MultiIndex.from_tuples(rows, names=["stage", "features"])
    return pd.DataFrame(list(rows.values()), index)


def held_out_cases(dataset: Dataset) -> tuple[Sessions, Cases, np.ndarray]:
    """Training sessions, test cases, and the items to rank: (n_items,) bool.

    The items are the cold ones, or if these have few test cases, a tenth of the training items, whose clicks
    are then removed from the training sessions.
    """
    warm = ~dataset.cold
    train, candidates = dataset.train, dataset.cold
    cases = known_cases(dataset.test, candidates, max_length=None, mask_seen=True)
    if len(cases) < FEWEST:
        candidates = pseudo_cold(warm)
        train = hold_out(train, warm & ~candidates)
        cases = known_cases(dataset.test, candidates, max_length=None, mask_seen=True)
    return train, cases, candidates


def probe_transitions(
    features: np.ndarray, train: Sessions, cases: Cases, candidates: np.ndarray
) -> tuple[float, float, float]:
    """P@20 among the candidates: of the similarity, of the probe, and of the probe without similarity.

    Args:
        features: (n_items, d).
        train: training sessions, without the candidates.
        cases: cases whose targets are candidates.
        candidates: (n_items,) bool.
    """
    known = np.zeros(len(features), bool)
    known[train.clicks] = True
    z = _whitened(features, known)  # (n_items, d')
    fitted = known_cases(train, known, max_length=None, mask_seen=True)
    some = np.random.default_rng(0).permutation(len(fitted))[:MOST]
    probe = RidgeCV(PENALTIES).fit(
        _means([fitted.prefixes[n] for n in some], z), z[fitted.targets[some]]
    )
    rows = np.flatnonzero(candidates)
    place = torch.from_numpy(np.searchsorted(rows, cases.targets))  # (n,)
    own, units = z[rows], _units(z[rows])  # (n_candidates, d')
    hits = np.zeros(3)
    for start in range(0, len(cases), CHUNK):
        part = slice(start, start + CHUNK)
        prefixes = cases.prefixes[part]
        means = _means(prefixes, z)  # (n, d')
        similarity = _units(means) @ units.T  # (n, n_candidates)
        score = probe.predict(means) @ own.T  # (n, n_candidates)
        seen = np.stack([np.isin(rows, prefix) for prefix in prefixes])
        for column, values in enumerate((similarity, score, _residual(score, similarity))):
            scores = torch.from_numpy(np.where(seen, -np.inf, values))
            hits[column] += float(expected_gains(scores, place[part], GAINS).sum())
    similar, found, remaining = (hits / len(cases)).tolist()
    return similar, found, remaining


def _whitened(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Features on at most `AXES` principal axes, with unit variance on the known items."""
    centred = features.astype(np.float64) - features[known].mean(0, dtype=np.float64)
    variance, axes = np.linalg.eigh(centred[known].T @ centred[known] / known.sum())
    kept = variance > 1e-9 * max(variance[-1], 1e-30)
    variance, axes = variance[kept][-AXES:], axes[:, kept][:, -AXES:]
    return centred @ (axes / np.sqrt(variance))


def _means(prefixes: list[np.ndarray], z: np.ndarray) -> np.ndarray:
    return decayed_rows(prefixes, len(z), RECENCY) @ z  # (n, d')


def _units(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _residual(score: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Scores (n, m) without what a linear function of the similarity explains, row by row."""
    x = similarity - similarity.mean(1, keepdims=True)
    y = score - score.mean(1, keepdims=True)
    slope = (x * y).sum(1, keepdims=True) / np.maximum((x * x).sum(1, keepdims=True), 1e-12)
    return y - slope * x
