"""The finished runs of all models on one set of test cases, with their metrics and comparisons."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from app.shell.cache import Cache
from eval.metrics.averaging import CASE
from eval.models.naming import subject_of
from eval.reports.tables import results_frame
from eval.runs.comparison import Comparison, compare_runs, corrected
from eval.runs.results import Result
from eval.runs.selection import Selection
from eval.runs.slice_comparison import SliceComparison


class Evaluation:
    """All finished runs on one set of test cases. Instances can be shared between threads.

    Args:
        selection: the runs, the cases and the slices.
        results: one per model, in the order of a table.
        comparisons: cache of comparisons to share; a new one by default.
        mean: what metrics and tests are averaged over, "case" or "session".

    Attributes:
        masks: slice -> (n_cases,) bool.
    """

    def __init__(
        self,
        selection: Selection,
        results: list[Result],
        comparisons: Cache | None = None,
        mean: str = CASE,
    ) -> None:
        self.selection, self.results, self.mean = selection, results, mean
        self.masks: dict[str, np.ndarray] = selection.masks()
        self._cache = Cache()
        # Keyed by the runs compared, so further runs leave the cached comparisons valid.
        self._comparisons = Cache() if comparisons is None else comparisons

    @cached_property
    def by_name(self) -> dict[str, Result]:
        """The results by model name."""
        return {result.name: result for result in self.results}

    @cached_property
    def subject(self) -> str:
        """The model that is compared with the others: "tpad", or the main set of the bundle."""
        return subject_of({result.name: result.role for result in self.results})

    @property
    def seeds(self) -> list[int]:
        """Seeds of the models that were run more than once; empty if none was."""
        return sorted({s for r in self.results if len(r.seeds) > 1 for s in r.seeds})

    def of_seed(self, seed: int) -> "Evaluation":
        """The runs of one seed only; a model that was run once keeps its run."""
        return self._cache.get(("seed", seed), lambda: self._of_seed(seed))

    def averaged_over(self, mean: str) -> "Evaluation":
        """The same runs averaged over "case" or "session", see `eval.metrics.averaging`."""
        if mean == self.mean:
            return self
        return self._cache.get(
            ("mean", mean),
            lambda: Evaluation(self.selection, self.results, self._comparisons, mean),
        )

    def frame(self, part: str, models: Sequence[str] | None = None) -> pd.DataFrame:
        """Every metric of the given models (default: all) on a slice.

        See `eval.reports.tables.results_frame` for the columns.
        """
        selected = [r for r in self.results if models is None or r.name in models]
        key = part, None if models is None else tuple(r.name for r in selected)
        return self._cache.get(
            key,
            lambda: results_frame(
                selected, self.selection.cases.session, {part: self.masks[part]}, self.mean
            ),
        )

    def against(
        self, others: Sequence[str], part: str, metric: str, k: int, subject: str | None = None
    ) -> list[SliceComparison]:
        """Compare `subject` with each of `others` on a slice.

        The p-values are corrected over these comparisons. Returns an empty list if there is no
        such subject, which is `self.subject` by default.
        """
        subject = subject or self.subject
        if subject not in self.by_name:
            return []
        mask = self.masks[part]
        sessions = self.selection.cases.session[mask]

        def compare(other: str) -> Comparison:
            first, second = (self.by_name[one].metric(metric, k, mask) for one in (subject, other))
            return compare_runs(first, second, sessions, shown=0, mean=self.mean)

        # Cached one by one: which of them are corrected together depends on what is shown.
        found = [
            self._comparisons.get(self._key(name, part, metric, k, subject), partial(compare, name))
            for name in others
        ]
        return [
            SliceComparison(part, metric, k, name, one)
            for name, one in zip(others, corrected(found), strict=True)
        ]

    def is_compared(
        self, other: str, part: str, metric: str, k: int, subject: str | None = None
    ) -> bool:
        """Whether `against` has already computed the comparison with a model."""
        subject = subject or self.subject
        return self._comparisons.has(self._key(other, part, metric, k, subject))

    def _key(self, other: str, part: str, metric: str, k: int, subject: str) -> Hashable:
        both = (tuple(run.id for run in self.selection.runs[name]) for name in (subject, other))
        return *both, part, metric, k, self.mean

    def _of_seed(self, seed: int) -> "Evaluation":
        runs, results = {}, []
        for result in self.results:
            own = list(self.selection.runs[result.name])
            if len(own) > 1:
                own = [run for run in own if run.seed == seed]
            if own:
                runs[result.name] = own
                results.append(
                    replace(
                        result.of_seed(own[0].seed),
                        fit_seconds=own[0].fit_seconds or 0.0,
                        score_seconds=own[0].score_seconds or 0.0,
                    )
                )
        return Evaluation(replace(self.selection, runs=runs), results, self._comparisons, self.mean)
