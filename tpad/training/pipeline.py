"""All stages in order: from a dataset and a base model to a bundle.

    knowledge ─► transfer ─► teacher ─► distillation ─► feedback ─► recommenders ─► bundle

Each stage keeps its result in the workspace, so a killed run goes on where it was and a changed
setting repeats only what depends on it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tpad.bundle import Bundle
from tpad.bundle.files import PRETRAINING_RECORD
from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors
from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.items import NewItem
from tpad.mllm.features import encode_images
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.model.embedding_sets import as_stored
from tpad.model.given_features import TFIDF, GivenFeatures, check_complete, rows_of
from tpad.model.heads import description_words
from tpad.model.item_encoder import ItemEncoder, Reading
from tpad.model.plain_features import FieldFeatures, TextFeatures, item_texts
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.shop import Shop
from tpad.training.stages import (
    describing,
    distillation,
    feedback,
    imagined,
    knowledge,
    recommender,
    teacher,
    transfer,
)
from tpad.training.stages.knowledge import Knowledge
from tpad.training.workspace import Stage, Workspace, digest

ROWS_AT_ONCE = 4_096  # of embeddings that are hashed
TRAINING_LOG = "training.jsonl"
"""File of a bundle: what each stage reported, one JSON object a line."""


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
    """Runs all stages and writes the bundle.

    Args:
        dataset: items and sessions; pictures are expected to be checked.
        base: the multimodal LLM.
        config: all settings.
        out: the bundle's folder.
        work: where stages keep their results; `out` + ".work" by default.
        extra_files: relative path in the bundle -> file or folder to copy into it.
        vectors: name -> vectors that the shop has of its items, for each of `config.features`.
        device: "auto", "cpu" or "cuda".
        quiet: no progress on the screen.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: a setting does not fit, or another run uses the folder of the stages.
    """
    if config.representation != "full":
        raise ConfigError(
            f"A bundle needs the full representation, not {config.representation!r}; make this one with "
            "`python -m tpad ablate`."
        )
    mllm = load_base(dataset, base, config, device)
    workspace = Workspace(work or Path(str(out) + ".work"), quiet)
    with workspace.only_run():
        encoder = fit(dataset, mllm, base, config, workspace, vectors)
        images = read_pictures(dataset, mllm, base, config, workspace)
        encoded = encode(encoder, contents(dataset, vectors), images)
        # The recommenders learn from the very numbers that the bundle gives back.
        embeddings = {name: as_stored(name, x) for name, x in encoded.items()}
        recommenders, tuned = {}, {}
        for name, features in embeddings.items():
            recommenders[name], tuned[name] = recommender.run(
                name,
                replace(config.recommender, seed=config.seed),
                config.pca_sizes,
                dataset,
                features,
                workspace,
                fingerprint=_fingerprint(features),
                device=str(mllm.device),
            )
        if "path" in base.record:
            processes.gather_base(mllm)  # the bundle holds a copy
        if not processes.is_main():
            return out
        curves = workspace.folder / TRAINING_LOG
        # Without the times, as a bundle's checksums depend on what was trained, not on when; and
        # without the tries of the tuning, whose results bundle.json tells.
        lines = [
            {k: v for k, v in line.items() if k != "time"}
            for line in workspace.history()
            if not line["stage"].startswith(recommender.TUNING)
        ]
        curves.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return Bundle.write(
            out,
            dataset=dataset,
            encoder=encoder,
            embeddings=embeddings,
            recommenders=recommenders,
            tuned=tuned,
            config=config.as_json(),
            base=base.record,
            extra_files={**(extra_files or {}), **_pretraining_record(base), TRAINING_LOG: curves},
        )


def _pretraining_record(base: Base) -> dict[str, Path]:
    """What is known of the base's pretraining goes with its weights: file in the bundle -> file."""
    record = Path(base.path) / PRETRAINING_RECORD
    if "path" not in base.record or not record.is_file():
        return {}
    return {f"{base.record['path']}/{PRETRAINING_RECORD}": record}


