"""Computes the teacher's generative scores [ours].

For sampled session prefixes, the Transfer-MLLM computes how likely it is to write the description of
each candidate next. This needs no clicks on the candidate, so the student also learns about items with
few clicks. Candidates are training items and imagined items; cold items are never used.
"""

from dataclasses import dataclass, replace

import numpy as np

from tpad.distributed import processes
from tpad.mllm.prompts import Turn
from tpad.mllm.scoring import score_answers
from tpad.settings import Count, Share, settings
from tpad.training.context import Context
from tpad.training.shop import Shop
from tpad.training.stage import StageSpec
from tpad.training.stages.transfer import ADAPTER, Transfer
from tpad.training.workspace import Stage

CHUNK = 64  # prefixes scored at once
SAVE_EVERY = 8  # rounds of chunks between two saves
SWEEPS = 20  # iterations of the additive model; it converges in a few
POOL = 4  # size of a pool of likely or similar candidates, relative to their number
RARE = 5  # most clicks of a rarely clicked item


@settings
class TeacherConfig:
    """Settings of the stage `teacher`."""

    sessions: Count = 4_000
    """Session prefixes for which the teacher scores candidates."""
    candidates: Count = 64
    """Candidates per prefix. Half are likely by the teacher's next-item head."""
    similar: Share = 0.125
    """Share of the candidates that are similar to the last item of the prefix."""
    rare: Share = 0.125
    """Share of the candidates that are rarely clicked: of these, clicks tell the least. All others are
    random."""


@dataclass(frozen=True)
class TeacherScores:
    """The teacher's scores of candidates.

    Attributes:
        prefix: (S,) numbers of the sampled prefixes among the training prefixes.
        candidates: (S, C) item rows, distinct within a row; imagined items start at n_items.
        log_likelihood: (S, C) float32, log p_teacher(description of the candidate | session).
    """

    prefix: np.ndarray
    candidates: np.ndarray
    log_likelihood: np.ndarray


def run(config: TeacherConfig, context: Context, stage: Stage) -> TeacherScores:
    """Sample prefixes and candidates, and score them; an interrupted run resumes."""
    if not stage.done:
        shop, imagined, transfer = context.shop, context["imagined"], context["transfer"]
        descriptions = context["descriptions"]
        prefix, candidates = processes.from_main(
            sample(config, shop, transfer, context.seed, len(imagined.items))
        )
        answers = shop.mllm.chat_tokenizer.tokenize_answers(descriptions + imagined.descriptions)
        found = [np.zeros((0, candidates.shape[1]), np.float32)]
        if stage.has("partial"):
            found = [stage.load_arrays("partial")["log_likelihood"]]

        def score(start: int) -> np.ndarray:
            rows = slice(start, start + CHUNK)
            chats = [
                shop.conversation(transfer.train.prefix(number), descriptions)
                for number in prefix[rows]
            ]
            return _score(shop, chats, candidates[rows], answers)

        rounds = processes.rounds(range(len(found[0]), len(prefix), CHUNK))
        with shop.mllm.adapters.use(ADAPTER), shop.mllm.autocast():
            for n, starts in enumerate(stage.bar(rounds, len(rounds), "scoring candidates")):
                found += processes.parallel_map(score, starts)
                if n % SAVE_EVERY == SAVE_EVERY - 1:
                    found = [np.concatenate(found)]
                    stage.save_arrays("partial", {"log_likelihood": found[0]})
        stage.save_arrays(
            "judgement",
            {"prefix": prefix, "candidates": candidates, "log_likelihood": np.concatenate(found)},
        )
        stage.say(f"scored {candidates.shape[1]} candidates for each of {len(prefix):,} prefixes")
        stage.finish()
    return TeacherScores(**stage.load_arrays("judgement"))


