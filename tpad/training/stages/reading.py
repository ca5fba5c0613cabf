"""What the heads read of each training item: the student's features, vectors that are given, or both."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpad.data.pseudo_cold import pseudo_cold
from tpad.training.config import DistillConfig
from tpad.training.shop import Shop
from tpad.training.stages.describing import StudentFeatures
from tpad.training.stages.student import GivenOnly, Student


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


def what_is_read(
    config: DistillConfig,
    shop: Shop,
    layers: tuple[int, ...],
    features: StudentFeatures | None,
    given: Tensor | None,
) -> Read:
    """Puts together what is read; arguments as in `distillation.run`."""
    rows = shop.warm_rows
    met = np.ones(len(rows), bool)
    if config.unmet:
        met = ~pseudo_cold(~shop.dataset.cold)[rows]
    rows, kept = rows[met], torch.from_numpy(met)
    if given is not None:
        given = given[kept]  # (n, g)
    if features is None:
        assert given is not None, "there is nothing to read"
        return Read(rows, GivenOnly(given), given, given[:0])
    items = shop.items(rows.tolist())
    student = Student(shop.mllm, items, shop.images, layers, given=given)
    own, imagined = features.warm[kept], features.imagined
    if given is not None:  # there are no imagined items then
        imagined = imagined.new_zeros(0, own.shape[1] + given.shape[1])
        own = torch.cat([own, given], dim=1)
    return Read(rows, student, own, imagined)