def embed(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    workspace: Workspace,
    *,
    vectors: Mapping[str, ItemVectors] | None = None,
    device: str = "auto",
) -> np.ndarray:
    """TPAD's embeddings of the dataset's items alone; no recommender is trained.

    Args:
        dataset, base, config, vectors, device: as in `train`.
        workspace: where stages keep their results; stages that are there already are not repeated.

    Returns:
        (n_items, d) float32, the very numbers that a bundle of the same run would give back.
    """
    mllm = load_base(dataset, base, config, device)
    if config.representation == "captions":
        return as_stored("tpad", _captions(dataset, mllm, base, config, workspace))
    encoder = fit(dataset, mllm, base, config, workspace, vectors)
    images = read_pictures(dataset, mllm, base, config, workspace)
    items = contents(dataset, vectors)
    x = as_stored("tpad", encode(encoder, items, images, ["tpad"])["tpad"])  # (n_items, d)
    if config.representation == "intrinsic":
        start = encoder.heads.nu_width  # [k_nu ; k_tau ; fields]
        x = np.delete(x, np.s_[start : start + encoder.heads.tau_width], axis=1)
    return x


def _captions(
    dataset: Dataset, mllm: MLLM, base: Base, config: TrainingConfig, workspace: Workspace
) -> np.ndarray:
    """The plainest use of the base: which words it writes of each item, and the fields.

    Returns:
        (n_items, W + n_fields) float32, words as 0 or 1.
    """
    shop, known, _ = _read(dataset, mllm, base, config, workspace)
    answers = mllm.chat_tokenizer.tokenize_answers(known.descriptions)
    _, words = description_words(answers, shop.warm_rows)  # (n_items, W)
    table = _field_table(dataset, _fields(dataset, config))
    return words.numpy() if table is None else np.concatenate([words.numpy(), table], axis=1)


@processes.main_first()
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
    if config.distill.words and mllm.num_layers not in layers:
        raise ConfigError(
            f"The words are read from the last layer, {mllm.num_layers}; add it to knowledge.layers "
            "or set distill.words to false."
        )
    return mllm


def fit(
    dataset: Dataset,
    mllm: MLLM,
    base: Base,
    config: TrainingConfig,
    workspace: Workspace,
    vectors: Mapping[str, ItemVectors] | None = None,
) -> ItemEncoder:
    """All stages up to the representation: from a base model to an encoder of items."""
    text, tfidf = _text(dataset, config)
    given, given_rows, given_key = _given(dataset, config, vectors or {}, tfidf)
    seed = config.seed
    shop, known, stage = _read(dataset, mllm, base, config, workspace)
    # What a frozen base writes does not depend on which layers are kept of what it reads.
    writing = config.knowledge
    if not writing.adapt_epochs:
        writing = replace(writing, layers=None)
    writing_key = digest("knowledge", writing, *_knowledge_key(dataset, base, config))
    layers = knowledge.chosen_layers(config.knowledge, mllm)

    stage = workspace.stage("transfer", "2 transfer", config.transfer, seed, stage.key)
    transferred = transfer.run(config.transfer, shop, known, stage, seed)

    adapter, transfer_key = knowledge.adapter_name(config.knowledge), stage.key
    stage = workspace.stage("imagined", "3a imagined", config.distill.imagined, seed, writing_key)
    mixed = imagined.run(
        config.distill.imagined,
        shop,
        stage,
        adapter=adapter,
        max_new_tokens=config.knowledge.max_new_tokens,
        seed=seed,
    )
    judgement = None
    key: str | list[str] = [transfer_key, stage.key]
    if config.distill.generative:
        asked = [config.distill.sessions, config.distill.candidates]
        judging = workspace.stage("teacher", "3b teacher", asked, seed, key)
        judgement = teacher.run(config.distill, shop, known, mixed, transferred, judging, seed)
        if config.distill.relative:
            judgement = teacher.relative(judgement)
        key = judging.key

    features = reader = None
    if not config.features_only:
        described = [
            config.distill.describe_epochs,
            config.distill.describe_learning_rate,
            config.distill.rank,
        ]
        stage = workspace.stage("describing", "4a student", described, seed, stage.key)
        describing.run(
            config.distill, shop, known, mixed, stage, knowledge_adapter=adapter, seed=seed
        )
        reader = describing.load_reader(stage)
        stage = workspace.stage("student", "4a student", layers, stage.key)
        features = describing.read_items(shop, mixed, layers, stage)
    stage = workspace.stage(
        "distillation", "4b distillation", config.distill, seed, key, *given_key
    )
    distilled = distillation.run(
        config.distill,
        shop,
        known,
        mixed,
        transferred,
        judgement,
        stage,
        layers=layers,
        features=features,
        reader=reader,
        given=None if given_rows is None else torch.from_numpy(given_rows[shop.warm_rows]),
        seed=seed,
    )

    fields = _fields(dataset, config)
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
        config.feedback,
        config.recommender,
        shop,
        distilled,
        _field_table(dataset, fields),
        stage,
        seed=seed,
    )

    reading = Reading(
        layers,
        config.inputs,
        config.knowledge.max_text,
        config.transfer.max_title,
        adapter,
        config.features_only,
    )
    return ItemEncoder(
        mllm,
        reading,
        text,
        fields,
        distilled.scaler,
        distilled.heads,
        ("tpad", *config.baselines),
        base.record,
        given,
    )


