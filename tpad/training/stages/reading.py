"""What distillation works on: the features of each item, its words, and where it stands in the table.

The features are the student's, vectors that are given, or both.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpad.data.pseudo_cold import pseudo_cold
from tpad.model.heads import description_words
from tpad.model.scaler import FeatureScaler
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


@dataclass(eq=False)
class Material:
    """Training items and imagined items as one table.

    Attributes:
        rows: (n,) rows of the training items in it.
        student: reads them.
        scaler: standardises features.
        table: (n, D) standardised features of the training items.
        imagined: (m, D) those of the imagined items.
        column: (n_items + m,) row of an item, or n_items plus the number of an imagined one -> row of
            the table, imagined items last; −1 for an item that is not in it.
        words: (n + m, W) 0/1, the words of each description.
    """

    rows: np.ndarray
    student: Student | GivenOnly
    scaler: FeatureScaler
    table: Tensor
    imagined: Tensor
    column: Tensor
    words: Tensor


def read_material(context: Context, exclude_pseudo_cold: bool) -> Material:
    """All of it, on the device of the model; arguments as in `what_is_read`."""
    shop, imagined, device = context.shop, context["imagined"], context.mllm.device
    read = what_is_read(context, exclude_pseudo_cold)
    rows = read.rows
    scaler = FeatureScaler.fit(read.features.numpy(), np.ones(len(rows), bool)).to(device)
    n_items, n_imagined = len(shop.dataset), len(imagined.items)
    column = torch.full((n_items + n_imagined,), -1, device=device)
    known = np.concatenate([rows, np.arange(n_items, len(column))])
    column[torch.from_numpy(known)] = torch.arange(len(known), device=device)
    # The vocabulary is that of `describing`, whichever items are in the table.
    warm = shop.warm_rows
    texts = [context["descriptions"][row] for row in warm] + imagined.descriptions
    _, words = description_words(context.mllm.tokenize_answers(texts), range(len(warm)))
    met = np.concatenate([np.isin(warm, rows), np.ones(n_imagined, bool)])
    return Material(
        rows,
        read.student,
        scaler,
        scaler(read.features.to(device)),
        scaler(read.imagined.to(device)),
        column,
        words[torch.from_numpy(met)].to(device),
    )
