"""Trains a bundle from a dataset and a base model: the list of stages, and the functions that run it.

Each stage stores its result in the workspace. So an interrupted run resumes where it stopped, and a
changed setting reruns exactly the stages that depend on it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from tpad.bundle import write_bundle
from tpad.bundle.files import PRETRAINING_RECORD
from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors
from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.precision import choose_device
from tpad.model.given_features import TFIDF
from tpad.model.item_encoder import STUDENT, TRANSFER, ItemEncoder, ReadingConfig
from tpad.model.vector_encoder import VectorEncoder
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.context import Context
from tpad.training.graph import Graph, PlannedStage
from tpad.training.inputs import Inputs, fingerprint
from tpad.training.loading import load_base
from tpad.training.stage import StageSpec
from tpad.training.stages import (
    adaptation,
    alignment,
    describing,
    descriptions,
    distillation,
    embeddings,
    feedback,
    imagined,
    knowledge,
    pictures,
    recommender,
    student_features,
    teacher,
    transfer,
)
from tpad.training.workspace import Workspace

STAGES: tuple[StageSpec, ...] = (
    pictures.STAGE,
    adaptation.STAGE,
    descriptions.STAGE,
    knowledge.STAGE,
    transfer.STAGE,
    imagined.STAGE,
    teacher.STAGE,
    alignment.STAGE,
    describing.STAGE,
    student_features.STAGE,
    distillation.STAGE,
    feedback.STAGE,
    embeddings.STAGE,
)
"""All stages up to the embeddings; the stages of each recommender follow, see `recommender.stages_of`."""
STAGES_OF_VECTORS: tuple[StageSpec, ...] = (embeddings.OF_VECTORS,)
"""The same if the embeddings are given vectors: no stage needs a base model."""
TRAINING_LOG = "training.jsonl"
"""File of a bundle with the training log, one JSON object per line."""


def train(
    dataset: Dataset,
    base: Base | None,
    config: TrainingConfig,
    out: Path,
    *,
    work: Path | None = None,
    extra_files: Mapping[str, Path] | None = None,
    vectors: Mapping[str, ItemVectors] | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Path:
    """Run all stages and write the bundle.

    Args:
        dataset: items and sessions; its pictures must have been checked.
        base: the language model; None with `config.features_only`, which needs none.
        config: all settings.
        out: folder of the bundle.
        work: workspace, the folder of the stages' results; by default `out` + ".work".
        extra_files: relative path in the bundle -> file or folder to copy there.
        vectors: name -> given item vectors, one for each of `config.features`.
        device: "auto", "cpu" or "cuda".
        quiet: show no progress.

    Returns:
        The folder of the bundle.

    Raises:
        ConfigError: settings are incompatible, or another run uses the workspace.
    """
    if config.representation != "full":
        raise ConfigError(
            f"A bundle needs the full representation, not {config.representation!r}; use "
            "`python -m tpad ablate` for others."
        )
    run = Run(dataset, base, config, vectors, device)
    workspace = Workspace(work or Path(str(out) + ".work"), quiet)
    with workspace.only_run():
        run.graph.run(run.context, workspace)
        later = run.recommenders()
        later.run(run.context, workspace)
        if base is not None and "path" in base.record:
            processes.gather_base(run.context.mllm)  # the bundle stores a copy
        if not processes.is_main():
            return out
        embedded = run.context["embeddings"]
        fitted = {name: run.context[f"recommender-{name}"] for name in embedded.vectors}
        log = _training_log(workspace)
        return write_bundle(
            out,
            dataset=dataset,
            encoder=run.make_encoder(),
            embeddings=embedded.vectors,
            parts=embedded.parts,
            recommenders={name: model for name, (model, _) in fitted.items()},
            tuned={name: asdict(tuning) for name, (_, tuning) in fitted.items()},
            config=config.as_json(),
            base={} if base is None else base.facts(run.context.mllm),
            extra_files={**(extra_files or {}), **_pretraining_record(base), TRAINING_LOG: log},
        )


def plan(
    dataset: Dataset,
    base: Base | None,
    config: TrainingConfig,
    work: Path,
    vectors: Mapping[str, ItemVectors] | None = None,
) -> list[PlannedStage]:
    """The stages that `train` would run or load; nothing is computed or written.

    The stages of the recommenders are included only if the embeddings are cached, because their cache
    keys depend on the embeddings.
    """
    inputs = Inputs(dataset, config, vectors or {})
    graph = _graph(base, config, inputs)
    workspace = Workspace(work, quiet=True)
    planned = graph.plan(workspace)
    if planned[-1].state == "cached":
        stage = workspace.stage("embeddings", graph.key("embeddings"), "embeddings")
        cached = embeddings.load(stage, config.sets)
        planned += _recommenders(cached, config, inputs).plan(workspace)
    return planned


class Run:
    """One training run: its graph of stages, its context, and the item encoder.

    Args:
        dataset, base, config, vectors, device: as in `train`.
    """

    def __init__(
        self,
        dataset: Dataset,
        base: Base | None,
        config: TrainingConfig,
        vectors: Mapping[str, ItemVectors] | None = None,
        device: str = "auto",
    ) -> None:
        self.base, self.config, self.device = base, config, str(choose_device(device))
        self.mllm = load_base(dataset, base, config, device)
        if self.mllm is not None:
            # Each process has measured which number format is faster; use the main process's choice.
            self.mllm.fast_dtype = processes.from_main(self.mllm.fast_dtype)
        self.inputs = Inputs(dataset, config, vectors or {})
        self.graph = _graph(base, config, self.inputs)

    @cached_property
    def context(self) -> Context:
        """The data of the stages."""
        config, inputs, mllm = self.config, self.inputs, self.mllm
        return Context(
            inputs.dataset,
            mllm,
            *inputs.texts,
            reads_pictures=config.reads_pictures and (mllm is None or mllm.sees),
            layers=(
                () if mllm is None else knowledge.chosen_layers(config.knowledge, mllm, config.tau)
            ),
            tau=config.tau,
            recommender=config.recommender.content,
            max_new_tokens=config.knowledge.max_new_tokens,
            seed=config.seed,
            fields=inputs.field_table,
            given=inputs.given_rows,
            contents=inputs.contents,
            encoder=self.make_encoder,
            device=self.device,
        )

    def make_encoder(self) -> ItemEncoder | VectorEncoder:
        """The item encoder of a bundle; with a base model, available after the stage `distillation`."""
        if not self.config.features_only:
            return self.encoder()
        inputs, (name,) = self.inputs, self.config.sets
        assert inputs.given is not None, "there are no vectors"
        text = inputs.text if TFIDF in inputs.given.sizes else None
        return VectorEncoder(name, inputs.given, text, inputs.fields)

    def encoder(self) -> ItemEncoder:
        """The item encoder with a base model."""
        config, context = self.config, self.context
        assert self.base is not None
        knowledge_adapter = context["adaptation"]
        adapters = {
            STUDENT: config.has_tau,
            TRANSFER: config.has_transfer,
            knowledge_adapter: knowledge_adapter is not None,
        }
        reading = ReadingConfig(
            context.layers,
            config.inputs,
            config.knowledge.max_text,
            config.transfer.max_title,
            knowledge_adapter,
            config.tau,
            tuple(name for name, is_used in adapters.items() if is_used),
        )
        distilled = context["distillation"]
        return ItemEncoder(
            self.context.mllm,
            reading,
            self.inputs.text,
            self.inputs.fields,
            config.sets,
            base=self.base.record,
            given=self.inputs.given,
            heads=None if distilled is None else (distilled.scaler, distilled.heads),
            whitening=context["alignment"],
        )

    def recommenders(self) -> Graph:
        """The graph of the recommenders' stages; available after the stage `embeddings`."""
        return _recommenders(self.context["embeddings"], self.config, self.inputs)