def _read(
    dataset: Dataset, mllm: MLLM, base: Base, config: TrainingConfig, workspace: Workspace
) -> tuple[Shop, Knowledge, Stage]:
    """The shop as the stages read it, what the Knowledge-MLLM makes of it, and that stage."""
    # Each process has measured by itself which number format is the faster one.
    mllm.fast_dtype = processes.agreed(mllm.fast_dtype)
    images = read_pictures(dataset, mllm, base, config, workspace)
    shop = Shop.read(dataset, mllm, images, config)
    key = _knowledge_key(dataset, base, config)
    stage = workspace.stage("knowledge", "1 knowledge", config.knowledge, *key)
    return shop, knowledge.run(config.knowledge, shop, stage, config.seed), stage


def _knowledge_key(dataset: Dataset, base: Base, config: TrainingConfig) -> list:
    """What the first stage depends on, beside its settings."""
    data = [dataset.fingerprint, base.fingerprint, config.inputs, *config.model.changes]
    # Only an adapted base reads titles as they are cut for sessions.
    cut = [config.transfer.max_title] if config.knowledge.adapt_epochs else []
    return [config.seed, data, *cut]


def _fields(dataset: Dataset, config: TrainingConfig) -> FieldFeatures | None:
    """How price and category are read, learnt on the training items; None where they do not join."""
    if not config.fields:
        return None
    warm = ~dataset.cold
    return FieldFeatures.fit(
        dataset.items[Columns.CATEGORY].to_numpy()[warm].tolist(),
        dataset.items[Columns.PRICE].to_numpy()[warm],
    )


def _field_table(dataset: Dataset, fields: FieldFeatures | None) -> np.ndarray | None:
    """Price and category of all items, (n_items, n_fields) float32."""
    if fields is None:
        return None
    items = dataset.items
    return fields(items[Columns.CATEGORY].tolist(), items[Columns.PRICE].to_numpy())


