"""Loads the base model of a training run, after checking the dataset and the settings."""

from tpad.data.dataset import Dataset
from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.model import MLLM
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.stages import knowledge


@processes.main_first()
def load_base(
    dataset: Dataset, base: Base | None, config: TrainingConfig, device: str
) -> MLLM | None:
    """Check the dataset, and load the base model if there is one.

    Raises:
        ConfigError: there are no training sessions, or a setting does not fit the model.
        ModelError: the model cannot be loaded.
    """
    if not len(dataset.train):
        raise ConfigError("There are no training sessions; give sessions of at least two clicks.")
    if processes.size() > len(dataset):
        raise ConfigError(
            f"There are {processes.size()} processes but {len(dataset)} items; start fewer."
        )
    if base is None:
        return None
    if not base.may_see:  # before the weights are loaded
        config.check_without_pictures()
    mllm = MLLM.load(
        base.path,
        config.model,
        revision=base.revision,
        device=device,
        split=processes.splitter(),
    )
    layers = knowledge.chosen_layers(config.knowledge, mllm, config.tau)
    if config.tau == "words" and config.distillation.words and mllm.num_layers not in layers:
        raise ConfigError(
            f"The words are read from the last layer, {mllm.num_layers}; add it to knowledge.layers "
            "or set distillation.words to false."
        )
    return mllm
