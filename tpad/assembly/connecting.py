"""Trains the connector to make the language model write the captions of pictures; all else is frozen."""

from collections.abc import Sequence

import numpy as np
import torch

from tpad.assembly.config import AssemblyConfig
from tpad.assembly.features import TowerOutputs
from tpad.assembly.layouts import connector_of
from tpad.mllm.collator import collate
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.workspace import Stage, named_tensors

SAVE_EVERY = 25  # steps between two saves


def train_connector(
    mllm: MLLM,
    captions: Sequence[str],
    rows: np.ndarray,
    outputs: TowerOutputs,
    config: AssemblyConfig,
    stage: Stage,
) -> None:
    """Train the connector, or load it if it is done; it is rounded to what a checkpoint stores.

    Args:
        mllm: the model; its connector is changed in place, and gets float32 weights.
        captions: of all items.
        rows: the items to train on.
        outputs: of the vision tower, for all items.
        config: settings.
        stage: stores the state, and the weights in the end.
    """
    mllm.model.requires_grad_(False)
    connector = connector_of(mllm).float().requires_grad_(True)
    if not stage.done:
        _train(mllm, captions, rows, outputs, config, stage)
        # A checkpoint has bfloat16 weights: what is measured is what is stored.
        stage.save_arrays(
            "connector",
            {
                name: parameter.detach().bfloat16().float().cpu().numpy()
                for name, parameter in connector.named_parameters()
            },
        )
        stage.finish()
    arrays = stage.load_arrays("connector")
    with torch.no_grad():
        for name, parameter in connector.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name]))


def _train(
    mllm: MLLM,
    captions: Sequence[str],
    rows: np.ndarray,
    outputs: TowerOutputs,
    config: AssemblyConfig,
    stage: Stage,
) -> None:
    """Take all steps; resumes at a multiple of `SAVE_EVERY`."""
    connector = connector_of(mllm)
    steps = config.steps_for(len(rows))
    optimisation = Optimisation(
        [{"params": list(connector.parameters()), "lr": config.learning_rate}],
        steps=steps,
        weight_decay=0.0,
    )
    tensors = named_tensors(connector=connector)
    first = SAVE_EVERY * stage.load_epoch(tensors, *optimisation.optimizers)
    optimisation.taken = first
    total, before = 0.0, first
    mllm.model.train()  # for gradient checkpointing
    for step in stage.bar(range(first, steps), steps - first, "training the connector"):
        if step % SAVE_EVERY == 0:  # the random state of a resumed run is the same
            epoch_generator(config.seed, stage.title, step)
        total += _step(mllm, captions, _batch(rows, step, config), outputs, optimisation)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            mean = total / (step + 1 - before)
            total, before = 0.0, step + 1
            stage.say(f"step {step + 1:,} of {steps:,}: loss per token {mean:.3f}", loss=mean)
        if (step + 1) % SAVE_EVERY == 0:
            stage.save_epoch((step + 1) // SAVE_EVERY, tensors, *optimisation.optimizers)
    mllm.model.eval()


def _batch(rows: np.ndarray, step: int, config: AssemblyConfig) -> np.ndarray:
    """The items of a step. Each pass has an order of its own, and its last batch may be smaller."""
    per_epoch = -(-len(rows) // config.batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([config.seed, epoch]).permutation(rows)
    return order[place * config.batch : (place + 1) * config.batch]


def _step(
    mllm: MLLM,
    captions: Sequence[str],
    rows: np.ndarray,
    outputs: TowerOutputs,
    optimisation: Optimisation,
) -> float:
    """Take one step; returns the loss per token of a caption."""
    images = outputs.connected(mllm, rows)
    chats = [[Turn(ItemInput(n), DESCRIBE, captions[row])] for n, row in enumerate(rows)]
    batch = collate(mllm, chats, images=images, with_labels=True)
    with mllm.autocast():
        loss = mllm.forward(batch).loss
    optimisation.step(loss)
    return loss.item()
