"""Selects the stored runs of one table: the latest runs of each model on the same cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.database.reader import Reader
from eval.database.records import CaseTable, RunInfo
from eval.database.schema import RunRow
from eval.metrics.slices import by_length
from eval.models.naming import order_of
from eval.protocol import SLICES
from eval.runs.evaluation import CALIBRATION_METRICS, LIST_METRICS, UNCLICKED_METRICS
from eval.runs.results import Result
from tpad import DataError


@dataclass(frozen=True, eq=False)
class Selection:
    """Finished runs that can be compared case by case.

    Attributes:
        dataset: name of the dataset.
        split: name of the split, None for the dataset as it is.
        cases: the cases of all runs.
        runs: model -> its runs, one per seed, all with the same version of the code.
        slices: the stored slices of the cases, see `Reader.slices`.
    """

    dataset: str
    split: str | None
    cases: CaseTable
    runs: Mapping[str, Sequence[RunInfo]]
    slices: Mapping[str, np.ndarray]

    @property
    def title(self) -> str:
        """Name of the dataset, and of the split if there is one."""
        return self.dataset if self.split is None else f"{self.dataset}, split {self.split}"

    def masks(self) -> dict[str, np.ndarray]:
        """Slices of the cases, name -> (n_cases,) bool; those by length if none were stored."""
        masks = {
            "all": np.ones(len(self.cases), bool),
            "warm": ~self.cases.cold,
            "cold": self.cases.cold,
        }
        masks |= self.slices or by_length(self.cases.length)
        return {name: mask for name, mask in masks.items() if mask.any()}


def select_runs(
    store: Reader,
    *,
    models: Sequence[str] | None = None,
    dataset: str | None = None,
    cases: str | None = None,
    split: str | Sequence[str] | None = None,
    among: Sequence[str] | None = None,
) -> Selection:
    """The runs of one table: for each model the latest finished run, and its runs of other seeds.

    Runs of other seeds must have the same settings and the same version of the code.

    Args:
        store: the database.
        models: only these; each must have a run.
        dataset: name or fingerprint.
        cases: start of the fingerprint of the cases.
        split: name or fingerprint, or several; by default runs without a split, if there are any.
        among: ids of the runs to choose from; all by default.

    Raises:
        DataError: no run matches, or the runs have different cases.
    """
    runs = store.list_runs(dataset=dataset, split=split, status="done")
    runs = [run for run in runs if run.cases.startswith(cases or "")]
    if among is not None:
        wanted_ids = set(among)
        runs = [run for run in runs if run.id in wanted_ids]
    if split is None and cases is None and any(run.split is None for run in runs):
        runs = [run for run in runs if run.split is None]
    wanted = [run for run in runs if models is None or run.model in models]
    if not wanted:
        known = sorted({run.model for run in runs})
        raise DataError(
            "No finished run matches; "
            + (
                f"there are runs of {', '.join(known)}."
                if known
                else "run `python -m eval run` first, or name another --database."
            )
        )
    groups = {
        run.cases: f"{run.dataset} ({run.protocol}; --cases {run.cases[:8]})" for run in wanted
    }
    if len(groups) > 1:
        raise DataError(
            "The matching runs have different cases: "
            + "; ".join(groups.values())
            + ". Choose with --dataset, --split or --cases."
        )
    chosen = _latest(wanted)
    missing = [model for model in models or () if model not in chosen]
    if missing:
        raise DataError(
            f"There is no finished run of {', '.join(missing)} on these cases; run them first."
        )
    first = wanted[-1]
    return Selection(
        first.dataset, first.split, store.case_table(first.id), chosen, store.slices(first.id)
    )


def _latest(runs: Sequence[RunInfo]) -> dict[str, list[RunInfo]]:
    """The latest run of each model with the same runs of other seeds, in the order of a table."""
    chosen: dict[str, list[RunInfo]] = {}
    for model in sorted({run.model for run in runs}, key=order_of):
        own = [run for run in runs if run.model == model]
        by_seed = {run.seed: run for run in own if _variant(run) == _variant(own[-1])}
        chosen[model] = [by_seed[seed] for seed in sorted(by_seed)]
    return chosen


def results_of(store: Reader, selection: Selection) -> list[Result]:
    """The selected runs with their ranks, in the order of the table."""
    return [result_of(store, model, runs[0].role, runs) for model, runs in selection.runs.items()]


def result_of(
    store: Reader, name: str, role: str, runs: Sequence[RunInfo] | Sequence[RunRow]
) -> Result:
    """The result of one model from its finished runs, one per seed.

    Args:
        store: the database.
        name, role: of the model.
        runs: at least one, all on the same cases.
    """
    ids = [run.id for run in runs]
    frontiers = store.frontiers(ids)
    return Result(
        name,
        role,
        tuple(run.seed for run in runs),
        store.rank_matrix(ids),
        runs[0].config.get("tuned"),
        _mean([run.fit_seconds for run in runs]),
        _mean([run.score_seconds for run in runs]),
        runs[0].config.get("imported"),
        further_metrics(store, ids),
        runs[0].config.get("settings") or {},
        {run.seed: frontiers[run.id] for run in runs if run.id in frontiers},
    )


def _mean(seconds: Sequence[float | None]) -> float:
    """Mean of the measured times, 0 if there are none."""
    return float(np.mean([one for one in seconds if one is not None] or [0.0]))


def further_metrics(store: Reader, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Stored metrics of lists, unclicked items and calibration: slice -> name -> mean over the runs."""
    names = [*LIST_METRICS, *UNCLICKED_METRICS, *CALIBRATION_METRICS]
    table = store.figures(run_ids, slice=SLICES, name=names)
    found: dict[str, dict[str, float]] = {}
    for (part, name), values in table.groupby(["slice", "name"], sort=False)["value"]:
        found.setdefault(part, {})[name] = float(values.mean())
    return found


def _variant(run: RunInfo) -> tuple:
    """What runs of different seeds have in common."""
    settings = {
        k: v for k, v in run.config.items() if k not in ("recommender", "features", "tuned")
    }
    return run.package_version, run.commit, str(sorted(settings.items()))
