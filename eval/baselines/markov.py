"""First-order Markov chain over item ids."""

import numpy as np

from tpad import Dataset


class Markov:
    """First-order Markov chain over item ids, smoothed towards popularity.

    `P(j | i) = (n(i → j) + s · pop(j)) / (n(i → ·) + s)`, with the last item i of the session and n
    counted over adjacent clicks of training sessions. The weight s is the value of `SMOOTHING` with the
    highest likelihood of the validation sessions. After a cold item and for empty sessions, items are
    ranked by popularity.
    """

    SMOOTHING = (0.3, 1.0, 3.0, 10.0, 30.0)
    can_score_new_items = False

    def fit(self, dataset: Dataset) -> "Markov":
        n_items = len(dataset.items)
        pairs = [np.stack([s[:-1], s[1:]]) for s in dataset.train.items if len(s) > 1]
        before, after = np.concatenate([*pairs, np.zeros((2, 0), int)], axis=1).astype(np.int64)
        keys, counts = np.unique(before * n_items + after, return_counts=True)
        self._before, self._after = keys // n_items, keys % n_items
        self._counts = counts.astype(np.float64)
        # The rows start[i]:start[i + 1] of the sparse count matrix belong to item i.
        self._start = np.searchsorted(self._before, np.arange(n_items + 1))
        self._total = np.bincount(self._before, counts, minlength=n_items)
        self._popularity = dataset.popularity / dataset.popularity.sum()  # (n_items,)
        self.smoothing = self._choose_smoothing(dataset)
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        result = np.empty((len(sessions), len(self._popularity)), dtype=np.float32)
        for row, session in enumerate(sessions):
            result[row] = self._log_row(int(session[-1]) if len(session) else None)
        return result

    def _log_row(self, last: int | None) -> np.ndarray:
        row = self.smoothing * self._popularity  # (n_items,)
        if last is None:
            with np.errstate(divide="ignore"):
                return np.log(self._popularity).astype(np.float32)
        span = slice(self._start[last], self._start[last + 1])
        row[self._after[span]] += self._counts[span]
        with np.errstate(divide="ignore"):  # log 0 = −inf: a cold item cannot be scored
            return np.log(row / (self._total[last] + self.smoothing)).astype(np.float32)

    def _choose_smoothing(self, dataset: Dataset) -> float:
        # A validation session may begin with training clicks, which must not be used here.
        validation = dataset.validation
        parts = zip(validation.items, validation.first_targets.tolist(), strict=True)
        steps = [np.stack([s[first - 1 : -1], s[first:]]) for s, first in parts if len(s) > first]
        before, after = np.concatenate([*steps, np.zeros((2, 0), int)], axis=1).astype(np.int64)
        known = ~dataset.cold[after]
        before, after = before[known], after[known]
        if not len(before):
            return self.SMOOTHING[len(self.SMOOTHING) // 2]
        n_items = len(self._popularity)
        keys = self._before * n_items + self._after
        wanted = before * n_items + after
        place = np.searchsorted(keys, wanted).clip(max=max(len(keys) - 1, 0))
        count = np.where(keys[place] == wanted, self._counts[place], 0.0) if len(keys) else 0.0

        def likelihood(smoothing: float) -> float:
            share = count + smoothing * self._popularity[after]
            return float(np.log(share / (self._total[before] + smoothing)).sum())

        return max(self.SMOOTHING, key=likelihood)
