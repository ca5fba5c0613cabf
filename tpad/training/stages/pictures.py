"""What the frozen vision tower makes of every picture, computed once."""

from pathlib import Path
from typing import Any

import numpy as np

from tpad.distributed import processes
from tpad.mllm.features import ImageCache
from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage


def run(config: Any, context: Context, stage: Stage) -> ImageCache:
    """Reads the pictures of all items; each process reads its share."""
    path = stage.folder / "images.safetensors"
    if not stage.done:
        dataset = context.dataset
        bounds = np.linspace(0, len(dataset), processes.size() + 1).astype(int)
        rows = range(*bounds[processes.rank() : processes.rank() + 2])
        bar = stage.bar(rows, len(rows), "reading pictures")
        shown = context.reads_pictures
        cache = context.mllm.image_features(dataset.image(row) if shown else None for row in bar)
        if processes.size() == 1:
            cache.save(path)
        else:
            _join(cache, path)
        stage.finish()
    return ImageCache.load(path)


def _join(cache: ImageCache, path: Path) -> None:
    """Joins the pictures that each process has read in one file, by way of a file of each."""
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
