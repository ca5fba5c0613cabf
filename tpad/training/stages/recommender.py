"""Tunes and trains the fused recommender of one embedding set.

Every set gets the same budget and the same tuning; see `tpad.training.fusion`. The recommender is small:
with several processes, the main process trains it and the others wait.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from tpad.distributed import processes
from tpad.model.session.fitted import EpochReport
from tpad.model.session.fused import FusedModel
from tpad.model.session.saving import load_recommender, save_recommender
from tpad.training.context import Context
from tpad.training.fusion import FusionConfig, FusionTuning, fit_tuned, tune_fused
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage

TUNING = "tuning, "
"""Start of the titles of the tuning stages."""


def stages_of(name: str) -> list[StageSpec]:
    """The stages of one embedding set: one for the tuning, and one for the recommender.

    Args:
        name: name of the set.
    """
    inputs = ("dataset", name)  # the set's name stands for its embeddings
    settings = ("recommender", "seed")
    return [
        StageSpec(
            f"tuning-{name}",
            partial(_tune, name),
            inputs=inputs,
            title=f"{TUNING}{name}",
            config="recommender",
            settings=settings,
        ),
        StageSpec(
            f"recommender-{name}",
            partial(_fit, name),
            needs=(f"tuning-{name}",),
            inputs=inputs,
            title=f"recommender, {name}",
            config="recommender",
            settings=settings,
        ),
    ]


class _Store:
    """The results of finished networks, in the folder of a tuning stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def load(self, number: int) -> FusionTuning | None:
        name = f"network-{number}"
        if not self.stage.has_json(name):
            return None
        return FusionTuning.from_json(self.stage.load_json(name))

    def save(self, number: int, tuning: FusionTuning) -> None:
        self.stage.drop_state()  # of this network; the next one starts from the beginning
        self.stage.save_json(f"network-{number}", asdict(tuning))


def _tune(name: str, config: FusionConfig, context: Context, stage: Stage) -> FusionTuning:
    """Choose the settings of the recommender of a set."""
    if not stage.done:
        if processes.is_main():
            dataset = context.dataset
            tuning = tune_fused(
                context["embeddings"].vectors[name],
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                replace(config, seed=context.seed),
                parts=context["embeddings"].parts[name],
                say=stage.say,
                store=_Store(stage),
                progress=epoch_reporter(stage),
                bar=stage.bar,
                checkpoint=stage,
                device=context.device,
            )
            stage.save_json("chosen", asdict(tuning))
        stage.finish()
    return FusionTuning.from_json(stage.load_json("chosen"))


def _fit(
    name: str, config: FusionConfig, context: Context, stage: Stage
) -> tuple[FusedModel, FusionTuning]:
    """Fit the recommender with the chosen settings; returns it and the settings."""
    tuning: FusionTuning = context[f"tuning-{name}"]
    features: np.ndarray = context["embeddings"].vectors[name]  # (n_items, d)
    path = stage.folder / "recommender.safetensors"
    if not stage.done:
        facts = {}
        if processes.is_main():
            dataset = context.dataset
            fitted = fit_tuned(
                features,
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                tuning,
                progress=epoch_reporter(stage),
                bar=stage.bar,
                checkpoint=stage,
                device=context.device,
            )
            save_recommender(fitted, path)
            facts["validation"] = max(report.validation for report in fitted.history)
        stage.finish(**facts)
    return load_recommender(path, features), tuning


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
