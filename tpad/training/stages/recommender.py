"""Tunes and trains the session recommender of one embedding set.

Every set gets the same budget and the same tuning; see `tpad.training.tuning`. The recommender is small:
with several processes, the main process trains it and the others wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from tpad.distributed import processes
from tpad.model.session.fitted import EpochReport, FittedSessionModel
from tpad.model.session.network import SessionModelConfig
from tpad.model.session.tuned import SessionTuning
from tpad.training.context import Context
from tpad.training.fitting import fit_session_model
from tpad.training.stage import StageSpec
from tpad.training.tuning import SizeTry, best_size, size_label, sizes_to_try, try_size
from tpad.training.workspace import Stage

TUNING = "tuning, "
"""Start of the titles of the stages that try a PCA size."""


def stages_of(name: str, n_features: int, sizes: Sequence[int | None]) -> list[StageSpec]:
    """The stages of one embedding set: one for each PCA size, and one for the recommender.

    Args:
        name: name of the set.
        n_features: number of features.
        sizes: PCA sizes to try; None keeps all features.
    """
    tries = {f"tuning-{name}-{size_label(size)}": size for size in sizes_to_try(n_features, sizes)}
    inputs = ("dataset", name)  # the set's name stands for its embeddings
    specs = [
        StageSpec(
            stage,
            partial(_try, name, size),
            inputs=inputs,
            title=f"{TUNING}{name}, PCA {size_label(size)}",
            config="recommender",
            settings=("recommender", "seed"),
        )
        for stage, size in tries.items()
    ]
    return [
        *specs,
        StageSpec(
            f"recommender-{name}",
            partial(_fit, name, {size: stage for stage, size in tries.items()}),
            needs=tuple(tries),
            inputs=inputs,
            title=f"recommender, {name}",
            config="recommender",
            settings=("recommender", "seed"),
        ),
    ]


def _try(
    name: str, size: int | None, config: SessionModelConfig, context: Context, stage: Stage
) -> SizeTry:
    """Train and validate with one PCA size."""
    if not stage.done:
        if processes.is_main():
            dataset = context.dataset
            result = try_size(
                context["embeddings"][name],
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                replace(config, seed=context.seed),
                size,
                progress=epoch_reporter(stage),
                bar=stage.bar,
                checkpoint=stage,
                device=str(context.mllm.device),
            )
            stage.save_json("reached", asdict(result))
        stage.finish()
    return SizeTry(**stage.load_json("reached"))


def _fit(
    name: str,
    tries: dict[int | None, str],
    config: SessionModelConfig,
    context: Context,
    stage: Stage,
) -> tuple[FittedSessionModel, SessionTuning]:
    """Train the recommender with the tuned settings; returns it and the tuning."""
    tuning = best_size({size: context[tried] for size, tried in tries.items()})
    features: np.ndarray = context["embeddings"][name]  # (n_items, d)
    path = stage.folder / "recommender.safetensors"
    if not stage.done:
        facts = {}
        if processes.is_main():
            dataset = context.dataset
            fitted = fit_session_model(
                features,
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                tuning.apply(replace(config, seed=context.seed)),
                progress=epoch_reporter(stage),
                bar=stage.bar,
                checkpoint=stage,
                device=str(context.mllm.device),
            )
            fitted.save(path)
            facts["validation"] = max(report.validation for report in fitted.history)
        stage.finish(**facts)
    return FittedSessionModel.load(path, features), tuning


def epoch_reporter(stage: Stage) -> Callable[[EpochReport], None]:
    """A callback that prints and logs each epoch of a recommender's training."""

    def say(report: EpochReport) -> None:
        stage.say(
            f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, "
            f"validation MRR@20 {report.validation:.4f}",
            epoch=report.epoch,
            loss=report.loss,
            validation=report.validation,
        )

    return say
