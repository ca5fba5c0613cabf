"""Runs single stages on what an earlier run of the whole pipeline left behind."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from tpad.mllm import MLLM
from tpad.training import pipeline
from tpad.training.workspace import Stage, Workspace


class Captured(Exception):
    """Ends a run where a stage's arguments are known."""


def arguments_of(run, module: ModuleType) -> tuple[tuple, dict]:
    """What `module.run` of a stage gets in a run: a fresh model, and the results before it.

    The stages before are loaded from the run's workspace. Give the stage a folder of its own in
    place of the captured one before calling it.
    """
    kept: list[tuple[tuple, dict]] = []

    def capture(*args, **kwargs):
        kept.append((args, kwargs))
        raise Captured

    mllm = MLLM.load(run.base.path, device="cpu")
    mllm.fast_dtype = mllm.dtype  # exact, so that results can be compared
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Captured):
        patch.setattr(module, "run", capture)
        pipeline.fit(run.dataset, mllm, run.base, run.config, Workspace(run.work, quiet=True))
    return kept[0]


def new_stage(folder: Path) -> Stage:
    """An empty stage, which logs to `log.jsonl` beside it."""
    return Stage(folder, "key", "test", folder.parent / "log.jsonl", quiet=True)


def logged(folder: Path) -> list[dict]:
    """What a stage of `new_stage` told, epoch by epoch."""
    lines = (folder.parent / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
