"""All stages in order: from a dataset and a base model to a bundle.

    knowledge ─► transfer ─► teacher ─► distillation ─► feedback ─► recommenders ─► bundle

Each stage keeps its result in the workspace, so a killed run goes on where it was and a changed
setting repeats only what depends on it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tpad.bundle import Bundle
from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.embeddings import as_stored
from tpad.errors import ConfigError
from tpad.files import sha256
from tpad.items import NewItem
from tpad.mllm.features import ImageCache
from tpad.mllm.model import MLLM
from tpad.training import (
    describing,
    distillation,
    distributed,
    feedback,
    imagined,
    knowledge,
    recommend_stage,
    teacher,
    transfer,
)
from tpad.training.config import TrainingConfig
from tpad.training.encoders import ItemEncoder, Reading
from tpad.training.plain_features import FieldFeatures, TextFeatures, item_texts
from tpad.training.shop import Shop
from tpad.training.workspace import Workspace, digest

TRAINING_LOG = "training.jsonl"
"""File of a bundle: what each stage reported, one JSON object a line."""


@dataclass(frozen=True)
class Base:
    """The base model of a run.

    Attributes:
        path: local folder or hub id.
        revision: branch, tag or commit on the hub.
        is_hub: whether `path` is a hub id; the bundle then names it and keeps no copy.
    """

    path: str
    revision: str | None = None
    is_hub: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the model; a folder by its contents, since it may be trained again in place."""
        folder = Path(self.path)
        if self.is_hub or not folder.is_dir():
            return digest(self.path, self.revision)
        kinds = (".json", ".safetensors", ".jinja", ".txt", ".model")
        files = sorted(file for file in folder.iterdir() if file.suffix in kinds)
        return digest([[file.name, sha256(file)] for file in files])

    @property
    def record(self) -> dict[str, Any]:
        """As a bundle records it."""
        if self.is_hub:
            return {"hub_id": self.path, "revision": self.revision}
        return {"path": "base"}


