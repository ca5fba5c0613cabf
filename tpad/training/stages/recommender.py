"""The session recommender of one embedding set: tuned, trained and kept.

Every set gets the same budget and the same tuning, see `session_tuning`. The recommender is small: of
several processes the main one trains it, and the others wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

from tpad.data.dataset import Dataset
from tpad.distributed import processes
from tpad.model.session.fitted import EpochReport, FittedSessionModel
from tpad.model.session.network import SessionModelConfig
from tpad.model.session.tuned import SessionTuning
from tpad.training.fitting import fit_session_model
from tpad.training.tuning import SizeTry, best_size, size_label, sizes_to_try, try_size
from tpad.training.workspace import Stage, Workspace

TUNING = "tuning, "
"""Begins the titles of the stages that try a PCA size."""


def run(
    name: str,
    config: SessionModelConfig,
    sizes: Sequence[int | None],
    dataset: Dataset,
    features: np.ndarray,
    workspace: Workspace,
    *,
    fingerprint: str,
    device: str,
) -> tuple[FittedSessionModel, SessionTuning]:
    """Tunes and trains the recommender of one set; what the workspace holds is not repeated.

    Args:
        name: of the set.
        config: settings of the recommender; its `pca` and `cold_offset` are tuned.
        sizes: PCA sizes to try; None keeps the features as they are.
        dataset: items and sessions.
        features: (n_items, d).
        workspace: where stages keep their results.
        fingerprint: of the features.
        device: where to train.

    Returns:
        The trained recommender, and what tuning chose.
    """
    depends = (config, dataset.fingerprint, fingerprint)
    tries: dict[int | None, SizeTry] = {}
    for size in sizes_to_try(features.shape[1], sizes):
        title = f"{TUNING}{name}, PCA {size_label(size)}"
        stage = workspace.stage(f"tuning-{name}", title, size, *depends)
        tries[size] = _try(config, size, dataset, features, stage, device)
    tuning = best_size(tries)
    settings = tuning.apply(config)
    stage = workspace.stage(f"recommender-{name}", f"recommender, {name}", settings, *depends[1:])
    return _fit(settings, dataset, features, stage, device), tuning


def _try(
    config: SessionModelConfig,
    size: int | None,
    dataset: Dataset,
    features: np.ndarray,
    stage: Stage,
    device: str,
) -> SizeTry:
    """What one PCA size reaches, computed or read."""
    if not stage.done:
        if processes.is_main():
            reached = try_size(
                features,
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                config,
                size,
                progress=epoch_teller(stage),
                bar=stage.bar,
                checkpoint=stage,
                device=device,
            )
            stage.save_json("reached", asdict(reached))
        stage.finish()
    return SizeTry(**stage.load_json("reached"))


def _fit(
    config: SessionModelConfig, dataset: Dataset, features: np.ndarray, stage: Stage, device: str
) -> FittedSessionModel:
    """The recommender, trained or read."""
    path = stage.folder / "recommender.safetensors"
    if not stage.done:
        facts = {}
        if processes.is_main():
            fitted = fit_session_model(
                features,
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                config,
                progress=epoch_teller(stage),
                bar=stage.bar,
                checkpoint=stage,
                device=device,
            )
            fitted.save(path)
            facts["validation"] = max(told.validation for told in fitted.history)
        stage.finish(**facts)
    return FittedSessionModel.load(path, features)


def epoch_teller(stage: Stage) -> Callable[[EpochReport], None]:
    """Reports each epoch of a recommender's training to a person and to the log."""

    def tell(told: EpochReport) -> None:
        stage.say(
            f"epoch {told.epoch}/{told.epochs}: loss {told.loss:.3f}, "
            f"validation MRR@20 {told.validation:.4f}",
            epoch=told.epoch,
            loss=told.loss,
            validation=told.validation,
        )

    return tell
