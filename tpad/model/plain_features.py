"""Features that need no language model: TF-IDF of the text, and price and category.

Both are stored as JSON and arrays, never as pickles.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from tpad.data.columns import Columns
from tpad.io.json_files import write_json
from tpad.io.tensor_files import write_arrays
from tpad.items import NewItem
from tpad.mllm.instructions import item_text

TEXT_SIZE = 256
MOST_TERMS = 20_000  # words and word pairs, and as many character n-grams
FIELD_SCALE = 0.1
"""Factor of the field features. They must not outweigh text vectors of length 1 in a cosine; the network
standardises all features."""
FEW_TEXTS = 50  # with at most this many texts, terms that occur only once are kept


class TextFeatures:
    """TF-IDF of title and description (words, word pairs and character n-grams), reduced by SVD.

    It is fitted on training items only. Word pairs match "nova 5"; character n-grams are robust to
    typing errors and match "Nova5". All numbers are rounded to the precision of the saved files, so
    restored features are exactly the same.

    Args:
        words, letters: fitted vectorizers.
        components: (d, n_terms) float32, components of the SVD.
    """

    def __init__(
        self, words: TfidfVectorizer, letters: TfidfVectorizer, components: np.ndarray
    ) -> None:
        self.words, self.letters, self.components = words, letters, components

    @classmethod
    def fit(cls, texts: Sequence[str], size: int = TEXT_SIZE, seed: int = 0) -> "TextFeatures":
        """Fit vocabulary, idf weights and at most `size` components to texts."""
        fitted = cls(_fitted("word", texts), _fitted("char_wb", texts), np.zeros((0, 0)))
        matrix = fitted._matrix(texts)
        size = min(size, min(matrix.shape) - 1)
        _, _, components = randomized_svd(matrix, max(1, size), random_state=seed)
        fitted.components = components.astype(np.float16).astype(np.float32)
        return fitted

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) texts -> (n, d) float32."""
        return np.asarray(self._matrix(texts) @ self.components.T, dtype=np.float32)

    def _matrix(self, texts: Sequence[str]):
        return hstack([self.words.transform(texts), self.letters.transform(texts)]).tocsr()

    def as_json(self) -> dict:
        """Vocabularies in the order of their columns."""
        return {
            name: sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.get)
            for name, vectorizer in (("words", self.words), ("letters", self.letters))
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """idf weights and components, in half precision to keep files small."""
        return {
            "words.idf": self.words.idf_.astype(np.float32),
            "letters.idf": self.letters.idf_.astype(np.float32),
            "components": self.components.astype(np.float16),
        }

    def save(self, folder: Path) -> None:
        """Write the two files of the features to a folder."""
        write_arrays(folder / "text.safetensors", self.arrays())
        write_json(folder / "text.json", self.as_json())

    @classmethod
    def restore(cls, vocabularies: dict, arrays: dict[str, np.ndarray]) -> "TextFeatures":
        """Restore from the results of `as_json` and `arrays`.

        Raises:
            KeyError, TypeError, ValueError: they are damaged or inconsistent.
        """
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("the arrays of the text features contain NaN or infinity")
        if arrays["components"].shape[1:] != (sum(map(len, vocabularies.values())),):
            raise ValueError("the components do not match the vocabulary")
        made = []
        for name, analyzer in (("words", "word"), ("letters", "char_wb")):
            vectorizer = _vectorizer(analyzer, {t: i for i, t in enumerate(vocabularies[name])})
            vectorizer.idf_ = arrays[f"{name}.idf"].astype(np.float64)
            made.append(vectorizer)
        return cls(made[0], made[1], arrays["components"].astype(np.float32))


def _fitted(analyzer: str, texts: Sequence[str]) -> TfidfVectorizer:
    """Fit a vectorizer to texts; with many texts, terms that occur in one text only are dropped."""
    vectorizer = _vectorizer(analyzer, min_df=2 if len(texts) > FEW_TEXTS else 1)
    try:
        vectorizer.fit(texts)
    except ValueError:  # there are no terms
        vectorizer = _vectorizer(analyzer).fit(["nothing"])
    vectorizer.idf_ = vectorizer.idf_.astype(np.float32).astype(np.float64)
    return vectorizer


def _vectorizer(
    analyzer: str, vocabulary: dict[str, int] | None = None, min_df: int = 1
) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2) if analyzer == "word" else (2, 5),
        # Words of one letter are kept, because sizes are such words.
        token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
        strip_accents="unicode",
        max_features=None if vocabulary else MOST_TERMS,
        min_df=min_df,
        sublinear_tf=True,
        vocabulary=vocabulary,
    )