def relative(teacher: TeacherScores) -> TeacherScores:
    """Subtract from each candidate's log-likelihoods their mean over prefixes.

    The result is log p(description | prefix) − log p(description), the pointwise mutual information, up
    to a term that depends only on the prefix and cancels in the softmax over candidates. Each prefix
    has other candidates, so the means come from an additive model `prefix + candidate`, fitted by least
    squares.
    """
    scores, columns = teacher.log_likelihood, teacher.candidates  # both (S, C)
    found, column = np.unique(columns, return_inverse=True)
    column = column.reshape(columns.shape)  # (S, C), position in `found`
    counts = np.bincount(column.ravel(), minlength=len(found))
    means = np.zeros(len(found))
    for _ in range(SWEEPS):
        own = (scores - means[column]).mean(1, keepdims=True)  # (S, 1), term of the prefix
        means = np.bincount(column.ravel(), (scores - own).ravel(), len(found)) / counts
    return replace(teacher, log_likelihood=(scores - own - means[column]).astype(np.float32))


def sample(
    config: TeacherConfig, shop: Shop, transfer: Transfer, seed: int, n_imagined: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Sample prefixes (S,) and candidates (S, C), see `TeacherConfig`.

    If there are imagined items, half of the likely candidates are replaced by an imagined item with the
    same picture, and most random candidates are imagined.
    """
    rng = np.random.default_rng([seed, 31])
    warm = shop.warm_rows
    prefix = np.sort(rng.permutation(len(transfer.train))[: config.sessions])
    count = min(config.candidates, len(warm))
    likely = count // 2
    n_similar, n_rare = (
        min(round(share * count), (count - likely) // 2) for share in (config.similar, config.rare)
    )
    few = warm[shop.dataset.popularity[warm] <= RARE]
    n_items, per_item = len(shop.dataset), n_imagined // len(warm)
    place = np.full(n_items, -1)
    place[warm] = np.arange(len(warm))
    everything = np.concatenate([warm, n_items + np.arange(n_imagined)])
    candidates = np.empty((len(prefix), count), np.int64)
    vectors = transfer.item_vectors[warm]  # (n_warm, h)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for row, number in enumerate(prefix):
        best = warm[_best(vectors @ transfer.session_vectors[number], POOL * likely)]
        drawn = rng.choice(best, likely, replace=False)
        if per_item:
            swap = slice(0, likely // 2)
            variant = rng.integers(0, per_item, likely)[swap]
            drawn[swap] = n_items + place[drawn[swap]] * per_item + variant
        last = place[transfer.train.prefix(number)[-1]]
        for pool, most in (
            (warm[_best(units @ units[last], POOL * n_similar)], n_similar),
            (few, n_rare),
        ):
            new = np.setdiff1d(pool, drawn)
            drawn = np.concatenate([drawn, rng.choice(new, min(most, len(new)), replace=False)])
        others = _choice_without(everything, drawn, count - len(drawn), rng)
        candidates[row] = np.concatenate([drawn, others])
    return prefix, candidates


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the highest scores, in no order: (min(count, n),)."""
    count = min(count, len(scores))
    return np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)


def _choice_without(
    ascending: np.ndarray, left_out: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw (count,) distinct values that are not in `left_out`, without listing all other values."""
    taken = np.unique(np.searchsorted(ascending, left_out))  # positions
    drawn = rng.choice(len(ascending) - len(taken), count, replace=False)  # among other positions
    before = np.searchsorted(
        taken - np.arange(len(taken)), drawn, side="right"
    )  # taken ones before
    return ascending[drawn + before]


def _score(
    shop: Shop, chats: list[list[Turn]], candidates: np.ndarray, answers: list[np.ndarray]
) -> np.ndarray:
    """Log-likelihoods (S, C) of the candidates' descriptions after each chat."""
    scores = score_answers(
        shop.mllm,
        chats,
        [[answers[row] for row in rows] for rows in candidates],
        images=shop.images,
    )
    return np.stack(scores).astype(np.float32)


STAGE = StageSpec(
    "teacher",
    run,
    config="teacher",
    settings=("teacher", "seed"),
    needs=("pictures", "descriptions", "transfer", "imagined"),
    wanted=lambda config: config.distillation.generative and config.tau == "words",
)
