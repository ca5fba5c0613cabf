"""Trains the embedded model from scratch to describe products that are not in the shop.

It replaces a public checkpoint where no model hub can be reached. There are two phases:

1. *See*: vision tower and connector learn to classify type, colour, pattern and emblem, with
   attention-pooled heads on the image tokens, which are discarded afterwards. Without the language model,
   a picture takes a third of the time, and four labels give a dense gradient.
2. *Describe*: the tower is frozen and reads each picture once. Connector and language model learn to
   write a plain description of a product from its picture and text, in conversations about one to three
   products.

Both phases train the matrices inside the network with Muon, which needs half the steps of AdamW here.
They store their state every `EPOCH` steps, so a killed run resumes. No picture shows a combination of
attributes that is reserved for the shop (`Look.is_reserved`).
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from tpad.bundle.files import PRETRAINING_RECORD
from tpad.embedded import tiny
from tpad.embedded.answers import answer_loss, fast_autocast
from tpad.embedded.data import (
    FACTS,
    Conversation,
    Prompter,
    augment,
    conversation_batches,
    draw_all,
    fact_labels,
    texts,
)
from tpad.embedded.measure import measure
from tpad.errors import DataError
from tpad.io.files import replacing_folder
from tpad.settings import Count, CountOrZero, Positive, Weight, settings
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.workspace import Stage, Workspace, digest, named_tensors
from tpad.world.attributes import Look, looks

EPOCH = 200  # steps between two saves
OUTER = ("embed", "reader.query", "reader.heads")
"""Parameters at the input or output of a network, which AdamW trains instead of Muon."""

Batch = TypeVar("Batch")


@settings
class PretrainingConfig:
    """Settings of the pretraining."""

    seed: CountOrZero = 1
    """Seed of all random numbers."""
    pictures: Count = 20_000
    """Number of pictures; each is used several times, shifted, mirrored and dimmed."""
    see_steps: Count = 1_000
    """Optimiser steps of the first phase."""
    see_batch: Count = 64
    """Pictures per step of the first phase."""
    describe_steps: Count = 900
    """Optimiser steps of the second phase."""
    describe_batch: Count = 32
    """Conversations per step of the second phase, with 1.6 pictures on average."""
    matrix_rate: Positive = 6e-3
    """Peak learning rate of the matrices inside the network (Muon, warm-up, cosine)."""
    learning_rate: Positive = 1e-3
    """Peak learning rate of all other parameters: embeddings, norms, heads (AdamW, warm-up, cosine)."""
    weight_decay: Weight = 0.05
    """Decoupled weight decay on matrices."""


def pretrain(
    config: PretrainingConfig,
    out: Path,
    *,
    work: Path | None = None,
    workers: int = 2,
    quiet: bool = False,
) -> dict[str, float]:
    """Run both phases, evaluate on reserved combinations of attributes, and write the checkpoint.

    Args:
        config: settings.
        out: folder of the checkpoint.
        work: workspace of the phases; by default `out` + ".work".
        workers: processes that draw pictures.
        quiet: show no progress.

    Returns:
        Accuracy on reserved combinations, by fact and on average; see `measure`.

    Raises:
        DataError: `out` contains something other than an earlier checkpoint of this function.
        ConfigError: another run uses the workspace.
    """
    _check_out(Path(out))
    workspace = Workspace(work or Path(str(out) + ".work"), quiet)
    with workspace.only_run():
        return _pretrain(config, Path(out), workspace, workers)


def _pretrain(
    config: PretrainingConfig, out: Path, workspace: Workspace, workers: int
) -> dict[str, float]:
    sight = {k: v for k, v in asdict(config).items() if not k.startswith("describe")}
    see = workspace.stage("see", digest(sight), "see")
    describe = workspace.stage("describe", digest(config), "describe")
    measured = workspace.stage("measure", digest(config), "measure")

    torch.manual_seed(config.seed)
    tokenizer = tiny.make_tokenizer(texts(config.seed))
    model = tiny.make_model(tokenizer)
    owned = looks(reserved=False)
    if not describe.done:
        see.say(f"drawing {config.pictures:,} pictures")
        pictures = draw_all(owned, config.pictures, config.seed, workers)  # (n, 3, 96, 96) uint8
        _see(model, pictures, owned, config, see)
        _describe(model, tokenizer, pictures, owned, config, describe)
    _load_weights(model, describe)
    facts = measure(model, tokenizer, seed=config.seed, workers=workers)
    measured.say(f"accuracy on reserved combinations: {json.dumps(facts)}", **facts)
    _save(model, tokenizer, config, facts, out)
    return facts


class _Reader(nn.Module):
    """Classifies each fact from the image tokens of a picture, with a learned query per fact."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(len(FACTS), width))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(width, len(names)) for names in FACTS.values())

    def forward(self, tokens: Tensor) -> list[Tensor]:
        query = self.query.expand(len(tokens), -1, -1)  # (B, facts, d)
        read, _ = self.attention(query, tokens, tokens, need_weights=False)  # (B, facts, d)
        return [head(read[:, i]) for i, head in enumerate(self.heads)]


