"""Why an item was recommended: what each part of the recommender and each element of the session added,
the match of each part of the item, and its nearest items. Pure computation on an open bundle."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.recommend.reasons import Reason, pairs_of, reasons_of
from app.shell.ranking import ranks
from app.shell.session import VisitorSession
from app.shell.shop import Shop, seen_rows
from tpad.data.columns import Columns
from tpad.errors import ConfigError, DataError
from tpad.model.parts import NU, TAU, Parts, columns

if TYPE_CHECKING:
    from tpad.model.session.fitted import FittedSessionModel
    from tpad.model.session.fused import FusedModel

NEIGHBOURS = 5
CHUNK = 8192  # items standardised at once


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why one item has its rank.

    Attributes:
        item: its row of the catalogue: item_id, title, price, is_cold, picture.
        model: name of the embedding set that ranked it.
        rank: its rank; 0 if it was left out as seen.
        weight: the model's softmax weight of the item among the items that are not in the session.
            The weights add up to 1 but are not calibrated, so they are not probabilities.
        even: the weight of each of these items if all had the same.
        reasons: what each part of the recommender adds, see `reasons_of`.
        elements: one row for each element of the session: title, picture, gain (in nats, see
            `leave_one_out`; NaN for the only element of a session).
        parts: one row for each part of the item: part, fall, share (see `occlusion`); None if the model
            has no transitional part.
        similarity: of the item and the session's last element in each part, see `part_cosines`;
            empty if the model has no transitional part.
        neighbours: rows of the catalogue nearest to the item, with their cosine, see `nearest`.
    """

    item: pd.Series
    model: str
    rank: int
    weight: float
    even: float
    reasons: list[Reason]
    elements: pd.DataFrame
    parts: pd.DataFrame | None
    similarity: dict[str, float]
    neighbours: pd.DataFrame


def explain(
    shop: Shop,
    session: VisitorSession,
    item_id: str,
    model: str,
    exclude_seen: bool = True,
    exploration: float | None = None,
) -> Explanation:
    """The content of the panel “Why this item?”.

    Args:
        shop: the open bundle.
        session: the visitor's.
        item_id: of the item to explain.
        model: name of the embedding set that ranks.
        exclude_seen: whether items of the session are left out.
        exploration: share of new items in the lists, as in `Recommender.recommend`.

    Raises:
        DataError: the item is not in the catalogue.
        ConfigError: the session is empty, there is no such model, or the settings never show the item.
    """
    if item_id not in shop.catalogue.rows:
        raise DataError(f"There is no item '{item_id[:80]}' in the catalogue; reload the page.")
    if not len(session):
        raise ConfigError("The session is empty; add an item to it first.")
    row, seen = shop.catalogue.rows[item_id], seen_rows(shop, session)
    known = len(shop.catalogue.items)
    scores = shop.recommender.scores(session.values, model, exploration)[:known]
    if not np.isfinite(scores[row]):
        raise ConfigError("This item is never shown with these settings; show more new items.")
    candidates = _candidates(known, seen, row)
    fused = shop.recommender.bundle.recommenders[model]
    features = fused.network.features
    rows, new = _session_rows(shop, session, model, fused)
    parts, similarity = None, {}
    layout = shop.recommender.bundle.parts.get(model, {})
    if TAU in layout:
        parts = occlusion(fused, rows, new, row, layout)
        last = shop.recommender.encode(session.values[-1:], model)[0]  # (d,)
        similarity = part_cosines(features, features[row], last, layout)
    near, cosines = nearest(fused.network, row)
    return Explanation(
        item=shop.catalogue.items.iloc[row],
        model=model,
        rank=int(ranks(scores, seen if exclude_seen else [])[row]),
        weight=float(np.exp(log_weight(scores, row, candidates))),
        even=1 / int(candidates.sum()),
        reasons=_reasons(
            shop, session, model, row, exploration, network_gains(fused, rows, new, row)
        ),
        elements=_elements(shop, session, model, row, candidates, scores, exploration),
        parts=parts,
        similarity=similarity,
        neighbours=shop.catalogue.items.iloc[near].assign(cosine=cosines),
    )


def network_gains(model: "FusedModel", rows: np.ndarray, new: np.ndarray, item: int) -> np.ndarray:
    """What each element of a session adds to the network's part of an item's score: (n,) nats.

    The gain is the fall of the network's score, relative to its mean over all items, if the element is
    left out; 0 for the only element of a session.

    Args:
        model: the recommender.
        rows, new: of the session, as in `FusedModel.query`.
        item: row of the item.
    """
    if len(rows) < 2:
        return np.zeros(len(rows))
    sessions = [rows, *(np.delete(rows, place) for place in range(len(rows)))]
    vectors = model.session_vectors(sessions, new)  # (n + 1, h + 1)
    relative = model.network.vectors_of(np.array([item]))[0] - model.mean_vector
    scores = model.weights.network * (vectors.astype(np.float64) @ relative)
    return scores[0] - scores[1:]


