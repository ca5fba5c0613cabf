"""Trains the embedded model from scratch to describe products that are not in the shop.

It stands in for a public checkpoint where no model hub can be reached. Two phases:

1. *See*: the vision tower alone learns to name type, colour, pattern and emblem, each through an
   attention-pooled head that is thrown away afterwards. Without the language model in the way a
   picture costs a third of the time, and the gradient of four labels is dense.
2. *Describe*: vision tower, connector and language model together learn to write the plain
   description of a product after its picture and text, in conversations of one to three products.

No picture shows an attribute combination that a shop owns (`Look.is_reserved`).
"""

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from tpad.errors import ConfigError, DataError
from tpad.files import replacing_folder
from tpad.mllm import tiny
from tpad.mllm.precision import faster_cpu_dtype
from tpad.mllm.pretraining_data import (
    FACTS,
    IGNORE,
    Prompter,
    augment,
    codes,
    conversation,
    draw_all,
    texts,
)
from tpad.mllm.pretraining_measure import measure
from tpad.world.attributes import Look, looks

RECORD = "pretraining.json"


@dataclass(frozen=True)
class PretrainingConfig:
    """Budget and seed of the pretraining."""

    seed: int = 1
    """Everything random follows from it."""
    pictures: int = 20_000
    """How many pictures are drawn; each is seen several times, shifted, mirrored and dimmed."""
    see_steps: int = 2_200
    """Optimiser steps of the first phase."""
    see_batch: int = 64
    """Pictures a step of the first phase."""
    describe_steps: int = 2_000
    """Optimiser steps of the second phase."""
    describe_batch: int = 32
    """Conversations a step of the second phase, of 1.6 pictures on average."""
    learning_rate: float = 1e-3
    """Peak learning rate (AdamW, warm-up, cosine)."""
    weight_decay: float = 0.05
    """Decoupled weight decay on matrices."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"The seed must not be negative, but is {self.seed}.")
        for name in ("pictures", "see_steps", "see_batch", "describe_steps", "describe_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}.")


def pretrain(
    config: PretrainingConfig,
    out: Path,
    *,
    workers: int = 2,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Runs both phases, measures on unseen combinations, and writes the checkpoint to `out`.

    Returns:
        The share of right facts on reserved (never trained) combinations, by fact and on average.

    Raises:
        DataError: `out` holds something else than an earlier checkpoint of this function.
    """
    _refuse_foreign(Path(out))
    start = time.monotonic()

    def say(text: str) -> None:
        log(f"[{time.monotonic() - start:6.0f} s] {text}")

    torch.manual_seed(config.seed)
    tokenizer = tiny.make_tokenizer(texts(config.seed))
    model = tiny.make_model(tokenizer)
    say(f"drawing {config.pictures:,} pictures")
    owned = looks(reserved=False)
    pictures = draw_all(owned, config.pictures, config.seed, workers)  # (n, 3, 96, 96) uint8
    labels = torch.tensor([codes(owned[i % len(owned)]) for i in range(config.pictures)])
    say("phase 1: see")
    _see(model, pictures, labels, config, say)
    say("phase 2: describe")
    _describe(model, tokenizer, pictures, owned, config, say)
    say("measuring on combinations never trained on")
    facts = measure(model, tokenizer, seed=config.seed, workers=workers)
    say(json.dumps(facts))
    _save(model, tokenizer, config, facts, out)
    return facts


def _fast() -> torch.autocast:
    """bf16 autocast where that multiplies faster than fp32; measured once."""
    return torch.autocast("cpu", torch.bfloat16, enabled=faster_cpu_dtype() == torch.bfloat16)


