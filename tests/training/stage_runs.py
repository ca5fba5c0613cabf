"""Runs single stages on what an earlier run of the whole pipeline left behind."""

import json
from pathlib import Path

from tpad.training.config import TrainingConfig
from tpad.training.context import Context
from tpad.training.pipeline import Run
from tpad.training.stage import StageSpec
from tpad.training.workspace import Stage, Workspace


class Captured(Exception):
    """Ends a run where what it has made is known."""


def context_of(run, stage: StageSpec, config: TrainingConfig | None = None) -> Context:
    """What a stage works on: a fresh model, and earlier results from a run's workspace."""
    again = Run(run.dataset, run.base, config or run.config, device="cpu")
    again.mllm.fast_dtype = again.mllm.dtype  # exact, so that results can be compared
    again.graph.run(again.context, Workspace(run.work, quiet=True), stage.needs)
    return again.context


def new_stage(folder: Path) -> Stage:
    """An empty stage, which logs to `log.jsonl` beside it."""
    return Stage(folder, "key", "test", folder.parent / "log.jsonl", quiet=True)


def logged(folder: Path) -> list[dict]:
    """What a stage of `new_stage` reported, epoch by epoch."""
    lines = (folder.parent / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
