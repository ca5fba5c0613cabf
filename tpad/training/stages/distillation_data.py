"""The training data of distillation: features and words of each item.

The features are those of the student, followed by given vectors if there are any.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpad.data.pseudo_cold import pseudo_cold
from tpad.model.heads import description_words
from tpad.model.scaler import FeatureScaler
from tpad.training.context import Context
from tpad.training.stages.student import Student
from tpad.training.stages.student_features import StudentFeatures


@dataclass(frozen=True, eq=False)
class RawFeatures:
    """Features before standardisation.

    Attributes:
        rows: (n,) rows of the training items.
        student: computes their features.
        features: (n, D) features of the training items; given vectors come last.
        imagined: (m, D) features of the imagined items.
    """

    rows: np.ndarray
    student: Student
    features: Tensor
    imagined: Tensor


def raw_features(context: Context, exclude_pseudo_cold: bool) -> RawFeatures:
    """Collect the features of all training items, or of those that are not pseudo-cold."""
    shop = context.shop
    features: StudentFeatures = context["student"]
    rows = shop.warm_rows
    is_used = np.ones(len(rows), bool)
    if exclude_pseudo_cold:
        is_used = ~pseudo_cold(~shop.dataset.cold)[rows]
    rows, kept = rows[is_used], torch.from_numpy(is_used)
    given = None
    if context.given is not None:
        given = torch.from_numpy(context.given[rows])  # (n, g)
    items = shop.items(rows.tolist())
    student = Student(context.mllm, items, shop.images, context.layers, given=given)
    own, imagined = features.warm[kept], features.imagined
    if given is not None:  # then there are no imagined items
        imagined = imagined.new_zeros(0, own.shape[1] + given.shape[1])
        own = torch.cat([own, given], dim=1)
    return RawFeatures(rows, student, own, imagined)


@dataclass(eq=False)
class TrainingData:
    """Training items and imagined items.

    Attributes:
        rows: (n,) rows of the training items.
        student: computes their features.
        scaler: standardises features.
        table: (n, D) standardised features of the training items.
        imagined: (m, D) standardised features of the imagined items.
        column: (n_items + m,) position of each item among the n + m training and imagined items; −1 for
            items that are not among them. Imagined items come after the n_items items of the shop.
        words: (n + m, W) 0/1, the words of each description.
    """

    rows: np.ndarray
    student: Student
    scaler: FeatureScaler
    table: Tensor
    imagined: Tensor
    column: Tensor
    words: Tensor


def training_data(context: Context, exclude_pseudo_cold: bool) -> TrainingData:
    """The training data, on the device of the model; arguments as in `raw_features`."""
    shop, imagined, device = context.shop, context["imagined"], context.mllm.device
    raw = raw_features(context, exclude_pseudo_cold)
    rows = raw.rows
    scaler = FeatureScaler.fit(raw.features.numpy(), np.ones(len(rows), bool)).to(device)
    n_items, n_imagined = len(shop.dataset), len(imagined.items)
    column = torch.full((n_items + n_imagined,), -1, device=device)
    known = np.concatenate([rows, np.arange(n_items, len(column))])
    column[torch.from_numpy(known)] = torch.arange(len(known), device=device)
    # The vocabulary is that of the stage `describing`, even if some items are excluded.
    warm = shop.warm_rows
    texts = [context["descriptions"][row] for row in warm] + imagined.descriptions
    _, words = description_words(
        context.mllm.chat_tokenizer.tokenize_answers(texts), range(len(warm))
    )
    is_used = np.concatenate([np.isin(warm, rows), np.ones(n_imagined, bool)])
    return TrainingData(
        rows,
        raw.student,
        scaler,
        scaler(raw.features.to(device)),
        scaler(raw.imagined.to(device)),
        column,
        words[torch.from_numpy(is_used)].to(device),
    )
