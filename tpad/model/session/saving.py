"""The file of a fused recommender: one safetensors file without the features of the items.

Each part has arrays of its own with a prefix. The settings are JSON in the header.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from torch import Tensor

from tpad.errors import BundleError, one_line
from tpad.io.saved_state import under
from tpad.io.tensor_files import write_arrays
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.exploration import Exploration
from tpad.model.session.fitted import EpochReport, FittedSessionModel
from tpad.model.session.fused import FusedModel, FusionWeights
from tpad.model.session.memory import Memory, MemoryConfig
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours
from tpad.model.session.network import SessionModelConfig
from tpad.model.session.sparse_rows import restored, state_of
from tpad.model.session.stand_ins import with_own_rows
from tpad.settings import from_json

FORMAT = "3"


def save_recommender(model: FusedModel, path: str | Path) -> None:
    """Write a recommender to a safetensors file, without features and without new items.

    Args:
        model: the recommender.
        path: the file.
    """
    clicked = model.clicked[: model.memory.n_items]
    new = model.stand_ins[np.flatnonzero(~clicked)]
    states: dict[str, Mapping[str, Any]] = {
        "": {name: tensor.numpy() for name, tensor in model.network.state_dict().items()},
        "memory.": model.memory.state(),
        "neighbours.": {} if model.neighbours is None else model.neighbours.state(),
        "content.": model.space.state(),
        "stand_ins.": state_of(new),
    }
    settings = {
        "network": asdict(model.network.config),
        "memory": asdict(model.memory.config),
        "neighbours": None if model.neighbours is None else asdict(model.neighbours.config),
        "weights": asdict(model.weights),
        "exploration": None if model.exploration is None else asdict(model.exploration),
        "history": [asdict(report) for report in model.history],
    }
    arrays = {
        prefix + name: value for prefix, state in states.items() for name, value in state.items()
    }
    write_arrays(Path(path), arrays, {"format": FORMAT, "settings": json.dumps(settings)})


def load_recommender(path: str | Path, features: np.ndarray) -> FusedModel:
    """Load a file that `save_recommender` wrote.

    Args:
        path: the safetensors file.
        features: (n_items, n_features), the features of training, and optionally of new items.

    Raises:
        BundleError: the file is missing or damaged, has another format, or does not match the features.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != FORMAT:
            raise BundleError(f"It is not a recommender of format {FORMAT}; train it again.")
        return _restored(state, json.loads(header["settings"]), features)
    except BundleError as error:
        raise BundleError(f"{path} cannot be used: {one_line(error)}.") from error
    except Exception as error:  # a damaged file can raise anything
        raise BundleError(
            f"{path} cannot be read as a recommender ({one_line(error)}); train it again."
        ) from error


def _restored(
    state: dict[str, Tensor], settings: Mapping[str, Any], features: np.ndarray
) -> FusedModel:
    n_items = len(state["network.warm"])
    if len(features) < n_items:
        raise ValueError(f"it ranks {n_items} items, but there are {len(features)}")
    own = {name: value for name, value in state.items() if name.startswith(("network.", "scaler."))}
    network = FittedSessionModel.restored(
        own,
        from_json(SessionModelConfig, settings["network"]),
        features[:n_items],
        [EpochReport(**report) for report in settings["history"]],
    )
    clicked = network.network.warm.numpy()
    if not clicked.any():
        raise ValueError("no item has a click")
    new = restored(_arrays("stand_ins.", state), n_items, "list of stand-ins")
    if new.shape[0] != n_items - clicked.sum() or not clicked[new.indices].all():
        raise ValueError("its stand-ins are not those of the items without clicks")
    exploration, neighbours = settings["exploration"], settings["neighbours"]
    model = FusedModel(
        network,
        Memory.restored(
            _arrays("memory.", state), n_items, from_json(MemoryConfig, settings["memory"])
        ),
        from_json(FusionWeights, settings["weights"]),
        None if exploration is None else from_json(Exploration, exploration),
        neighbours=None
        if neighbours is None
        else SessionNeighbours.restored(
            _arrays("neighbours.", state), n_items, from_json(NeighboursConfig, neighbours)
        ),
        space=ContentSpace.restored(_arrays("content.", state), features.shape[1]),
        weights_of_stand_ins=with_own_rows(new, clicked),
    )
    if not np.isfinite(model.scores([np.flatnonzero(clicked)[:1]])).all():
        raise ValueError("its scores contain NaN or infinity")
    return model if len(features) == n_items else model.with_new_items(features[n_items:])


def _arrays(prefix: str, state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in under(prefix, state).items()}
