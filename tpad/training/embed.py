"""Trains TPAD's representation without recommenders, whole or with a part left out."""

from collections.abc import Mapping

import numpy as np

from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors
from tpad.model.embedding_sets import as_stored
from tpad.model.heads import description_words
from tpad.model.parts import FIELDS, NU, TAU, columns, sizes
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.graph import Graph
from tpad.training.pipeline import STAGES, Run
from tpad.training.stages import embeddings
from tpad.training.workspace import Workspace, digest


def embed(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    workspace: Workspace,
    *,
    vectors: Mapping[str, ItemVectors] | None = None,
    device: str = "auto",
) -> tuple[np.ndarray, dict[str, int]]:
    """Train the representation without recommenders, and return TPAD's embeddings of all items.

    Args:
        dataset, base, config, vectors, device: as in `train`.
        workspace: stores the stages' results; finished stages do not run again.

    Returns:
        (n_items, d) float32, equal to the embeddings that a bundle of the same run would hold, and
        their parts (`tpad.model.parts`).
    """
    run = Run(dataset, base, config, vectors, device)
    if config.representation == "captions":
        run.graph.run(run.context, workspace, ["descriptions"])
        captions = _captions(run)
        return as_stored("tpad", np.concatenate([*captions.values()], axis=1)), sizes(captions)
    run.graph.run(run.context, workspace, embeddings.STAGE.needs)
    encoder, items = run.encoder(), run.inputs.contents
    encoded = embeddings.encode(encoder, items, run.context["pictures"], ["tpad"])
    x = as_stored("tpad", encoded["tpad"])  # (n_items, d)
    return represent(x, encoder.parts["tpad"], config.representation)


def represent(
    x: np.ndarray, parts: Mapping[str, int], representation: str
) -> tuple[np.ndarray, dict[str, int]]:
    """Turn the full representation into another one, of which the recommender knows other parts.

    Args:
        x: (n_items, d) embeddings, `[k_tau ; k_nu ; fields]` and further parts.
        parts: sizes of the parts.
        representation: as in `TrainingConfig`, except "captions".

    Returns:
        The embeddings (n_items, d or less), and their parts.
    """
    parts = dict(parts)
    if representation == "intrinsic" and TAU in parts:
        x = np.delete(x, columns(parts)[TAU], axis=1)
        del parts[TAU]
    elif representation == "unnamed":
        parts = {"transitional" if name == TAU else name: size for name, size in parts.items()}
    elif representation == "joined":
        fields = {FIELDS: parts[FIELDS]} if FIELDS in parts else {}
        parts = {NU: sum(parts.values()) - sum(fields.values()), **fields}
    return x, parts


def outcome(base: Base, config: TrainingConfig) -> str:
    """Digest of all settings on which the result of `embed` depends, for the same data and base model."""
    representation = config.representation
    if not config.has_tau and representation in ("intrinsic", "unnamed"):
        representation = "full"  # which has no k_tau
    return digest(representation, _encoding(base, config))


def shares_encoding(base: Base, config: TrainingConfig, full: TrainingConfig) -> bool:
    """Whether `represent` makes the embeddings of `config` from those of `full`, without the model."""
    return (
        full.representation == "full"
        and config.representation != "captions"
        and _encoding(base, config) == _encoding(base, full)
    )


def _encoding(base: Base, config: TrainingConfig) -> str:
    """Key of the stage that computes the embeddings, for the same data."""
    graph = Graph(STAGES, config, {"dataset": "", "vectors": "", "base": base.fingerprint})
    return graph.key(embeddings.STAGE.name)


def _captions(run: Run) -> dict[str, np.ndarray]:
    """Caption features: the words that the base model writes about each item, and the other parts of TPAD.

    Returns:
        The parts: words (n_items, W) as 0 or 1, given vectors, and fields (n_items, n_fields), float32.
    """
    context, given = run.context, run.inputs.given
    answers = context.mllm.chat_tokenizer.tokenize_answers(context["descriptions"])
    _, words = description_words(answers, context.shop.warm_rows)  # (n_items, W)
    parts = {NU: words.numpy()}
    if given is not None and context.given is not None:
        parts |= given.split(context.given)
    if context.fields is not None:
        parts[FIELDS] = context.fields
    return parts
