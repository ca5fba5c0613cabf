"""Linear probes: which facts about an item can be read from its features, stage by stage.

The probe of a fact is a ridge classifier fitted on warm items and judged on cold ones. Where a fact
falls from one stage to the next, that stage loses it.
"""

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler

from tpad.bundle import Bundle
from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.errors import DataError
from tpad.model.item_encoder import STUDENT, TRANSFER, ItemEncoder
from tpad.model.item_features import table_of
from tpad.training.inputs import contents

PENALTIES = np.logspace(-1, 5, 7)
PRICE_BANDS = 4


def probe_bundle(bundle: Bundle) -> pd.DataFrame:
    """Accuracy on cold items: one row a feature set (by stage), one column a fact.

    The row `most frequent` is what guessing the commonest value gives. In a shop without cold items
    a fifth of the items is kept for judging.
    """
    dataset, encoder = bundle.dataset, bundle.encoder
    assert isinstance(encoder, ItemEncoder)  # only a bundle made by hand has another one
    labels = known_facts(dataset)
    judged = dataset.cold.copy()
    if judged.sum() < 10:
        judged = np.random.default_rng(0).random(len(dataset)) < 0.2
    rows = {("", "most frequent"): {f: _commonest(v, judged) for f, v in labels.items()}}
    for name, features in stage_features(dataset, encoder).items():
        rows[name] = {fact: accuracy(features, values, judged) for fact, values in labels.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["stage", "features"])
    return table


def known_facts(dataset: Dataset) -> dict[str, np.ndarray]:
    """The `attr_*` columns of the item table, or else category and price band: name -> (n_items,)."""
    items = dataset.items
    facts = {
        column.removeprefix("attr_"): items[column].astype(str).to_numpy()
        for column in items.columns
        if column.startswith("attr_")
    }
    if not facts and (items[Columns.CATEGORY] != "").any():
        facts["category"] = items[Columns.CATEGORY].to_numpy()
    known = items[Columns.PRICE].notna()
    if "tier" not in facts and known.sum() > 10 * PRICE_BANDS:
        bands = pd.qcut(items[Columns.PRICE], PRICE_BANDS, duplicates="drop").astype(str)
        facts["price band"] = np.where(known, bands.to_numpy(dtype=object), "unknown").astype(str)
    if not facts:
        raise DataError("The items have no category, price or attr_* column to probe for.")
    return facts


def stage_features(dataset: Dataset, encoder: ItemEncoder) -> dict[tuple[str, str], np.ndarray]:
    """(stage, features) -> (n_items, d), from what enters the models to what leaves them."""
    items = contents(dataset)
    hidden = encoder.reading.inputs == "text"
    images = encoder.mllm.image_features(
        None if hidden else dataset.image(row) for row in range(len(dataset))
    )
    found: dict[tuple[str, str], np.ndarray] = {}
    passes = {
        "knowledge": (encoder.reading.knowledge_adapter, False),
        "transfer": (TRANSFER, True),
        "student": (STUDENT, False),
    }
    for stage, (adapter, in_session) in passes.items():
        features = encoder.read(items, images, adapter, in_session)
        for name, values in features.items():
            if name == "vision" and stage != "knowledge":
                continue  # the vision tower is frozen: the same in every stage
            found[stage, name] = values
        if stage == "student":
            joined = encoder.scaler(table_of(features).to(encoder.scaler.mean.device))
            with torch.no_grad():
                tau, nu = encoder.heads(joined)
            found["heads", "k_tau"] = tau.cpu().numpy()
            found["heads", "k_nu"] = nu.cpu().numpy()
    for name, values in encoder.encode(items, images=images).items():
        found["embedding", name] = values
    return found


def accuracy(features: np.ndarray, values: np.ndarray, judged: np.ndarray) -> float:
    """Share of the judged items whose value a probe fitted on the others reads right.

    Args:
        features: (n_items, d).
        values: (n_items,) labels.
        judged: (n_items,) bool.
    """
    if len(set(values[~judged])) < 2:
        return float("nan")
    scaler = StandardScaler().fit(features[~judged])
    probe = RidgeClassifierCV(alphas=PENALTIES)
    probe.fit(scaler.transform(features[~judged]), values[~judged])
    return float((probe.predict(scaler.transform(features[judged])) == values[judged]).mean())


def _commonest(values: np.ndarray, judged: np.ndarray) -> float:
    names, counts = np.unique(values[~judged], return_counts=True)
    return float((values[judged] == names[counts.argmax()]).mean())
