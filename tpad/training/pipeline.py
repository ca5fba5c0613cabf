"""Trains a bundle from a dataset and a base model: the list of stages, and the functions that run it.

Each stage stores its result in the workspace. So an interrupted run resumes where it stopped, and a
changed setting reruns exactly the stages that depend on it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from tpad.bundle import write_bundle
from tpad.bundle.files import PRETRAINING_RECORD
from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors
from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.model import MLLM
from tpad.model.embedding_sets import as_stored
from tpad.model.heads import description_words
from tpad.model.item_encoder import ItemEncoder, ReadingConfig
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.context import Context
from tpad.training.graph import Graph, PlannedStage
from tpad.training.inputs import Inputs, fingerprint
from tpad.training.stage import StageSpec
from tpad.training.stages import (
    adaptation,
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
    describing.STAGE,
    student_features.STAGE,
    distillation.STAGE,
    feedback.STAGE,
    embeddings.STAGE,
)
"""All stages up to the embeddings; the stages of each recommender follow, see `recommender.stages_of`."""
TRAINING_LOG = "training.jsonl"
"""File of a bundle with the training log, one JSON object per line."""


def train(
    dataset: Dataset,
    base: Base,
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
        base: the multimodal LLM.
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
        if "path" in base.record:
            processes.gather_base(run.mllm)  # the bundle stores a copy
        if not processes.is_main():
            return out
        fitted = {name: run.context[f"recommender-{name}"] for name in run.context["embeddings"]}
        log = _training_log(workspace)
        return write_bundle(
            out,
            dataset=dataset,
            encoder=run.encoder(),
            embeddings=run.context["embeddings"],
            recommenders={name: model for name, (model, _) in fitted.items()},
            tuned={name: asdict(tuning) for name, (_, tuning) in fitted.items()},
            config=config.as_json(),
            base=base.record,
            extra_files={**(extra_files or {}), **_pretraining_record(base), TRAINING_LOG: log},
        )


def embed(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    workspace: Workspace,
    *,
    vectors: Mapping[str, ItemVectors] | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Train the representation without recommenders, and return TPAD's embeddings of all items.

    Args:
        dataset, base, config, vectors, device: as in `train`.
        workspace: stores the stages' results; finished stages do not run again.

    Returns:
        (n_items, d) float32, equal to the embeddings that a bundle of the same run would hold.
    """
    run = Run(dataset, base, config, vectors, device)
    if config.representation == "captions":
        run.graph.run(run.context, workspace, ["descriptions"])
        return as_stored("tpad", _captions(run.context))
    run.graph.run(run.context, workspace, embeddings.STAGE.needs)
    encoder, items = run.encoder(), run.inputs.contents
    encoded = embeddings.encode(encoder, items, run.context["pictures"], ["tpad"])
    x = as_stored("tpad", encoded["tpad"])  # (n_items, d)
    if config.representation == "intrinsic":
        start = encoder.heads.nu_width  # [k_nu ; k_tau ; fields]
        x = np.delete(x, np.s_[start : start + encoder.heads.tau_width], axis=1)
    return x