class FieldFeatures:
    """Price and category as features [ours; the paper names further modalities as a limitation].

    The logarithm of the price is standardised over the shop and within the category; a missing price
    gives zeros and sets a flag. Categories are one-hot; an unknown category gives zeros. All are multiplied
    by `FIELD_SCALE`.

    Args:
        categories: known categories.
        means, deviations: mean and standard deviation of the log-price, for the whole shop and then for
            each category.
    """

    def __init__(
        self, categories: Sequence[str], means: np.ndarray, deviations: np.ndarray
    ) -> None:
        if not means.shape == deviations.shape == (len(categories) + 1,):
            raise ValueError("means and deviations of prices do not match the categories")
        self.categories, self.means, self.deviations = list(categories), means, deviations
        self._place = {category: i for i, category in enumerate(self.categories)}

    @classmethod
    def fit(cls, categories: Sequence[str], prices: np.ndarray, most: int = 64) -> "FieldFeatures":
        """Fit to training items; the `most` most frequent categories are known."""
        names, counts = np.unique([c for c in categories if c], return_counts=True)
        kept = [str(n) for n in names[np.argsort(-counts, kind="stable")][:most]]
        logs = np.log1p(np.maximum(prices, 0.0))
        groups = [np.ones(len(logs), bool), *(np.array(categories) == name for name in kept)]
        means: list[float] = []
        deviations: list[float] = []
        for group in groups:
            known = logs[group & np.isfinite(logs)]
            if len(known) < 2 and means:  # too few prices in the category: use the shop's values
                means.append(means[0])
                deviations.append(deviations[0])
                continue
            means.append(known.mean() if len(known) else 0.0)
            deviations.append(max(known.std(), 1e-3) if len(known) > 1 else 1.0)
        return cls(kept, np.array(means, np.float32), np.array(deviations, np.float32))

    @property
    def size(self) -> int:
        """Number of features."""
        return field_count(self.categories)

    def __call__(self, categories: Sequence[str], prices: np.ndarray) -> np.ndarray:
        """(n,) categories and (n,) prices (NaN is missing) -> (n, size) float32."""
        result = np.zeros((len(prices), self.size), np.float32)
        logs = np.log1p(np.maximum(np.asarray(prices, np.float64), 0.0))
        for row, (category, value) in enumerate(zip(categories, logs, strict=True)):
            place = self._place.get(category)
            if np.isfinite(value):
                group = 0 if place is None else place + 1
                result[row, 0] = (value - self.means[0]) / self.deviations[0]
                result[row, 1] = (value - self.means[group]) / self.deviations[group]
            else:
                result[row, 2] = 1.0
            if place is not None:
                result[row, 3 + place] = 1.0
        return np.clip(result, -5.0, 5.0) * np.float32(FIELD_SCALE)

    def of_items(self, items: Sequence[NewItem]) -> np.ndarray:
        """Features of items, (n, size) float32."""
        prices = np.array([np.nan if i.price is None else i.price for i in items], np.float64)
        return self([i.category for i in items], prices)

    def arrays(self) -> dict[str, np.ndarray]:
        """Means and deviations, for `restore`."""
        return {"fields.means": self.means, "fields.deviations": self.deviations}

    @classmethod
    def restore(
        cls, categories: Sequence[str] | None, arrays: Mapping[str, np.ndarray]
    ) -> "FieldFeatures | None":
        """Restore from the categories and the result of `arrays`; None without categories.

        Raises:
            KeyError, TypeError, ValueError: they are damaged or inconsistent.
        """
        if categories is None:
            return None
        if not all(isinstance(one, str) for one in list(categories)):
            raise ValueError("the categories are not a list of texts")
        return cls(categories, arrays["fields.means"], arrays["fields.deviations"])


def field_count(categories: Sequence[str]) -> int:
    """Number of features of `FieldFeatures` with these categories."""
    return 3 + len(categories)


def item_texts(items: Sequence[NewItem]) -> list[str]:
    """Title and description of each item."""
    return [item_text(item.title, item.description) for item in items]


def text_table(items: pd.DataFrame, warm: np.ndarray) -> np.ndarray:
    """TF-IDF features of an item table, fitted on its warm rows: (n_items, d) float32."""
    titles, descriptions = items[Columns.TITLE], items[Columns.DESCRIPTION]
    texts = [item_text(*both) for both in zip(titles, descriptions, strict=True)]
    return TextFeatures.fit([texts[row] for row in np.flatnonzero(warm)])(texts)


def field_table(items: pd.DataFrame, warm: np.ndarray) -> np.ndarray:
    """Features of price and category of an item table, fitted on its warm rows: (n_items, d) float32."""
    categories, prices = items[Columns.CATEGORY].to_numpy(), items[Columns.PRICE].to_numpy()
    fitted = FieldFeatures.fit(categories[warm].tolist(), prices[warm])
    return fitted(categories.tolist(), prices)
