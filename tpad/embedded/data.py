"""Training data of the embedded model: drawn products, their texts, and conversations about them."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from tpad.embedded import tiny
from tpad.mllm.instructions import DESCRIBE, item_text
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
from tpad.world.drawing.product import draw
from tpad.world.language import describe, write

FACTS: dict[str, tuple[str, ...]] = {
    "type": ALL_TYPES,
    "colour": COLOURS,
    "pattern": PATTERNS,
    "emblem": EMBLEMS,
}
IGNORE = -100

Conversation = tuple[list[int], list[int], list[int]]
"""Token ids, labels, and rows of the pictures shown."""


def texts(seed: int, count: int = 20_000) -> list[str]:
    """Titles, descriptions and plain descriptions to train the tokenizer on."""
    rng = random.Random(f"{seed}/tokenizer")
    owned, written = looks(reserved=False), []
    for _ in range(count):
        product = random_product(rng.choice(owned), rng)
        text = write(product, rng)
        written += [text.title, text.description, describe(product)]
    return written


def random_product(look: Look, rng: random.Random) -> Product:
    """A product with a given look; everything else is random."""
    department = DEPARTMENT_OF[look.type]
    return Product(
        look, rng.choice(SPECS[department]), rng.choice(BRANDS[department]), rng.choice(TIERS)
    )


def fact_labels(look: Look) -> list[int]:
    """Class number of each fact of a look."""
    return [names.index(getattr(look, fact)) for fact, names in FACTS.items()]


def _draw_one(job: tuple[Look, int]) -> np.ndarray:
    return np.asarray(draw(job[0], job[1], tiny.IMAGE_SIZE))


def draw_all(chosen: list[Look], count: int, seed: int, workers: int) -> Tensor:
    """Draw `count` pictures of the looks in turn: (count, 3, 96, 96) uint8."""
    jobs = [(chosen[i % len(chosen)], seed * 1_000_003 + i) for i in range(count)]
    with ProcessPoolExecutor(workers) as pool:
        drawn = np.stack(list(pool.map(_draw_one, jobs, chunksize=64)))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()  # (n, 3, 96, 96)


def augment(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to 6 pixels, mirror, and change the brightness: (B, 3, 96, 96) in [−1, 1]."""
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


@dataclass
class Prompter:
    """Builds the token ids of conversations, equal to those of the processor's chat template."""

    tokenizer: PreTrainedTokenizerFast

    def __post_init__(self) -> None:
        self.user, self.assistant = self._id(tiny.USER), self._id(tiny.ASSISTANT)
        self.end, self.image = self._id(tiny.END), self._id(tiny.IMAGE)
        fake, image_tag = self._id(tiny.FAKE), self._id(tiny.GLOBAL)
        self.picture = [fake, image_tag, *[self.image] * tiny.IMAGE_TOKENS, fake]

    def _id(self, name: str) -> int:
        number = self.tokenizer.convert_tokens_to_ids(name)
        assert isinstance(number, int)  # not a list, because it is a single name
        return number

    def turn(self, text: str, answer: str | None, has_picture: bool) -> tuple[list[int], list[int]]:
        """Token ids and labels of a turn; without an answer, it ends where the answer would begin."""
        words = f"{text}\n{DESCRIBE}" if text else DESCRIBE
        words = self.tokenizer.encode(words, add_special_tokens=False)
        picture = self.picture if has_picture else []
        ids = [self.user, *picture, *words, self.end, self.assistant]
        labels = [IGNORE] * len(ids)
        if answer is not None:
            written = [*self.tokenizer.encode(answer, add_special_tokens=False), self.end]
            ids, labels = ids + written, labels + written
        return ids, labels


def conversation(
    prompter: Prompter, chosen: list[tuple[int, Look]], rng: random.Random
) -> Conversation:
    """A conversation about the chosen pictures."""
    ids: list[int] = []
    labels: list[int] = []
    rows: list[int] = []
    for row, look in chosen:
        product = random_product(look, rng)
        written = write(product, rng)
        chance = rng.random()
        text = item_text(written.title, written.description)
        tells = (written.tells_spec, written.tells_brand)
        if chance < 0.1:  # picture alone
            text, tells = "", (False, False)
        elif chance < 0.5 and written.title:  # picture and title
            text = written.title
            tells = (written.title_tells_spec, written.title_tells_brand)
        has_picture = chance < 0.95
        answer = describe(product, *tells, is_seen=has_picture)
        more_ids, more_labels = prompter.turn(text, answer, has_picture)
        ids, labels = ids + more_ids, labels + more_labels
        if has_picture:
            rows.append(row)
    return ids, labels, rows


def conversation_batches(
    prompter: Prompter,
    looks_of: list[Look],
    n_pictures: int,
    steps: int,
    batch_size: int,
    rng: random.Random,
) -> Iterator[list[Conversation]]:
    """Batches of conversations about one to three random pictures.

    Args:
        prompter: builds the token ids.
        looks_of: looks of the pictures: picture n shows look n modulo the number of looks.
        n_pictures: number of pictures.
        steps: number of batches.
        batch_size: conversations per batch.
        rng: source of all random choices.
    """
    for _ in range(steps):
        batch = []
        for _ in range(batch_size):
            rows = [rng.randrange(n_pictures) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
            chosen = [(row, looks_of[row % len(looks_of)]) for row in rows]
            batch.append(conversation(prompter, chosen, rng))
        yield batch