def log_weight(scores: np.ndarray, row: int, candidates: np.ndarray) -> float:
    """Natural logarithm of an item's softmax weight.

    Scores are the logits of a softmax, known only up to a constant that differs between sessions. So
    raw scores cannot be compared across sessions; their log-softmax can.

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

    The gain is `log w(item | session) − log w(item | session without the element)`; exp(gain) is the
    factor by which the element increases the item's weight. The same items compete in both cases
    (those that are not in the whole session), so that an element that is left out does not become a
    competitor. Gains need not add up, because elements may be redundant or complementary.

    Args:
        whole: (n_items,) scores after the whole session.
        without: the same after the session without its 1st, 2nd, … element.
        row: of the item.
        candidates: (n_items,) bool.
    """
    base = log_weight(whole, row, candidates)
    return np.array([base - log_weight(scores, row, candidates) for scores in without])


def occlusion(
    model: "FusedModel", rows: np.ndarray, new: np.ndarray, item: int, parts: Parts
) -> pd.DataFrame:
    """How far an item's score falls when one of its parts is replaced by that of the average item.

    The item is scored as a new one in both cases, as clicks belong to the whole item and not to a part
    of it: network and cosine read its features, and its nearest clicked items stand in for it in the
    memory. The session is unchanged. As the scores of the other items stay the same, the fall in score
    equals the fall of the log-odds of the item's weight.

    Args:
        model: the recommender; the features of its network are the catalogue.
        rows, new: of the session, as in `FusedModel.query`.
        item: row of the item.
        parts: of the features.

    Returns:
        part, fall (nats), share; one row for each part, in their order. The share of a part
        is its fall as a share of all positive falls. A part with a negative fall speaks against the
        item and has the share NaN. Falls need not add up to the fall of all parts together, because
        the score is not linear.
    """
    features = model.network.features
    places = columns(parts)
    names = list(places)
    variants = np.repeat(features[item : item + 1], len(names) + 1, axis=0)
    center = features.mean(0)  # (d,)
    for number, name in enumerate(names, 1):
        variants[number, places[name]] = center[places[name]]
    scores = model.scores_of_new(model.query(rows, new), variants)  # the unchanged item first
    falls = scores[0] - scores[1:]
    return pd.DataFrame({"part": names, "fall": falls, "share": shares(falls)})


def shares(falls: np.ndarray) -> np.ndarray:
    """Each positive fall as a share of all positive falls; NaN for the others."""
    positive = np.clip(falls, 0, None)
    if not positive.any():
        return np.full(len(falls), np.nan)
    return np.where(falls > 0, positive / positive.sum(), np.nan)


def part_cosines(
    features: np.ndarray, one: np.ndarray, other: np.ndarray, parts: Parts
) -> dict[str, float]:
    """Cosine of two items (d,) in the parts "tau" and "nu", centred on the mean of the catalogue (n, d).

    Without centring, all items would share a large common direction. 0 means as similar as any two
    items.
    """
    center = features.mean(0)
    one, other = one - center, other - center
    places = columns(parts)
    return {
        name: float(cosine(one[None, places[name]], other[places[name]])[0]) for name in (TAU, NU)
    }


def cosine(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine of (n, d) vectors with a query (d,): (n,); 0 for a zero vector."""
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.divide(vectors @ query, norms, out=np.zeros(len(vectors)), where=norms > 1e-9)


def nearest(
    fitted: "FittedSessionModel", row: int, k: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """The items most similar to one, by the standardised features that the session model reads.

    Unlike raw embeddings these are centred, so that 0 means as similar as any two items, and no
    single large feature dominates.

    Returns:
        Rows (k,) and cosines (k,), nearest first, without the item itself.
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
    exploration: float | None,
) -> pd.DataFrame:
    values, gains = session.values, np.full(len(session), np.nan)
    if len(values) > 1:
        rest = [values[:i] + values[i + 1 :] for i in range(len(values))]
        known = len(candidates)
        scores = [shop.recommender.scores(part, model, exploration)[:known] for part in rest]
        gains = leave_one_out(whole, scores, row, candidates)
    return pd.DataFrame(
        {
            Columns.TITLE: [element.title for element in session.elements],
            "picture": [element.picture for element in session.elements],
            "gain": gains,
        }
    )


def _reasons(
    shop: Shop,
    session: VisitorSession,
    model: str,
    row: int,
    exploration: float | None,
    network_of: np.ndarray,
) -> list[Reason]:
    items, rows = shop.catalogue.items, shop.catalogue.rows
    item_id, titles = items[Columns.ITEM_ID].iat[row], items[Columns.TITLE]
    parts = shop.recommender.score_parts(session.values, item_id, model, exploration)
    train = shop.recommender.bundle.dataset.train
    places = [rows.get(element.item_id) for element in session.elements]
    pairs = pairs_of(parts, places, row, lambda r: str(titles.iat[r]), train.clicks, train.owners)
    return reasons_of(parts, network_of, pairs)


def _session_rows(
    shop: Shop, session: VisitorSession, model: str, fused: "FusedModel"
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of the elements, and features (n_new, d) of those that are not in the catalogue."""
    rows = shop.catalogue.rows
    new = [element.value for element in session.elements if element.is_new]
    guests = iter(range(fused.n_items, fused.n_items + len(new)))
    places = [next(guests) if e.is_new else rows[e.item_id] for e in session.elements]
    return np.array(places, dtype=np.int64), shop.recommender.encode(new, model)
