"""Item features that need no multimodal LLM: the baselines' inputs."""

import numpy as np
import pandas as pd
from scipy.sparse import hstack
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset

ATTRIBUTE_PREFIX = "attr_"
TEXT_SIZE = 256
RANDOM_SIZE = 128


def random_features(dataset: Dataset, seed: int) -> np.ndarray:
    """(n_items, 128) Gaussian noise: what the recommender makes of items it can only tell apart."""
    rng = np.random.default_rng([seed, 17])
    return rng.standard_normal((len(dataset.items), RANDOM_SIZE)).astype(np.float32)


def text_features(dataset: Dataset, size: int = TEXT_SIZE) -> np.ndarray:
    """TF-IDF of title and description, reduced by SVD: (n_items, at most `size`).

    Words and word pairs, joined with character n-grams inside words, which see through typing
    errors, abbreviations and compounds. Vocabulary, weights and SVD are learnt on warm items only,
    as every other part of a model is.
    """
    items = dataset.items
    texts = (items[Columns.TITLE] + " . " + items[Columns.DESCRIPTION]).tolist()
    known = [text for text, cold in zip(texts, dataset.cold, strict=True) if not cold]
    least = 2 if len(known) > 50 else 1  # a term of a single item says nothing about others
    options = {"sublinear_tf": True, "min_df": least, "strip_accents": "unicode"}
    parts = [
        TfidfVectorizer(
            ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **options
        ),  # single characters are sizes
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **options),
    ]
    try:
        fitted = [part.fit(known) for part in parts]
    except ValueError:  # no text at all: nothing is known of any item
        return np.zeros((len(items), 1), dtype=np.float32)
    matrix = hstack([part.transform(texts) for part in fitted]).tocsr()
    warm = matrix[~dataset.cold]
    size = min(size, min(warm.shape) - 1)
    if size < 1:
        return matrix.toarray().astype(np.float32)
    return TruncatedSVD(size, random_state=0).fit(warm).transform(matrix).astype(np.float32)


def field_features(dataset: Dataset) -> np.ndarray:
    """Category (one-hot) and log price with a flag for a missing one: (n_items, n)."""
    category = dataset.items[Columns.CATEGORY]
    price = dataset.items[Columns.PRICE].to_numpy(dtype=np.float64)
    missing = ~np.isfinite(price)
    log_price = np.log1p(np.where(missing, 0.0, np.maximum(price, 0.0)))
    log_price[missing] = log_price[~missing].mean() if (~missing).any() else 0.0
    columns = [_one_hot(category), log_price[:, None], missing[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float32)


def attribute_features(dataset: Dataset) -> np.ndarray | None:
    """True attributes of the demo shop, one-hot: (n_items, n); None where they are not known."""
    names = [name for name in dataset.items.columns if str(name).startswith(ATTRIBUTE_PREFIX)]
    if not names:
        return None
    return np.concatenate([_one_hot(dataset.items[name]) for name in names], axis=1)


def join(*blocks: np.ndarray) -> np.ndarray:
    """Several feature sets of the same items side by side."""
    return np.concatenate([np.asarray(block, dtype=np.float32) for block in blocks], axis=1)


def _one_hot(values: pd.Series) -> np.ndarray:
    codes, names = pd.factorize(values.astype(str), sort=True)
    return np.eye(len(names), dtype=np.float32)[codes]
