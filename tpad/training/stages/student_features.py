"""Computes the student's features of training items and imagined items, after `describing`."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.stages.student import Student
from tpad.training.workspace import Stage


@dataclass(frozen=True, eq=False)
class StudentFeatures:
    """Features of the student after the stage `describing`.

    Attributes:
        warm: (n_warm, D), of the training items.
        imagined: (n_imagined, D), of the imagined items.
    """

    warm: Tensor
    imagined: Tensor


def run(config: Any, context: Context, stage: Stage) -> StudentFeatures:
    """Compute the features with the adapter `student` of `context.mllm`."""
    if not stage.done:
        shop, imagined = context.shop, context["imagined"]
        items = shop.items(shop.warm_rows.tolist()) + imagined.items
        student = Student(context.mllm, items, shop.images, context.layers)

        def read() -> None:
            features = student.features().cpu().numpy()  # (n, D)
            stage.say(f"read {len(items):,} items, {len(imagined.items):,} of them imagined")
            n_warm = len(shop.warm_rows)
            arrays = {"warm": features[:n_warm], "imagined": features[n_warm:]}
            stage.save_arrays("features", arrays)

        student.run_on_main(read)
        stage.finish()
    arrays = stage.load_arrays("features")
    return StudentFeatures(*(torch.from_numpy(arrays[name]) for name in ("warm", "imagined")))


STAGE = StageSpec(
    "student",
    run,
    settings=("knowledge.layers",),
    wanted=lambda config: config.tau == "words",
    needs=("pictures", "imagined", "describing"),
)
