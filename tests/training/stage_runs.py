"""Runs single stages on what an earlier run of the whole pipeline left behind."""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tpad.mllm import MLLM
from tpad.training import pipeline
from tpad.training.workspace import Stage, Workspace


class Captured(Exception):
    """Ends a run where a stage's arguments are known."""


def arguments_of(run, module: ModuleType) -> dict[str, Any]:
    """What `module.run` of a stage gets in a run, by name: a fresh model, and earlier results.

    The stages before are loaded from the run's workspace. Give the stage a folder of its own
    before calling it: `module.run(**arguments | {"stage": new_stage(folder)})`.
    """
    kept: list[dict[str, Any]] = []
    signature = inspect.signature(module.run)

    def capture(*args, **kwargs):
        kept.append(signature.bind(*args, **kwargs).arguments)
        raise Captured

    mllm = MLLM.load(run.base.path, device="cpu")
    mllm.fast_dtype = mllm.dtype  # exact, so that results can be compared
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Captured):
        patch.setattr(module, "run", capture)
        pipeline.fit(run.dataset, mllm, run.base, run.config, Workspace(run.work, quiet=True))
    return dict(kept[0])


def new_stage(folder: Path) -> Stage:
    """An empty stage, which logs to `log.jsonl` beside it."""
    return Stage(folder, "key", "test", folder.parent / "log.jsonl", quiet=True)


def logged(folder: Path) -> list[dict]:
    """What a stage of `new_stage` told, epoch by epoch."""
    lines = (folder.parent / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
