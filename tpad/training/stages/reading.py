"""What the heads read of each training item: the student's features, vectors that are given, or both."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpad.data.pseudo_cold import pseudo_cold
from tpad.training.context import Context
from tpad.training.stages.student import GivenOnly, Student
from tpad.training.stages.student_features import StudentFeatures


@dataclass(frozen=True, eq=False)
class Read:
    """What is read.

    Attributes:
        rows: (n,) rows of the items that are met; all training items, unless some are kept away.
        student: who reads them.
        features: (n, D), given vectors last.
        imagined: (m, D) of imagined items.
    """

    rows: np.ndarray
    student: Student | GivenOnly
    features: Tensor
    imagined: Tensor


def what_is_read(context: Context, exclude_pseudo_cold: bool) -> Read:
    """Puts together what is read, of all training items or of those that are not pseudo-cold."""
    shop = context.shop
    features: StudentFeatures | None = context["student"]
    rows = shop.warm_rows
    met = np.ones(len(rows), bool)
    if exclude_pseudo_cold:
        met = ~pseudo_cold(~shop.dataset.cold)[rows]
    rows, kept = rows[met], torch.from_numpy(met)
    given = None
    if context.given is not None:
        given = torch.from_numpy(context.given[rows])  # (n, g)
    if features is None:
        assert given is not None, "there is nothing to read"
        return Read(rows, GivenOnly(given), given, given[:0])
    items = shop.items(rows.tolist())
    student = Student(context.mllm, items, shop.images, context.layers, given=given)
    own, imagined = features.warm[kept], features.imagined
    if given is not None:  # there are no imagined items then
        imagined = imagined.new_zeros(0, own.shape[1] + given.shape[1])
        own = torch.cat([own, given], dim=1)
    return Read(rows, student, own, imagined)
