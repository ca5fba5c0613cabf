"""Reads every picture once with the frozen vision tower; the connector reads the result in each step."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tpad.assembly.captions import Captioned
from tpad.assembly.layouts import connector_of
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.mllm.processors import preprocess
from tpad.mllm.vision import run_vision
from tpad.training.workspace import Stage

BATCH = 64  # pictures in a forward pass


@dataclass(frozen=True)
class TowerOutputs:
    """What the connector reads of `n` pictures.

    Attributes:
        patches: (n, patches, d_vision) float16, on disk.
        expansion: what stands for a picture in a prompt; it is the same for all.
    """

    patches: np.ndarray
    expansion: str

    def connected(self, mllm: MLLM, rows: Sequence[int] | np.ndarray) -> ImageCache:
        """The image tokens of some pictures; gradients flow to the connector if they are enabled.

        Args:
            mllm: the model; its connector has float32 weights.
            rows: B rows.
        """
        own = torch.from_numpy(self.patches[rows]).to(mllm.device).float()  # (B, patches, d_v)
        tokens = connector_of(mllm)(own).to(mllm.model.dtype)  # (B, T, d)
        count, length, _ = tokens.shape
        return ImageCache(
            tokens.flatten(0, 1),  # (B * T, d)
            torch.full((count,), length),
            own.mean(1),  # (B, d_v)
            [self.expansion] * count,
        )


def read_pictures(mllm: MLLM, items: Captioned, stage: Stage) -> TowerOutputs:
    """Run the tower over all pictures, unless an earlier run did."""
    path = stage.folder / "patches.npy"
    if not stage.done:
        part = stage.folder / "partial.npy"
        written: Any = None
        rows = iter(stage.bar(range(len(items)), len(items), "reading pictures"))
        first, expansion = 0, ""
        while chunk := [items.picture(row) for row in islice(rows, BATCH)]:
            with mllm.inference(), _inputs_of(connector_of(mllm)) as caught:
                cache = run_vision(mllm.model, preprocess(mllm.processor, chunk).to(mllm.device))
            patches = torch.cat(caught).half().cpu().numpy()  # (B, patches, d_vision)
            if written is None:
                shape, expansion = (len(items), *patches.shape[1:]), cache.expansions[0]
                written = np.lib.format.open_memmap(part, "w+", np.float16, shape)
            written[first : first + len(chunk)] = patches
            first += len(chunk)
        written.flush()
        os.replace(part, path)
        stage.finish(expansion=expansion)
    return TowerOutputs(np.load(path, mmap_mode="r"), stage.facts()["expansion"])


@contextmanager
def _inputs_of(connector: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what the connector is given; each layout selects other outputs of its tower."""
    caught: list[Tensor] = []
    hook = connector.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        yield caught
    finally:
        hook.remove()