def train(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    out: Path,
    *,
    work: Path | None = None,
    extra_files: Mapping[str, Path] | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Path:
    """Runs all stages and writes the bundle.

    Args:
        dataset: items and sessions; pictures are expected to be checked.
        base: the multimodal LLM.
        config: all settings.
        out: the bundle's folder.
        work: where stages keep their results; `out` + ".work" by default.
        extra_files: relative path in the bundle -> file or folder to copy into it.
        device: "auto", "cpu" or "cuda".
        quiet: no progress on the screen.

    Returns:
        The bundle's folder.
    """
    mllm = load_base(dataset, base, config, device)
    workspace = Workspace(work or Path(str(out) + ".work"), quiet)
    encoder = fit(dataset, mllm, base, config, workspace)
    images = read_pictures(dataset, mllm, base, config, workspace)
    encoded = encode(encoder, dataset, images)
    # The recommenders learn from the very numbers that the bundle gives back.
    embeddings = {name: as_stored(name, x) for name, x in encoded.items()}
    recommenders = {}
    for name, features in embeddings.items():
        stage = workspace.stage(
            f"recommender-{name}", f"recommender, {name}",
            config.recommender, dataset.fingerprint, _fingerprint(features),
        )  # fmt: skip
        recommenders[name] = recommend_stage.run(
            config.recommender, dataset, features, stage, str(mllm.device)
        )
    if not distributed.is_main():
        return out
    curves = workspace.folder / TRAINING_LOG
    curves.write_text("".join(json.dumps(line) + "\n" for line in workspace.history()), "utf-8")
    return Bundle.write(
        out,
        dataset=dataset,
        encoder=encoder,
        embeddings=embeddings,
        recommenders=recommenders,
        config=config.as_json(),
        base=base.record,
        extra_files={**(extra_files or {}), TRAINING_LOG: curves},
    )


def embed(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    workspace: Workspace,
    *,
    device: str = "auto",
) -> np.ndarray:
    """TPAD's embeddings of the dataset's items alone; no recommender is trained.

    Args:
        dataset, base, config, device: as in `train`.
        workspace: where stages keep their results; stages that are there already are not repeated.

    Returns:
        (n_items, d) float32, the very numbers that a bundle of the same run would give back.
    """
    mllm = load_base(dataset, base, config, device)
    encoder = fit(dataset, mllm, base, config, workspace)
    images = read_pictures(dataset, mllm, base, config, workspace)
    return as_stored("tpad", encode(encoder, dataset, images, ["tpad"])["tpad"])


@distributed.main_first()
def load_base(dataset: Dataset, base: Base, config: TrainingConfig, device: str) -> MLLM:
    """The base model, fresh, where dataset and settings allow a training.

    Raises:
        ConfigError: there is nothing to train on, or a setting does not suit the model.
        ModelError: the model cannot be loaded.
    """
    if not len(dataset.train):
        raise ConfigError(
            "There are no training sessions; give clicks with at least two per session."
        )
    if distributed.size() > len(dataset):
        raise ConfigError(
            f"There are {distributed.size()} processes but {len(dataset)} items; start fewer."
        )
    mllm = MLLM.load(base.path, revision=base.revision, device=device)
    layers = knowledge.chosen_layers(config.knowledge, mllm)
    if config.distill.words and mllm.num_layers not in layers:
        raise ConfigError(
            f"The words are read from the last layer, {mllm.num_layers}; add it to knowledge.layers "
            "or set distill.words to false."
        )
    return mllm


def fit(
    dataset: Dataset, mllm: MLLM, base: Base, config: TrainingConfig, workspace: Workspace
) -> ItemEncoder:
    """All stages up to the representation: from a base model to an encoder of items."""
    seed, data = config.seed, [dataset.fingerprint, base.fingerprint, config.inputs]
    # Each process has measured by itself which number format is the faster one.
    mllm.fast_dtype = distributed.agreed(mllm.fast_dtype)
    images = read_pictures(dataset, mllm, base, config, workspace)
    shop = Shop.read(dataset, mllm, images, config)

    # Only an adapted base reads titles as they are cut for sessions.
    cut = [config.transfer.max_title] if config.knowledge.adapt_epochs else []
    stage = workspace.stage("knowledge", "1 knowledge", config.knowledge, seed, data, *cut)
    known = knowledge.run(config.knowledge, shop, stage, seed)
    # What a frozen base writes does not depend on which layers are kept of what it reads.
    writing = config.knowledge
    if not writing.adapt_epochs:
        writing = replace(writing, layers=None)
    writing_key = digest("knowledge", writing, seed, data, *cut)
    layers = knowledge.chosen_layers(config.knowledge, mllm)

    stage = workspace.stage("transfer", "2 transfer", config.transfer, seed, stage.key)
    transferred = transfer.run(config.transfer, shop, known, stage, seed)

    adapter, transfer_key = knowledge.adapter_name(config.knowledge), stage.key
    stage = workspace.stage("imagined", "3a imagined", config.distill.imagined, seed, writing_key)
    mixed = imagined.run(
        config.distill.imagined, shop, stage, adapter=adapter,
        max_new_tokens=config.knowledge.max_new_tokens, seed=seed,
    )  # fmt: skip
    judgement = None
    key: str | list[str] = [transfer_key, stage.key]
    if config.distill.generative:
        asked = [config.distill.sessions, config.distill.candidates]
        judging = workspace.stage("teacher", "3b teacher", asked, seed, key)
        judgement = teacher.run(config.distill, shop, known, mixed, transferred, judging, seed)
        if config.distill.relative:
            judgement = teacher.relative(judgement)
        key = judging.key

    described = [config.distill.describe_epochs, config.distill.describe_learning_rate,
                 config.distill.rank]  # fmt: skip
    stage = workspace.stage("describing", "4a student", described, seed, stage.key)
    describing.run(config.distill, shop, known, mixed, stage, knowledge_adapter=adapter, seed=seed)
    reader = describing.load_reader(stage)
    stage = workspace.stage("student", "4a student", layers, stage.key)
    features = describing.read_items(shop, mixed, layers, stage)
    stage = workspace.stage("distillation", "4b distillation", config.distill, seed, key)
    distilled = distillation.run(
        config.distill, shop, known, mixed, transferred, judgement, stage,
        layers=layers, features=features, reader=reader, seed=seed,
    )  # fmt: skip

    items, warm = contents(dataset), shop.warm_rows
    fields = None
    if config.fields:
        fields = FieldFeatures.fit(
            dataset.items[Columns.CATEGORY].to_numpy()[warm].tolist(),
            dataset.items[Columns.PRICE].to_numpy()[warm],
        )
    field_table = None
    if fields is not None:
        field_table = fields(
            dataset.items[Columns.CATEGORY].tolist(), dataset.items[Columns.PRICE].to_numpy()
        )
    stage = workspace.stage(
        "feedback",
        "5 feedback",
        config.feedback,
        config.recommender,
        seed,
        config.fields,
        stage.key,
    )
    feedback.run(
        config.feedback, config.recommender, shop, distilled, field_table, stage, seed=seed
    )

    reading = Reading(
        layers, config.inputs, config.knowledge.max_text, config.transfer.max_title,
        adapter,
    )  # fmt: skip
    texts = item_texts([items[row] for row in warm]) if config.inputs != "image" else [""]
    text = TextFeatures.fit(texts, config.text_components, seed)
    return ItemEncoder(
        mllm, reading, text, fields, distilled.scaler, distilled.heads, config.distill,
        ("tpad", *config.baselines), base.record,
    )  # fmt: skip


def encode(
    encoder: ItemEncoder, dataset: Dataset, images: ImageCache, sets: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The items' embeddings by set, (n_items, d) each; each process encodes its share of the items."""
    items = contents(dataset)
    if distributed.size() == 1:
        return encoder.encode(items, sets, images)
    own = images.rows(distributed.share(range(len(items))))
    return distributed.whole(encoder.encode(distributed.share(items), sets, own), len(items))


def contents(dataset: Dataset) -> list[NewItem]:
    """The items' contents without their pictures, which are read once through the cache."""
    items = dataset.items
    return [
        NewItem(None, title, description, category, None if np.isnan(price) else price)
        for title, description, category, price in zip(
            items[Columns.TITLE], items[Columns.DESCRIPTION], items[Columns.CATEGORY],
            items[Columns.PRICE], strict=True,
        )
    ]  # fmt: skip


def read_pictures(
    dataset: Dataset, mllm: MLLM, base: Base, config: TrainingConfig, workspace: Workspace
) -> ImageCache:
    """What the frozen vision tower makes of every picture, computed once."""
    stage = workspace.stage(
        "pictures", "0 pictures", dataset.fingerprint, base.fingerprint, config.inputs == "text",
    )  # fmt: skip
    path = stage.folder / "images.safetensors"
    if not stage.done:
        bounds = np.linspace(0, len(dataset), distributed.size() + 1).astype(int)
        rows = range(*bounds[distributed.rank() : distributed.rank() + 2])
        bar = stage.bar(rows, len(rows), "reading pictures")
        hidden = config.inputs == "text"
        cache = mllm.image_features(None if hidden else dataset.image(row) for row in bar)
        if distributed.size() == 1:
            cache.save(path)
        else:
            _join_pictures(cache, path)
        stage.finish()
    return ImageCache.load(path)


def _join_pictures(cache: ImageCache, path: Path) -> None:
    """Joins the pictures that each process has read in one file, by way of a file of each."""
    parts = [path.with_suffix(f".part-{number}") for number in range(distributed.size())]
    cache.save(parts[distributed.rank()])
    distributed.barrier()
    if distributed.is_main():
        ImageCache.joined([ImageCache.load(part) for part in parts]).save(path)
        for part in parts:
            part.unlink()


def _fingerprint(features: np.ndarray) -> str:
    return digest([str(features.shape), features.tobytes().hex()])
