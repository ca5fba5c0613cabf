"""The query for runs with the names of their model, dataset and split, and its rows as records."""

from typing import cast

from sqlalchemy import Select, select

from eval.database.integrity import STATUSES, check_config
from eval.database.records import RunInfo, as_utc
from eval.database.schema import CasesRow, DatasetRow, ModelRow, RunRow, SplitRow


def runs_query() -> Select:
    """All runs, the oldest first; each row holds the arguments of `run_info`."""
    # Outer joins, so that missing rows of a damaged file are reported.
    return (
        select(RunRow, ModelRow, CasesRow.fingerprint, CasesRow.protocol, CasesRow.n)
        .add_columns(DatasetRow.name, DatasetRow.fingerprint, SplitRow.name)
        .outerjoin(ModelRow, RunRow.model_id == ModelRow.id)
        .outerjoin(CasesRow, RunRow.cases_id == CasesRow.id)
        .outerjoin(DatasetRow, CasesRow.dataset_id == DatasetRow.id)
        .outerjoin(SplitRow, RunRow.split_id == SplitRow.id)
        .order_by(RunRow.started, RunRow.id)
    )


def run_info(
    run: RunRow,
    model: ModelRow | None,
    cases_print: str | None,
    protocol: str | None,
    n: int | None,
    dataset_name: str | None,
    dataset_print: str | None,
    split_name: str | None,
) -> RunInfo:
    """A row of `runs_query` as a record.

    Raises:
        LookupError: the model, cases, dataset or split of the run are missing.
        ValueError: its status or config is invalid.
    """
    if model is None or cases_print is None or dataset_print is None:
        raise LookupError(f"the model, cases or dataset of run {run.id} are missing")
    if run.split_id is not None and split_name is None:
        raise LookupError(f"the split of run {run.id} is missing")
    if run.status not in STATUSES:
        raise ValueError(f"run {run.id} has the status {run.status!r}")
    check_config(run.config, run.id)
    return RunInfo(
        id=run.id,
        model=model.name,
        role=model.role,
        dataset=cast(str, dataset_name),
        dataset_fingerprint=dataset_print,
        cases=cases_print,
        protocol=cast(str, protocol),
        n_cases=cast(int, n),
        split=split_name,
        split_id=run.split_id,
        seed=run.seed,
        config=run.config,
        key=run.key,
        status=run.status,
        started=as_utc(run.started),
        ended=None if run.ended is None else as_utc(run.ended),
        fit_seconds=run.fit_seconds,
        score_seconds=run.score_seconds,
        package_version=run.package_version,
        commit=run.commit,
    )
