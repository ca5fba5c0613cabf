"""Linear probes: which facts about an item can be predicted from its features after each stage.

A probe is a ridge classifier, fitted on warm items and tested on cold items. If the accuracy of a fact
drops from one stage to the next, that stage loses the fact.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset

PENALTIES = np.logspace(-1, 5, 7)
PRICE_BANDS = 4
FEWEST = 10  # cold items


def fact_table(dataset: Dataset, features: Mapping[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """Accuracy of probes on cold items: a row for each stage and feature set, a column for each fact.

    There are no columns if the items have no facts. The row `most frequent` is the accuracy of always predicting the most frequent value. If there are
    fewer than ten cold items, a random fifth of all items is the test set.

    Args:
        dataset: its items.
        features: (stage, name) -> (n_items, d), see `probed_features`.
    """
    labels = known_facts(dataset)
    if not labels:
        return pd.DataFrame()
    is_test = tested_items(dataset)
    rows = {("", "most frequent"): {f: _majority_accuracy(v, is_test) for f, v in labels.items()}}
    for name, own in features.items():
        rows[name] = {fact: accuracy(own, values, is_test) for fact, values in labels.items()}
    index = pd.MultiIndex.from_tuples(rows, names=["stage", "features"])
    return pd.DataFrame(list(rows.values()), index)


def tested_items(dataset: Dataset) -> np.ndarray:
    """(n_items,) bool, the cold items; a random fifth of all items if fewer than ten are cold."""
    if dataset.cold.sum() >= FEWEST:
        return dataset.cold
    return np.random.default_rng(0).random(len(dataset)) < 0.2


def known_facts(dataset: Dataset) -> dict[str, np.ndarray]:
    """Labels to probe: the `attr_*` columns of the item table, otherwise the category, and price bands.

    There are none if the items have no such column.

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
    return facts


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
