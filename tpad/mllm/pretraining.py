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
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from tpad.errors import ConfigError, DataError
from tpad.files import replacing_folder
from tpad.mllm import tiny
from tpad.mllm.instructions import DESCRIBE, item_text
from tpad.mllm.precision import faster_cpu_dtype
from tpad.world.attributes import (
    ALL_TYPES,
    BRANDS,
    COLOURS,
    DEPARTMENT_OF,
    EMBLEMS,
    PATTERNS,
    SPECS,
    TIERS,
    Look,
    Product,
    looks,
)
from tpad.world.drawing import draw
from tpad.world.language import describe, write

FACTS: dict[str, tuple[str, ...]] = {
    "type": ALL_TYPES,
    "colour": COLOURS,
    "pattern": PATTERNS,
    "emblem": EMBLEMS,
}
IGNORE = -100
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
    tokenizer = tiny.make_tokenizer(_texts(config.seed))
    model = tiny.make_model(tokenizer)
    say(f"drawing {config.pictures:,} pictures")
    owned = looks(reserved=False)
    pictures = _draw_all(owned, config.pictures, config.seed, workers)  # (n, 3, 96, 96) uint8
    labels = torch.tensor([_codes(owned[i % len(owned)]) for i in range(config.pictures)])
    say("phase 1: see")
    _see(model, pictures, labels, config, say)
    say("phase 2: describe")
    _describe(model, tokenizer, pictures, owned, config, say)
    say("measuring on combinations never trained on")
    facts = measure(model, tokenizer, seed=config.seed, workers=workers)
    say(json.dumps(facts))
    _save(model, tokenizer, config, facts, out)
    return facts


# --- data -----------------------------------------------------------------------------------------


def _texts(seed: int, count: int = 20_000) -> list[str]:
    """Titles, descriptions and plain descriptions to train the tokenizer on."""
    rng = random.Random(f"{seed}/tokenizer")
    owned, texts = looks(reserved=False), []
    for _ in range(count):
        product = random_product(rng.choice(owned), rng)
        text = write(product, rng)
        texts += [text.title, text.description, describe(product)]
    return texts


def random_product(look: Look, rng: random.Random) -> Product:
    """A product with the given look and everything else by chance."""
    department = DEPARTMENT_OF[look.type]
    return Product(
        look, rng.choice(SPECS[department]), rng.choice(BRANDS[department]), rng.choice(TIERS)
    )


def _codes(look: Look) -> list[int]:
    return [names.index(getattr(look, fact)) for fact, names in FACTS.items()]


def _draw_one(job: tuple[Look, int]) -> np.ndarray:
    return np.asarray(draw(job[0], job[1], tiny.IMAGE_SIZE))


def _draw_all(chosen: list[Look], count: int, seed: int, workers: int) -> Tensor:
    jobs = [(chosen[i % len(chosen)], seed * 1_000_003 + i) for i in range(count)]
    with ProcessPoolExecutor(workers) as pool:
        drawn = np.stack(list(pool.map(_draw_one, jobs, chunksize=64)))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()  # (n, 3, 96, 96)


