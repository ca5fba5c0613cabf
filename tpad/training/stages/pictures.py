"""Computes the features of the frozen vision tower for all pictures, once."""

from pathlib import Path
from typing import Any

import numpy as np

from tpad.distributed import processes
from tpad.mllm.features import encode_images
from tpad.mllm.image_cache import ImageCache
from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage


def run(config: Any, context: Context, stage: Stage) -> ImageCache:
    """Compute the features of all pictures; the processes share the items."""
    path = stage.folder / "images.safetensors"
    if not stage.done:
        dataset = context.dataset
        bounds = np.linspace(0, len(dataset), processes.size() + 1).astype(int)
        rows = range(*bounds[processes.rank() : processes.rank() + 2])
        reads = context.reads_pictures
        bar = stage.bar(rows, len(rows), "reading pictures") if reads else rows
        cache = encode_images(context.mllm, (dataset.image(row) if reads else None for row in bar))
        if processes.size() == 1:
            cache.save(path)
        else:
            _join(cache, path)
        stage.finish()
    return ImageCache.load(path)


def _join(cache: ImageCache, path: Path) -> None:
    """Join the features of all processes in one file; each process writes a temporary file."""
    parts = [path.with_suffix(f".part-{number}") for number in range(processes.size())]
    cache.save(parts[processes.rank()])
    processes.barrier()
    if processes.is_main():
        ImageCache.joined([ImageCache.load(part) for part in parts]).save(path)
        for part in parts:
            part.unlink()


STAGE = StageSpec(
    "pictures",
    run,
    settings=("reads_pictures", "model.changes"),
    inputs=("dataset", "base"),
)
