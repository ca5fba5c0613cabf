"""Why an item was recommended: what each element of the session did, which part of the item matched,
and what the item is near to. Pure computation on an opened bundle."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.shell.ranking import ranks
from app.shell.session import VisitorSession
from app.shell.shop import Shop, seen_rows
from tpad.data.columns import Columns
from tpad.errors import BundleError, ConfigError, DataError
from tpad.model.parts import PARTS_OF, Parts, read_parts

if TYPE_CHECKING:
    from tpad.model.session.fitted import FittedSessionModel

NEIGHBOURS = 5
CHUNK = 8192  # items standardised at once


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why one item stands where it stands.

    Attributes:
        item: its row of the catalogue: item_id, title, price, is_cold, picture.
        model: name of the embedding set that ranked it.
        rank: its place; 0 if it was left out as seen.
        weight: the model's softmax weight of the item, among the items that the session does not
            hold. It adds up to 1 over them, but is no probability: nothing calibrates it.
        even: the weight that each of them would have if all had the same.
        elements: one row for each element of the session: title, picture, gain (in nats, see
            `leave_one_out`; NaN for the only element of a session).
        parts: one row for each part of the item: part ("tau", "nu" or "fields"), fall, share (see
            `occlusion`); None where the model has no parts.
        alike: how alike the item and the session's last element are in each part, see
            `part_cosines`; empty where the model has no parts.
        neighbours: rows of the catalogue nearest to the item, with their cosine, see `nearest`.
    """

    item: pd.Series
    model: str
    rank: int
    weight: float
    even: float
    elements: pd.DataFrame
    parts: pd.DataFrame | None
    alike: dict[str, float]
    neighbours: pd.DataFrame


def explain(
    shop: Shop, session: VisitorSession, item_id: str, model: str, exclude_seen: bool = True
) -> Explanation:
    """Everything that the panel “Why this item?” shows.

    Raises:
        DataError: the item is not in the catalogue.
        ConfigError: the session is empty, or there is no such model.
    """
    if item_id not in shop.catalogue.rows:
        raise DataError(f"There is no item '{item_id[:80]}' in the catalogue; reload the page.")
    if not len(session):
        raise ConfigError("The session is empty; add an item to it first.")
    row, seen = shop.catalogue.rows[item_id], seen_rows(shop, session)
    known = len(shop.catalogue.items)
    scores = shop.recommender.scores(session.values, model)[:known]
    candidates = _candidates(known, seen, row)
    fitted = shop.recommender.bundle.recommenders[model]
    parts, alike = None, {}
    layout = _parts(shop.recommender.bundle.path) if model == PARTS_OF else None
    if layout is not None and layout.width == fitted.features.shape[1]:
        parts = occlusion(fitted, _session_vector(shop, session, model, fitted), row, layout)
        last = shop.recommender.encode(session.values[-1:], model)[0]  # (d,)
        alike = part_cosines(fitted.features, fitted.features[row], last, layout)
    near, cosines = nearest(fitted, row)
    return Explanation(
        item=shop.catalogue.items.iloc[row],
        model=model,
        rank=int(ranks(scores, seen if exclude_seen else [])[row]),
        weight=float(np.exp(log_weight(scores, row, candidates))),
        even=1 / int(candidates.sum()),
        elements=_elements(shop, session, model, row, candidates, scores),
        parts=parts,
        alike=alike,
        neighbours=shop.catalogue.items.iloc[near].assign(cosine=cosines),
    )


def log_weight(scores: np.ndarray, row: int, candidates: np.ndarray) -> float:
    """Natural logarithm of an item's softmax weight.

    Scores are the logits of a softmax, known only up to a constant that differs from session to
    session. So a raw score says nothing across two sessions; its log-softmax does.

    Args:
        scores: (n_items,).
        row: of the item.
        candidates: (n_items,) bool, the items that compete; `row` must be one.
    """
    logits = scores[candidates].astype(np.float64)
    logits = logits[np.isfinite(logits)]
    largest = logits.max(initial=-np.inf)
    return float(scores[row] - largest - np.log(np.exp(logits - largest).sum()))


def leave_one_out(
    whole: np.ndarray, without: list[np.ndarray], row: int, candidates: np.ndarray
) -> np.ndarray:
    """What each element adds to the logarithm of an item's weight, in nats: (n_elements,).

    The gain is `log w(item | session) − log w(item | session without the element)`; exp(gain) is how
    many times the item's weight grows by the element. Both times the same items compete
    (those that the whole session does not hold), so that an element which is left out does not
    become a competitor. Gains need not add up: elements repeat and complete each other.

    Args:
        whole: (n_items,) scores after the whole session.
        without: the same after the session without its 1st, 2nd, … element.
        row: of the item.
        candidates: (n_items,) bool.
    """
    base = log_weight(whole, row, candidates)
    return np.array([base - log_weight(scores, row, candidates) for scores in without])