def _augment(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts by up to 6 pixels, mirrors, dims; returns normalised pixels (B, 3, 96, 96)."""
    size, margin = pictures.shape[-1], 6
    pixels = pictures.float().div_(127.5).sub_(1.0)  # (B, 3, 96, 96) in −1…1
    padded = F.pad(pixels, [margin] * 4, mode="replicate")
    shifts = torch.randint(0, 2 * margin + 1, (len(pixels), 2), generator=generator).tolist()
    flips = torch.rand(len(pixels), generator=generator).lt(0.5).tolist()
    for i, ((top, left), flip) in enumerate(zip(shifts, flips, strict=True)):
        view = padded[i, :, top : top + size, left : left + size]
        pixels[i] = view.flip(-1) if flip else view
    gain = 0.9 + 0.2 * torch.rand(len(pixels), 1, 1, 1, generator=generator)
    return ((pixels + 1.0) * gain - 1.0).clamp_(-1.0, 1.0)


# --- training -------------------------------------------------------------------------------------


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
        groups = [
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


def _tower(model: Idefics3ForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Patch features of the vision tower, (B, patches, d_vision)."""
    side = tiny.IMAGE_SIZE // tiny.PATCH_SIZE
    mask = torch.ones(len(pixels), side, side, dtype=torch.bool)
    return model.model.vision_model(
        pixel_values=pixels, patch_attention_mask=mask
    ).last_hidden_state


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
            named = reader(_tower(model, _augment(pictures[rows], generator)))
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


@dataclass
class _Prompter:
    """Token ids of conversations, the same as the processor makes of the chat template."""

    tokenizer: PreTrainedTokenizerFast

    def __post_init__(self) -> None:
        ids = self.tokenizer.convert_tokens_to_ids
        self.user, self.assistant, self.end = ids(tiny.USER), ids(tiny.ASSISTANT), ids(tiny.END)
        self.image = ids(tiny.IMAGE)
        fake, image_tag = ids(tiny.FAKE), ids(tiny.GLOBAL)
        self.picture = [fake, image_tag, *[self.image] * tiny.IMAGE_TOKENS, fake]

    def turn(self, text: str, answer: str | None, has_picture: bool) -> tuple[list[int], list[int]]:
        """Ids and labels of one turn; without an answer it ends where the answer begins."""
        words = f"{text}\n{DESCRIBE}" if text else DESCRIBE
        words = self.tokenizer.encode(words, add_special_tokens=False)
        picture = self.picture if has_picture else []
        ids = [self.user, *picture, *words, self.end, self.assistant]
        labels = [IGNORE] * len(ids)
        if answer is not None:
            written = [*self.tokenizer.encode(answer, add_special_tokens=False), self.end]
            ids, labels = ids + written, labels + written
        return ids, labels


def _conversation(
    prompter: _Prompter, chosen: list[tuple[int, Look]], rng: random.Random
) -> tuple[list[int], list[int], list[int]]:
    """Ids, labels and picture rows of one conversation about the chosen pictures."""
    ids: list[int] = []
    labels: list[int] = []
    rows: list[int] = []
    for row, look in chosen:
        product = random_product(look, rng)
        written = write(product, rng)
        chance = rng.random()
        text = item_text(written.title, written.description)
        tells = (written.tells_spec, written.tells_brand)
        if chance < 0.1:  # a picture alone
            text, tells = "", (False, False)
        elif chance < 0.5 and written.title:  # a picture and its title
            text = written.title
            tells = (written.title_tells_spec, written.title_tells_brand)
        has_picture = chance < 0.95
        answer = describe(product, *tells, is_seen=has_picture)
        more_ids, more_labels = prompter.turn(text, answer, has_picture)
        ids, labels = ids + more_ids, labels + more_labels
        if has_picture:
            rows.append(row)
    return ids, labels, rows


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
    prompter = _Prompter(tokenizer)
    schedule = _Schedule(model, config.describe_steps, config)
    total, every = 0.0, max(1, min(200, config.describe_steps // 4))
    for step in range(1, config.describe_steps + 1):
        batch = []
        for _ in range(config.describe_batch):
            rows = [rng.randrange(len(pictures)) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
            batch.append(_conversation(prompter, [(r, owned[r % len(owned)]) for r in rows], rng))
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
    pixels = _augment(pictures[rows], generator)
    with _fast():
        seen = model.model.connector(_tower(model, pixels))  # (n_pictures, image tokens, d)
        embedded = model.get_input_embeddings()(ids)  # (B, L, d)
        place = (ids == model.config.image_token_id)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, seen.to(embedded.dtype))
        # Padding stands at the end, where a causal model cannot look back from: no mask is needed.
        hidden = model.model.text_model(inputs_embeds=embedded).last_hidden_state  # (B, L, d)
        answer = labels[:, 1:] != IGNORE  # (B, L − 1)
        logits = model.lm_head(hidden[:, :-1][answer])  # (n_tokens, vocabulary)
    return F.cross_entropy(logits.float(), labels[:, 1:][answer])


# --- measuring and saving -------------------------------------------------------------------------


@torch.no_grad()
def measure(
    model: Idefics3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    count: int = 768,
    workers: int = 2,
) -> dict[str, float]:
    """Share of right facts in the descriptions of `count` products with reserved looks.

    A fact is right when the greedy description holds it at its place. Picture, title and
    description are given; spec and brand are only asked for where the text tells them. Returns the
    share by fact, and `visible`, the mean of the four facts that are seen.
    """
    rng = random.Random(f"{seed}/measure")
    reserved = looks(reserved=True)
    chosen = rng.sample(reserved, min(count, len(reserved)))
    pictures = _draw_all(chosen, len(chosen), seed + 9_999, workers)
    prompter = _Prompter(tokenizer)
    right = {name: 0 for name in (*FACTS, "spec", "brand")}
    asked = dict(right)
    for row, look in enumerate(chosen):
        product = random_product(look, rng)
        written = write(product, rng)
        text = item_text(written.title, written.description)
        answer = _greedy(model, prompter, text, pictures[row : row + 1])
        asked |= {fact: asked[fact] + 1 for fact in FACTS}
        for fact, found in read_facts(answer).items():
            right[fact] += found == getattr(look, fact)
        if written.tells_spec:
            asked["spec"] += 1
            right["spec"] += answer.split(", by ")[0].endswith(f" {product.spec}")
        if written.tells_brand:
            asked["brand"] += 1
            right["brand"] += answer.endswith(f"by {product.brand}")
    shares = {name: round(right[name] / max(asked[name], 1), 4) for name in right}
    shares["visible"] = round(sum(shares[fact] for fact in FACTS) / len(FACTS), 4)
    return shares


def read_facts(description: str) -> dict[str, str | None]:
    """The facts that a plain description tells of what is seen; None where it does not."""
    words = description.split(" ")
    kind = " ".join(words[2:]).split(" with ")[0]
    emblem = description.split(" with ", 1)[-1].split(" emblem")[0]
    found = {
        "type": kind,
        "colour": words[0],
        "pattern": words[1] if len(words) > 1 else "",
        "emblem": "none" if emblem == "no" else emblem,
    }
    return {fact: value if value in FACTS[fact] else None for fact, value in found.items()}


def _greedy(
    model: Idefics3ForConditionalGeneration, prompter: _Prompter, text: str, picture: Tensor
) -> str:
    ids, _ = prompter.turn(text, None, has_picture=True)
    seen = model.model.connector(_tower(model, picture.float() / 127.5 - 1.0))
    embedded = model.get_input_embeddings()(torch.tensor([ids]))  # (1, L, d)
    place = (torch.tensor([ids]) == prompter.image)[..., None].expand_as(embedded)
    written = model.generate(
        inputs_embeds=embedded.masked_scatter(place, seen.to(embedded.dtype)),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=40,
        do_sample=False,
    )
    return prompter.tokenizer.decode(written[0], skip_special_tokens=True).strip()


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
        model.to(torch.bfloat16).save_pretrained(beside)
        tiny.make_processor(tokenizer).save_pretrained(beside)
        (beside / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _refuse_foreign(out: Path) -> None:
    """An earlier checkpoint may be replaced, anything else must not be."""
    if out.exists() and not (out / RECORD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} already exists and is no checkpoint of ours; choose another --out.")