def _recommenders(embedded: embeddings.Embeddings, config: TrainingConfig, inputs: Inputs) -> Graph:
    """The graph of the recommenders' stages; their cache keys depend on the embeddings."""
    specs, fingerprints = [], dict(inputs.fingerprints)
    for name, features in embedded.vectors.items():
        specs += recommender.stages_of(name)
        fingerprints[name] = fingerprint(features, embedded.parts[name])
    return Graph(specs, config, fingerprints)


def _graph(base: Base | None, config: TrainingConfig, inputs: Inputs) -> Graph:
    """The graph of the stages up to the embeddings.

    Raises:
        ConfigError: there is no base model, but the settings need one, or vice versa.
    """
    if config.features_only:
        if base is not None:
            raise ConfigError("--features-only uses no base model; leave it out.")
        return Graph(STAGES_OF_VECTORS, config, inputs.fingerprints)
    if base is None:
        raise ConfigError("There is no base model; give one, or set features_only.")
    return Graph(STAGES, config, inputs.fingerprints | {"base": base.fingerprint})


def _training_log(workspace: Workspace) -> Path:
    """Write the training log for the bundle.

    It has no times, so that equal runs give equal checksums, and no lines of the tuning, whose results
    are in `bundle.json`.
    """
    lines = [
        {k: v for k, v in line.items() if k != "time"}
        for line in workspace.history()
        if not line["stage"].startswith(recommender.TUNING)
    ]
    file = workspace.folder / TRAINING_LOG
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return file


def _pretraining_record(base: Base | None) -> dict[str, Path]:
    """The pretraining record of a base model that the bundle copies: path in the bundle -> file."""
    if base is None:
        return {}
    record = Path(base.path) / PRETRAINING_RECORD
    if "path" not in base.record or not record.is_file():
        return {}
    return {f"{base.record['path']}/{PRETRAINING_RECORD}": record}