def encode(
    encoder: ItemEncoder,
    items: list[NewItem],
    images: ImageCache,
    sets: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """The items' embeddings by set, (n_items, d) each; each process encodes its share of the items."""
    if processes.size() == 1:
        return encoder.encode(items, sets, images)
    own = images.rows(processes.share(range(len(items))))
    return processes.whole(encoder.encode(processes.share(items), sets, own), len(items))


def contents(dataset: Dataset, vectors: Mapping[str, ItemVectors] | None = None) -> list[NewItem]:
    """The items' contents without their pictures, which are read once through the cache."""
    items = dataset.items
    return [
        NewItem(None, title, description, category, None if np.isnan(price) else price, own)
        for title, description, category, price, own in zip(
            items[Columns.TITLE],
            items[Columns.DESCRIPTION],
            items[Columns.CATEGORY],
            items[Columns.PRICE],
            rows_of(vectors or {}, len(items)),
            strict=True,
        )
    ]


def _text(dataset: Dataset, config: TrainingConfig) -> tuple[TextFeatures, np.ndarray]:
    """TF-IDF of the text, learnt on the training items, and that of all items: (n_items, d)."""
    texts = [""] * len(dataset)
    if config.inputs != "image":
        texts = item_texts(contents(dataset))
    warm = np.flatnonzero(~dataset.cold)
    learnt = [texts[row] for row in warm] if config.inputs != "image" else [""]
    fitted = TextFeatures.fit(learnt, config.text_components, config.seed)
    return fitted, fitted(texts)


def _given(
    dataset: Dataset,
    config: TrainingConfig,
    vectors: Mapping[str, ItemVectors],
    tfidf: np.ndarray,
) -> tuple[GivenFeatures | None, np.ndarray | None, list[str]]:
    """How given vectors are read, the rows (n_items, g) that they become, and what identifies them;
    nothing where there are none.

    Raises:
        ConfigError: the settings name other vectors than there are.
        DataError: an item would be read by nothing.
    """
    if set(vectors) != set(config.features) - {TFIDF}:
        raise ConfigError(
            f"The setting features names {', '.join(config.features) or 'none'}, but there are vectors "
            f"of {', '.join(vectors) or 'none'}; give them with --features NAME=FILE."
        )
    if TFIDF in config.features:
        vectors = {**vectors, TFIDF: ItemVectors(tfidf, np.ones(len(tfidf), bool))}
    if config.features_only:
        check_complete(vectors, dataset.items[Columns.ITEM_ID].tolist())
    if not vectors:
        return None, None, []
    given = GivenFeatures.fit(vectors, ~dataset.cold)
    rows = given(rows_of(vectors, len(dataset)))
    return given, rows, [digest(list(vectors), config.features_only, _fingerprint(rows))]


def read_pictures(
    dataset: Dataset, mllm: MLLM, base: Base, config: TrainingConfig, workspace: Workspace
) -> ImageCache:
    """What the frozen vision tower makes of every picture, computed once."""
    stage = workspace.stage(
        "pictures",
        "0 pictures",
        dataset.fingerprint,
        base.fingerprint,
        config.inputs == "text",
        *config.model.changes,
    )
    path = stage.folder / "images.safetensors"
    if not stage.done:
        bounds = np.linspace(0, len(dataset), processes.size() + 1).astype(int)
        rows = range(*bounds[processes.rank() : processes.rank() + 2])
        bar = stage.bar(rows, len(rows), "reading pictures")
        hidden = config.inputs == "text"
        cache = encode_images(mllm, (None if hidden else dataset.image(row) for row in bar))
        if processes.size() == 1:
            cache.save(path)
        else:
            _join_pictures(cache, path)
        stage.finish()
    return ImageCache.load(path)


def _join_pictures(cache: ImageCache, path: Path) -> None:
    """Joins the pictures that each process has read in one file, by way of a file of each."""
    parts = [path.with_suffix(f".part-{number}") for number in range(processes.size())]
    cache.save(parts[processes.rank()])
    processes.barrier()
    if processes.is_main():
        ImageCache.joined([ImageCache.load(part) for part in parts]).save(path)
        for part in parts:
            part.unlink()


def _fingerprint(features: np.ndarray) -> str:
    """`digest([shape, numbers in hex])`, without ever holding its text, which is long."""
    hashed = hashlib.sha256(f'[["{features.shape}", "'.encode())
    for start in range(0, len(features), ROWS_AT_ONCE):
        hashed.update(features[start : start + ROWS_AT_ONCE].tobytes().hex().encode())
    hashed.update(b'"]]')
    return hashed.hexdigest()
