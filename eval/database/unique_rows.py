"""Rows that several runs share and that are stored once: models, datasets, cases, slices, splits."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from eval.database.schema import CaseSliceRow, CasesRow, DatasetRow, ModelRow
from eval.protocol import TestCases
from tpad import Dataset


def once(session: Session, known: Select[int], row: Callable[[], Any]) -> tuple[int, bool]:
    """Inserts a row unless it is stored already, also if two writers insert it at the same time.

    Args:
        session: to write in.
        known: query for the id of the row.
        row: creates the row.

    Returns:
        The id, and whether the row is new.
    """
    found = session.scalar(known)
    if found is not None:
        return found, False
    new = row()
    try:
        with session.begin_nested():
            session.add(new)
    except IntegrityError:
        return session.scalars(known).one(), False
    return new.id, True


def model_id(session: Session, name: str, role: str) -> int:
    """Id of a model, which is identified by its name."""
    known = select(ModelRow.id).where(ModelRow.name == name)
    return once(session, known, lambda: ModelRow(name=name, role=role))[0]


def dataset_id(session: Session, dataset: Dataset, name: str) -> int:
    """Id of a dataset, which is identified by its content and keeps its first name."""
    known = select(DatasetRow.id).where(DatasetRow.fingerprint == dataset.fingerprint)

    def row() -> DatasetRow:
        return DatasetRow(
            fingerprint=dataset.fingerprint,
            name=name,
            n_items=len(dataset.items),
            n_train=len(dataset.train),
            n_validation=len(dataset.validation),
            n_test=len(dataset.test),
        )

    return once(session, known, row)[0]


def cases_id(session: Session, dataset: Dataset, name: str, cases: TestCases) -> int:
    """Id of test cases, which are identified by their content."""
    known = select(CasesRow.id).where(CasesRow.fingerprint == cases.fingerprint)

    def row() -> CasesRow:
        lengths = np.array([len(prefix) for prefix in cases.prefixes])
        return CasesRow(
            dataset_id=dataset_id(session, dataset, name),
            fingerprint=cases.fingerprint,
            protocol=cases.protocol,
            n=len(cases),
            left_out=cases.left_out,
            session=cases.session.astype("<i4").tobytes(),
            length=lengths.astype("<i4").tobytes(),
            target=cases.targets.astype("<i4").tobytes(),
            cold=cases.cold.astype("u1").tobytes(),
        )

    return once(session, known, row)[0]


def add_slice(session: Session, cases: int, name: str, position: int, mask: np.ndarray) -> None:
    """Stores a slice (n,) of the cases with an id, unless they have one of that name."""
    if session.get(CaseSliceRow, (cases, name)) is None:
        with suppress(IntegrityError), session.begin_nested():
            bits = np.packbits(mask).tobytes()
            session.add(CaseSliceRow(cases_id=cases, name=name, position=position, mask=bits))
