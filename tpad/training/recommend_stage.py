"""Stage 4: the downstream recommender, the same for every embedding set, with the same budget."""

from collections.abc import Callable

import numpy as np

from tpad.data.dataset import Dataset
from tpad.training import distributed
from tpad.training.fitted_session_model import FittedSessionModel
from tpad.training.session_model import EpochReport, SessionModelConfig, fit_session_model
from tpad.training.workspace import Stage


def epoch_teller(stage: Stage) -> Callable[[EpochReport], None]:
    """What tells a person about each epoch of a recommender's training."""

    def tell(told: EpochReport) -> None:
        stage.say(
            f"epoch {told.epoch}/{told.epochs}: loss {told.loss:.3f}, "
            f"validation MRR@20 {told.validation:.4f}",
            epoch=told.epoch,
            loss=told.loss,
            validation=told.validation,
        )

    return tell


def run(
    config: SessionModelConfig, dataset: Dataset, features: np.ndarray, stage: Stage, device: str
) -> FittedSessionModel:
    """Trains the recommender over one set's features (n_items, d), or loads it where that is done.

    It is small: of several processes the main one trains it, and the others wait.
    """
    path = stage.folder / "recommender.safetensors"
    if not stage.done:
        facts = {}
        if distributed.is_main():
            fitted = fit_session_model(
                features, dataset.train, dataset.validation, ~dataset.cold, config,
                progress=epoch_teller(stage), bar=stage.bar, checkpoint=stage, device=device,
            )  # fmt: skip
            fitted.save(path)
            facts["validation"] = max(told.validation for told in fitted.history)
        stage.finish(**facts)
    return FittedSessionModel.load(path, features)