def _train(
    modules: nn.ModuleDict,
    steps: int,
    config: PretrainingConfig,
    stage: Stage,
    batches: Callable[[int, random.Random], Iterator[Batch]],
    loss: Callable[[Batch, torch.Generator], tuple[Tensor, dict[str, float]]],
) -> None:
    """Train for `steps` steps with warm-up and cosine decay; resumes at a multiple of `EPOCH`.

    Args:
        modules: trained modules, by the name under which their weights are stored.
        steps: number of steps.
        config: learning rates, weight decay and seed.
        stage: stores the state.
        batches: takes a number of batches and a random generator, and yields the batches.
        loss: takes a batch and a generator; returns the loss, and values to log.
    """
    matrices, others = _inner_matrices(modules)
    optimisation = Optimisation(
        [{"params": others, "lr": config.learning_rate}],
        steps=steps,
        weight_decay=config.weight_decay,
        matrices=matrices,
        matrix_rate=config.matrix_rate,
    )
    tensors = named_tensors(**modules)
    first = stage.load_epoch(tensors, *optimisation.optimizers)
    for epoch in range(first, -(-steps // EPOCH)):
        optimisation.taken = epoch * EPOCH
        count = min(EPOCH, steps - optimisation.taken)
        draw = epoch_generator(config.seed, stage.title, epoch)
        rng = random.Random(int(draw.integers(2**62)))
        generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
        sums: dict[str, float] = {}
        what = f"steps {optimisation.taken + 1:,} to {optimisation.taken + count:,} of {steps:,}"
        for batch in stage.bar(batches(count, rng), count, what):
            value, logged = loss(batch, generator)
            optimisation.step(value)
            sums = {name: sums.get(name, 0.0) + logged[name] / count for name in logged}
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sums.items())
        stage.say(f"step {optimisation.taken:,} of {steps:,}: {shown}", **sums)
        stage.save_epoch(epoch + 1, tensors, *optimisation.optimizers)


def _inner_matrices(modules: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices from one hidden space to another, and all other parameters."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in modules.named_parameters():
        is_inner = parameter.ndim == 2 and not any(part in name for part in OUTER)
        (matrices if is_inner else others).append(parameter)
    return matrices, others


def _see(
    model: Idefics3ForConditionalGeneration,
    pictures: Tensor,
    owned: list[Look],
    config: PretrainingConfig,
    stage: Stage,
) -> None:
    """Run phase 1, or load its vision tower and connector if it is done."""
    labels = torch.tensor([fact_labels(owned[n % len(owned)]) for n in range(len(pictures))])
    reader = _Reader(tiny.WIDTH)

    def batches(count: int, rng: random.Random) -> Iterator[Tensor]:
        for _ in range(count):
            yield torch.tensor(rng.choices(range(len(pictures)), k=config.see_batch))  # (B,)

    def loss(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        with fast_autocast():
            patches = tiny.tower(model, augment(pictures[rows], generator))  # (B, 64, d)
            named = reader(model.model.connector(patches))  # facts × (B, names)
        truth = labels[rows]  # (B, facts)
        losses = [F.cross_entropy(n.float(), truth[:, i]) for i, n in enumerate(named)]
        right = [float((n.argmax(1) == truth[:, i]).float().mean()) for i, n in enumerate(named)]
        return torch.stack(losses).sum(), dict(zip(FACTS, right, strict=True))

    vision = nn.ModuleDict({"tower": model.model.vision_model, "connector": model.model.connector})
    if not stage.done:
        trained = nn.ModuleDict({"eye": vision, "reader": reader})  # names of stored weights
        _train(trained, config.see_steps, config, stage, batches, loss)
        _save_weights(vision, stage)
    _load_weights(vision, stage)


def _describe(
    model: Idefics3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    pictures: Tensor,
    owned: list[Look],
    config: PretrainingConfig,
    stage: Stage,
) -> None:
    """Run phase 2."""
    prompter = Prompter(tokenizer)
    patches = _patch_features(model, pictures, config, stage)

    def batches(count: int, rng: random.Random) -> Iterator[list[Conversation]]:
        size = config.describe_batch
        return conversation_batches(prompter, owned, len(pictures), count, size, rng)

    def loss(batch: list[Conversation], _: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        value = answer_loss(model, batch, patches, tokenizer.pad_token_id)
        return value, {"loss per token": float(value.detach())}

    trained = nn.ModuleDict({"connector": model.model.connector, "text": model.model.text_model})
    _train(trained, config.describe_steps, config, stage, batches, loss)
    _save_weights(model, stage)


@torch.no_grad()
def _patch_features(
    model: Idefics3ForConditionalGeneration,
    pictures: Tensor,
    config: PretrainingConfig,
    stage: Stage,
) -> Tensor:
    """Features of each augmented picture from the vision tower: (n, patches, d) float16."""
    generator = torch.Generator().manual_seed(config.seed)
    read = []
    for some in stage.bar(pictures.split(128), -(-len(pictures) // 128), "reading the pictures"):
        with fast_autocast():
            read.append(tiny.tower(model, augment(some, generator)).half())
    return torch.cat(read)


def _save_weights(module: nn.Module, stage: Stage) -> None:
    """Store the weights of a phase; tied weights are stored once."""
    stage.save_arrays("weights", {k: v.detach().numpy() for k, v in module.named_parameters()})
    stage.finish()


def _load_weights(module: nn.Module, stage: Stage) -> None:
    """Load what `_save_weights` stored."""
    arrays = stage.load_arrays("weights")
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name]))


def _save(
    model: Idefics3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    config: PretrainingConfig,
    facts: dict[str, float],
    out: Path,
) -> None:
    """Write model (bf16), processor and pretraining record; an earlier checkpoint is replaced."""
    record = {"config": asdict(config), "right_on_unseen_combinations": facts}
    with replacing_folder(out) as part:
        model.bfloat16().save_pretrained(part)
        tiny.make_processor(tokenizer).save_pretrained(part)
        (part / PRETRAINING_RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _check_out(out: Path) -> None:
    """Raise a `DataError` if `out` contains something other than an earlier checkpoint."""
    if (
        out.exists()
        and not (out / PRETRAINING_RECORD).is_file()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise DataError(
            f"{out} exists and is not a checkpoint of this command; choose another --out."
        )