class _Reader(nn.Module):
    """Names each fact from the tower's patches through one learned query a fact."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(len(FACTS), width))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(width, len(names)) for names in FACTS.values())

    def forward(self, patches: Tensor) -> list[Tensor]:
        query = self.query.expand(len(patches), -1, -1)  # (B, facts, d)
        read, _ = self.attention(query, patches, patches, need_weights=False)  # (B, facts, d)
        return [head(read[:, i]) for i, head in enumerate(self.heads)]


class _Schedule:
    """AdamW with linear warm-up and cosine decay, gradient clipping."""

    def __init__(self, modules: nn.Module, steps: int, config: PretrainingConfig) -> None:
        self.parameters = [p for p in modules.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters if p.ndim > 1]},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        warm_up = max(1, min(200, steps // 10))
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: min(
                (step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))) + 0.01
            ),
        )

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.rate.step()


def _see(
    model: Idefics3ForConditionalGeneration,
    pictures: Tensor,
    labels: Tensor,
    config: PretrainingConfig,
    say: Callable[[str], None],
) -> None:
    generator = torch.Generator().manual_seed(config.seed)
    reader = _Reader(tiny.WIDTH)
    both = nn.ModuleList([model.model.vision_model, reader])
    schedule = _Schedule(both, config.see_steps, config)
    right = torch.zeros(len(FACTS))
    every = max(1, min(200, config.see_steps // 4))
    for step in range(1, config.see_steps + 1):
        rows = torch.randint(0, len(pictures), (config.see_batch,), generator=generator)
        with _fast():
            named = reader(tiny.tower(model, augment(pictures[rows], generator)))
        truth = labels[rows]  # (B, facts)
        losses = [F.cross_entropy(n.float(), truth[:, i]) for i, n in enumerate(named)]
        schedule.step(torch.stack(losses).sum())
        right += torch.tensor(
            [(n.argmax(1) == truth[:, i]).float().mean() for i, n in enumerate(named)]
        )
        if step % every == 0:
            shares = " ".join(f"{f} {r / every:.3f}" for f, r in zip(FACTS, right, strict=True))
            say(f"see {step}/{config.see_steps}: right while training: {shares}")
            right.zero_()


def _describe(
    model: Idefics3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    pictures: Tensor,
    owned: list[Look],
    config: PretrainingConfig,
    say: Callable[[str], None],
) -> None:
    generator = torch.Generator().manual_seed(config.seed + 1)
    rng = random.Random(f"{config.seed}/describe")
    prompter = Prompter(tokenizer)
    schedule = _Schedule(model, config.describe_steps, config)
    total, every = 0.0, max(1, min(200, config.describe_steps // 4))
    for step in range(1, config.describe_steps + 1):
        batch = []
        for _ in range(config.describe_batch):
            rows = [rng.randrange(len(pictures)) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
            batch.append(conversation(prompter, [(r, owned[r % len(owned)]) for r in rows], rng))
        loss = _answer_loss(model, batch, pictures, generator, tokenizer.pad_token_id)
        schedule.step(loss)
        total += float(loss.detach())
        if step % every == 0:
            say(f"describe {step}/{config.describe_steps}: loss a token {total / every:.4f}")
            total = 0.0


def _answer_loss(
    model: Idefics3ForConditionalGeneration,
    batch: list[tuple[list[int], list[int], list[int]]],
    pictures: Tensor,
    generator: torch.Generator,
    pad: int,
) -> Tensor:
    """Cross-entropy of the answers' tokens."""
    length = max(len(ids) for ids, _, _ in batch)
    ids = torch.tensor([i + [pad] * (length - len(i)) for i, _, _ in batch])  # (B, L)
    labels = torch.tensor([own + [IGNORE] * (length - len(own)) for _, own, _ in batch])  # (B, L)
    rows = torch.tensor([r for _, _, some in batch for r in some])  # (n_pictures,)
    pixels = augment(pictures[rows], generator)
    with _fast():
        seen = model.model.connector(tiny.tower(model, pixels))  # (n_pictures, image tokens, d)
        embedded = model.get_input_embeddings()(ids)  # (B, L, d)
        place = (ids == model.config.image_token_id)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, seen.to(embedded.dtype))
        # Padding stands at the end, where a causal model cannot look back from: no mask is needed.
        hidden = model.model.text_model(inputs_embeds=embedded).last_hidden_state  # (B, L, d)
        answer = labels[:, 1:] != IGNORE  # (B, L − 1)
        logits = model.lm_head(hidden[:, :-1][answer])  # (n_tokens, vocabulary)
    return F.cross_entropy(logits.float(), labels[:, 1:][answer])


def _save(
    model: Idefics3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    config: PretrainingConfig,
    facts: dict[str, float],
    out: Path,
) -> None:
    """Writes model (bf16), processor and a record; an earlier checkpoint at `out` is replaced."""
    record = {"config": asdict(config), "right_on_unseen_combinations": facts}
    with replacing_folder(out) as beside:
        model.bfloat16().save_pretrained(beside)
        tiny.make_processor(tokenizer).save_pretrained(beside)
        (beside / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _refuse_foreign(out: Path) -> None:
    """An earlier checkpoint may be replaced, anything else must not be."""
    if out.exists() and not (out / RECORD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} already exists and is no checkpoint of ours; choose another --out.")