def occlusion(
    fitted: "FittedSessionModel", session: np.ndarray, row: int, parts: Parts
) -> pd.DataFrame:
    """How far an item's score falls when one of its parts is that of the average item.

    The session stays as it is; only the candidate is changed, and goes through the session model's
    projection of items that may follow. As the other items' scores stay the same, a fall in score
    is exactly the fall of the log-odds of its weight. Learnt biases and IDs of warm items
    are no part of `x`; they are left aside on both sides of the difference.

    Args:
        fitted: session model; its features are the catalogue.
        session: (h + 1,), the session's vector.
        row: of the item.
        parts: where they lie in the features.

    Returns:
        part ("tau", "nu", and "fields" where there are any), fall (nats), share. The share of a
        part is its fall among the falls above zero. A part with a negative fall speaks against the
        item: its share is NaN, as is every share if no part speaks for it. Falls need not add up to
        the fall of all parts together, as the projection is not linear.
    """
    places = {"tau": parts.tau, "nu": parts.nu, "fields": parts.fields}
    names = [name for name, at in places.items() if at.stop > at.start]
    variants = np.repeat(fitted.features[row : row + 1], len(names) + 1, axis=0)
    center = fitted.features.mean(0)  # (d,)
    for number, name in enumerate(names, 1):
        variants[number, places[name]] = center[places[name]]
    scores = fitted.encode_new(variants) @ session  # (n_parts + 1,), the item as it is first
    falls = (scores[0] - scores[1:]).astype(np.float64)
    return pd.DataFrame({"part": names, "fall": falls, "share": shares(falls)})


def shares(falls: np.ndarray) -> np.ndarray:
    """Each positive fall among all positive ones; NaN for the others."""
    positive = np.clip(falls, 0, None)
    if not positive.any():
        return np.full(len(falls), np.nan)
    return np.where(falls > 0, positive / positive.sum(), np.nan)


def part_cosines(
    features: np.ndarray, one: np.ndarray, other: np.ndarray, parts: Parts
) -> dict[str, float]:
    """Cosine of two items (d,) in the parts "tau" and "nu", around the mean of the catalogue (n, d).

    Around the mean, since all items share a large common direction: 0 is as alike as any two items.
    """
    center = features.mean(0)
    one, other = one - center, other - center
    return {
        name: float(cosine(one[None, at], other[at])[0])
        for name, at in (("tau", parts.tau), ("nu", parts.nu))
    }


def cosine(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine of (n, d) vectors with a query (d,): (n,); 0 where a vector has no length."""
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.divide(vectors @ query, norms, out=np.zeros(len(vectors)), where=norms > 1e-9)


def nearest(
    fitted: "FittedSessionModel", row: int, k: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """The items most alike to one, as the session model reads them: standardised features.

    Unlike raw embeddings these are centred, so that 0 is as alike as any two items, and no single
    large feature decides.

    Returns:
        rows (k,) and cosines (k,), the nearest first, the item itself left out.
    """
    query = fitted.standardised(fitted.features[row : row + 1])[0]
    starts = range(0, fitted.n_items, CHUNK)
    blocks = [fitted.standardised(fitted.features[start : start + CHUNK]) for start in starts]
    cosines = np.concatenate([cosine(block, query) for block in blocks])  # (n_items,)
    order = np.argsort(-cosines, kind="stable")
    found = order[order != row][:k]
    return found, cosines[found]


def _candidates(n_items: int, seen: list[int], row: int) -> np.ndarray:
    candidates = np.ones(n_items, dtype=bool)
    candidates[seen] = False
    candidates[row] = True
    return candidates


def _elements(
    shop: Shop,
    session: VisitorSession,
    model: str,
    row: int,
    candidates: np.ndarray,
    whole: np.ndarray,
) -> pd.DataFrame:
    values, gains = session.values, np.full(len(session), np.nan)
    if len(values) > 1:
        rest = [values[:i] + values[i + 1 :] for i in range(len(values))]
        scores = [shop.recommender.scores(part, model)[: len(candidates)] for part in rest]
        gains = leave_one_out(whole, scores, row, candidates)
    return pd.DataFrame(
        {
            Columns.TITLE: [element.title for element in session.elements],
            "picture": [element.picture for element in session.elements],
            "gain": gains,
        }
    )


def _session_vector(
    shop: Shop, session: VisitorSession, model: str, fitted: "FittedSessionModel"
) -> np.ndarray:
    """(h + 1,)."""
    rows = shop.catalogue.rows
    new = [element.value for element in session.elements if element.is_new]
    guests = iter(range(fitted.n_items, fitted.n_items + len(new)))
    places = [next(guests) if e.is_new else rows[e.item_id] for e in session.elements]
    return fitted.session_vectors(
        [np.array(places, dtype=np.int64)], shop.recommender.encode(new, model)
    )[0]


@lru_cache(maxsize=8)
def _parts(folder: Path) -> Parts | None:
    """The parts of a bundle's representation; None also where its encoder cannot be read."""
    try:
        return read_parts(folder)
    except BundleError:
        return None
