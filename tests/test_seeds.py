"""A seed is a whole number of 0 or more, wherever one is given."""

import numpy as np
import pytest

from eval.runs.runner import run_models
from eval.splits.split import SplitConfig
from tpad import Dataset
from tpad.assembly.config import AssemblyConfig
from tpad.data.splits import hold_out_items
from tpad.embedded.pretraining import PretrainingConfig
from tpad.errors import ConfigError, check_seed
from tpad.fetching.config import FetchConfig
from tpad.index.parts import IndexSettings
from tpad.model.session.network import SessionModelConfig
from tpad.training.config import TrainingConfig
from tpad.world.build import WorldConfig

TAKERS = [
    lambda seed: Dataset.load("none.csv", "none.csv", seed=seed),
    lambda seed: hold_out_items(9, 0.5, seed),
    lambda seed: SessionModelConfig(seed=seed),
    lambda seed: IndexSettings(seed=seed),
    lambda seed: FetchConfig(seed=seed),
    lambda seed: TrainingConfig(seed=seed),
    lambda seed: PretrainingConfig(seed=seed),
    lambda seed: AssemblyConfig(seed=seed),
    lambda seed: WorldConfig(seed=seed),
    lambda seed: SplitConfig("cold_items", seed=seed),
    lambda seed: run_models(None, None, "shop", [], [0, seed]),
]


@pytest.mark.parametrize("take", TAKERS)
def test_a_negative_seed_is_refused(take):
    with pytest.raises(ConfigError, match=r"seed must be .*0.*, not -1"):
        take(-1)


@pytest.mark.parametrize("seed", [1.5, "0", None, True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ConfigError, match="whole number"):
        check_seed(seed)
    check_seed(np.int64(3))
