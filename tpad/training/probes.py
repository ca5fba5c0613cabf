"""Linear probes: which facts about an item can be predicted from its features after each stage.

A probe is a ridge classifier, fitted on warm items and tested on cold items. If the accuracy of a fact
drops from one stage to the next, that stage loses the fact.
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
from tpad.mllm.features import encode_images
from tpad.model.item_encoder import STUDENT, TRANSFER, ItemEncoder
from tpad.model.item_features import concatenated
from tpad.training.inputs import contents

PENALTIES = np.logspace(-1, 5, 7)
PRICE_BANDS = 4


def probe_bundle(bundle: Bundle) -> pd.DataFrame:
    """Accuracy of probes on cold items: a row for each stage and feature set, a column for each fact.

    The row `most frequent` is the accuracy of always predicting the most frequent value. If there are
    fewer than ten cold items, a random fifth of all items is the test set.
    """
    dataset, encoder = bundle.dataset, bundle.encoder
    assert isinstance(encoder, ItemEncoder)  # only a hand-made bundle has another encoder
    labels = known_facts(dataset)
    is_test = dataset.cold.copy()
    if is_test.sum() < 10:
        is_test = np.random.default_rng(0).random(len(dataset)) < 0.2
    rows = {("", "most frequent"): {f: _majority_accuracy(v, is_test) for f, v in labels.items()}}
    for name, features in stage_features(dataset, encoder).items():
        rows[name] = {fact: accuracy(features, values, is_test) for fact, values in labels.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["stage", "features"])
    return table


def known_facts(dataset: Dataset) -> dict[str, np.ndarray]:
    """Labels to probe: the `attr_*` columns of the item table, otherwise the category, and price bands.

    Returns:
        name -> (n_items,).
    """
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
        raise DataError("The items have no category, price or attr_* column; add one to probe for.")
    return facts


def stage_features(dataset: Dataset, encoder: ItemEncoder) -> dict[tuple[str, str], np.ndarray]:
    """Features of all items after each stage: (stage, name of the features) -> (n_items, d)."""
    items = contents(dataset)
    hidden = encoder.reading.inputs == "text"
    images = encode_images(
        encoder.mllm, (None if hidden else dataset.image(row) for row in range(len(dataset)))
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
                continue  # the vision tower is frozen, so these are equal in all stages
            found[stage, name] = values
        if stage == "student":
            joined = encoder.scaler(concatenated(features).to(encoder.scaler.mean.device))
            with torch.no_grad():
                tau, nu = encoder.heads(joined)
            found["heads", "k_tau"] = tau.cpu().numpy()
            found["heads", "k_nu"] = nu.cpu().numpy()
    for name, values in encoder.encode(items, images=images).items():
        found["embedding", name] = values
    return found


def accuracy(features: np.ndarray, values: np.ndarray, is_test: np.ndarray) -> float:
    """Accuracy on the test items of a probe that is fitted on all other items.

    Args:
        features: (n_items, d).
        values: (n_items,) labels.
        is_test: (n_items,) bool.

    Returns:
        The accuracy; NaN if the other items have a single value.
    """
    if len(set(values[~is_test])) < 2:
        return float("nan")
    scaler = StandardScaler().fit(features[~is_test])
    probe = RidgeClassifierCV(alphas=PENALTIES)
    probe.fit(scaler.transform(features[~is_test]), values[~is_test])
    return float((probe.predict(scaler.transform(features[is_test])) == values[is_test]).mean())


def _majority_accuracy(values: np.ndarray, is_test: np.ndarray) -> float:
    names, counts = np.unique(values[~is_test], return_counts=True)
    return float((values[is_test] == names[counts.argmax()]).mean())