def plan(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    work: Path,
    vectors: Mapping[str, ItemVectors] | None = None,
) -> list[PlannedStage]:
    """The stages that `train` would run or load; nothing is computed or written.

    The stages of the recommenders are included only if the embeddings are cached, because their cache
    keys depend on the embeddings.
    """
    inputs = Inputs(dataset, config, vectors or {})
    graph = Graph(STAGES, config, inputs.fingerprints | {"base": base.fingerprint})
    workspace = Workspace(work, quiet=True)
    planned = graph.plan(workspace)
    if planned[-1].state == "cached":
        stage = workspace.stage("embeddings", graph.key("embeddings"), "embeddings")
        cached = stage.load_arrays("embeddings")
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
        base: Base,
        config: TrainingConfig,
        vectors: Mapping[str, ItemVectors] | None = None,
        device: str = "auto",
    ) -> None:
        self.base, self.config = base, config
        self.mllm = load_base(dataset, base, config, device)
        # Each process has measured which number format is faster; use the main process's choice.
        self.mllm.fast_dtype = processes.from_main(self.mllm.fast_dtype)
        self.inputs = Inputs(dataset, config, vectors or {})
        fingerprints = self.inputs.fingerprints | {"base": base.fingerprint}
        self.graph = Graph(STAGES, config, fingerprints)

    @cached_property
    def context(self) -> Context:
        """The data of the stages."""
        config, inputs = self.config, self.inputs
        return Context(
            inputs.dataset,
            self.mllm,
            *inputs.texts,
            reads_pictures=config.reads_pictures,
            layers=knowledge.chosen_layers(config.knowledge, self.mllm),
            recommender=config.recommender.content,
            max_new_tokens=config.knowledge.max_new_tokens,
            seed=config.seed,
            fields=inputs.field_table,
            given=inputs.given_rows,
            contents=inputs.contents,
            encoder=self.encoder,
        )

    def encoder(self) -> ItemEncoder:
        """The item encoder of a bundle; available after the stage `distillation`."""
        config, distilled = self.config, self.context["distillation"]
        reading = ReadingConfig(
            self.context.layers,
            config.inputs,
            config.knowledge.max_text,
            config.transfer.max_title,
            self.context["adaptation"],
            config.features_only,
        )
        return ItemEncoder(
            self.mllm,
            reading,
            self.inputs.text,
            self.inputs.fields,
            distilled.scaler,
            distilled.heads,
            ("tpad", *config.baselines),
            self.base.record,
            self.inputs.given,
        )

    def recommenders(self) -> Graph:
        """The graph of the recommenders' stages; available after the stage `embeddings`."""
        return _recommenders(self.context["embeddings"], self.config, self.inputs)


def _recommenders(
    embedded: Mapping[str, np.ndarray], config: TrainingConfig, inputs: Inputs
) -> Graph:
    """The graph of the recommenders' stages; their cache keys depend on the embeddings."""
    specs, fingerprints = [], dict(inputs.fingerprints)
    for name, features in embedded.items():
        specs += recommender.stages_of(name)
        fingerprints[name] = fingerprint(features)
    return Graph(specs, config, fingerprints)


def _captions(context: Context) -> np.ndarray:
    """Caption features: the words that the base model writes about each item, and the fields.

    Returns:
        (n_items, W + n_fields) float32, words as 0 or 1.
    """
    answers = context.mllm.chat_tokenizer.tokenize_answers(context["descriptions"])
    _, words = description_words(answers, context.shop.warm_rows)  # (n_items, W)
    table = context.fields
    return words.numpy() if table is None else np.concatenate([words.numpy(), table], axis=1)


@processes.main_first()
def load_base(dataset: Dataset, base: Base, config: TrainingConfig, device: str) -> MLLM:
    """Load the base model, after checking the dataset and the settings.

    Raises:
        ConfigError: there are no training sessions, or a setting does not fit the model.
        ModelError: the model cannot be loaded.
    """
    if not len(dataset.train):
        raise ConfigError("There are no training sessions; give sessions of at least two clicks.")
    if processes.size() > len(dataset):
        raise ConfigError(
            f"There are {processes.size()} processes but {len(dataset)} items; start fewer."
        )
    mllm = MLLM.load(
        base.path,
        config.model,
        revision=base.revision,
        device=device,
        split=processes.splitter(),
    )
    layers = knowledge.chosen_layers(config.knowledge, mllm)
    if config.distillation.words and mllm.num_layers not in layers:
        raise ConfigError(
            f"The words are read from the last layer, {mllm.num_layers}; add it to knowledge.layers "
            "or set distillation.words to false."
        )
    return mllm


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


def _pretraining_record(base: Base) -> dict[str, Path]:
    """The pretraining record of a base model that the bundle copies: path in the bundle -> file."""
    record = Path(base.path) / PRETRAINING_RECORD
    if "path" not in base.record or not record.is_file():
        return {}
    return {f"{base.record['path']}/{PRETRAINING_RECORD}": record}
