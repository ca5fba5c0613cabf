"""The teacher's generative judgement [ours].

For sampled session prefixes, the Transfer-MLLM says how likely it is to write each candidate's
description next. It needs no clicks on the candidate, so it tells the student about items that are
seldom clicked. Candidates come from the training catalogue only: held-out items stay out.
"""

from dataclasses import dataclass, replace

import numpy as np

from tpad.distributed import processes
from tpad.mllm.prompts import Turn
from tpad.settings import Count, settings
from tpad.training.context import Context
from tpad.training.shop import Shop
from tpad.training.stage import StageSpec
from tpad.training.stages.transfer import ADAPTER, Transfer
from tpad.training.workspace import Stage

CHUNK = 64  # prefixes judged between two saves of what is done
SWEEPS = 20  # of the additive model; it settles in a few
LIKELY_POOL = 4  # likely candidates are drawn from this many times their number


@settings
class TeacherConfig:
    """What the teacher judges."""

    sessions: Count = 4_000
    """Session prefixes whose candidates the teacher judges."""
    candidates: Count = 64
    """Candidates a prefix: half by the teacher's own session feature, half by chance."""


@dataclass(frozen=True)
class Judgement:
    """What the teacher thinks of candidates.

    Attributes:
        prefix: (S,) number of each judged prefix among the training prefixes.
        candidates: (S, C) item rows, distinct within a row; from n_items on, imagined items.
        log_likelihood: (S, C) float32, log p_teacher(description of the candidate | session).
    """

    prefix: np.ndarray
    candidates: np.ndarray
    log_likelihood: np.ndarray


def run(config: TeacherConfig, context: Context, stage: Stage) -> Judgement:
    """Samples prefixes and candidates and has the teacher judge them; resumes by chunks."""
    if not stage.done:
        shop, imagined, transfer = context.shop, context["imagined"], context["transfer"]
        descriptions = context["descriptions"]
        prefix, candidates = processes.agreed(
            sample(config, shop, transfer, context.seed, len(imagined.items))
        )
        answers = shop.mllm.tokenize_answers(descriptions + imagined.descriptions)
        found = [np.zeros((0, candidates.shape[1]), np.float32)]
        if stage.has("partial"):
            found = [stage.load_arrays("partial")["log_likelihood"]]

        def judge(start: int) -> np.ndarray:
            rows = slice(start, start + CHUNK)
            chats = [
                shop.conversation(transfer.train.prefix(number), descriptions)
                for number in prefix[rows]
            ]
            return _judge(shop, chats, candidates[rows], answers)

        rounds = processes.rounds(range(len(found[0]), len(prefix), CHUNK))
        with shop.mllm.use_adapter(ADAPTER), shop.mllm.autocast():
            for n, starts in enumerate(stage.bar(rounds, len(rounds), "judging candidates")):
                found += processes.spread(judge, starts)
                if n % 8 == 7:
                    found = [np.concatenate(found)]
                    stage.save_arrays("partial", {"log_likelihood": found[0]})
        stage.save_arrays(
            "judgement",
            {"prefix": prefix, "candidates": candidates, "log_likelihood": np.concatenate(found)},
        )
        stage.say(f"judged {candidates.shape[1]} candidates after each of {len(prefix):,} prefixes")
        stage.finish()
    return Judgement(**stage.load_arrays("judgement"))


def relative(judgement: Judgement) -> Judgement:
    """The judgement with the likelihoods of each candidate taken relative to its mean over prefixes.

    log p(description | prefix) − log p(description), the pointwise mutual information, up to a term
    of the prefix alone, which the softmax over candidates drops. The candidates' means come from the
    additive model `prefix + candidate` fitted by least squares, since not all are judged after all.
    """
    scores, columns = judgement.log_likelihood, judgement.candidates  # both (S, C)
    found, column = np.unique(columns, return_inverse=True)
    column = column.reshape(columns.shape)  # (S, C), which of the candidates that were judged
    counts = np.bincount(column.ravel(), minlength=len(found))
    means = np.zeros(len(found))
    for _ in range(SWEEPS):
        own = (scores - means[column]).mean(1, keepdims=True)  # (S, 1), of the prefix
        means = np.bincount(column.ravel(), (scores - own).ravel(), len(found)) / counts
    return replace(judgement, log_likelihood=(scores - own - means[column]).astype(np.float32))


def sample(
    config: TeacherConfig, shop: Shop, transfer: Transfer, seed: int, n_imagined: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Prefixes (S,) and candidates (S, C): half likely by the next-item head, half by chance.

    With imagined items, half of the likely ones are replaced by an imagined item with the same
    picture, and most of those by chance are imagined.
    """
    rng = np.random.default_rng([seed, 31])
    warm = shop.warm_rows
    prefix = np.sort(rng.permutation(len(transfer.train))[: config.sessions])
    count = min(config.candidates, len(warm))
    likely = min(count // 2, len(warm))
    pool = min(LIKELY_POOL * likely, len(warm))
    n_items, per_item = len(shop.dataset), n_imagined // len(warm)
    place = np.full(n_items, -1)
    place[warm] = np.arange(len(warm))
    everything = np.concatenate([warm, n_items + np.arange(n_imagined)])
    candidates = np.empty((len(prefix), count), np.int64)
    vectors = transfer.item_vectors[warm]  # (n_warm, h)
    for row, number in enumerate(prefix):
        scores = vectors @ transfer.session_vectors[number]  # (n_warm,)
        best = warm[np.argpartition(-scores, pool - 1)[:pool]]
        drawn = rng.choice(best, likely, replace=False)
        if per_item:
            swap = slice(0, likely // 2)
            variant = rng.integers(0, per_item, likely)[swap]
            drawn[swap] = n_items + place[drawn[swap]] * per_item + variant
        others = _choice_without(everything, drawn, count - likely, rng)
        candidates[row] = np.concatenate([drawn, others])
    return prefix, candidates


def _choice_without(
    ascending: np.ndarray, left_out: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(count,) distinct values but those left out; the others, which are many, are not listed."""
    taken = np.unique(np.searchsorted(ascending, left_out))  # places
    drawn = rng.choice(len(ascending) - len(taken), count, replace=False)  # of the other places
    before = np.searchsorted(taken - np.arange(len(taken)), drawn, side="right")  # taken places
    return ascending[drawn + before]


def _judge(
    shop: Shop, chats: list[list[Turn]], candidates: np.ndarray, answers: list[np.ndarray]
) -> np.ndarray:
    """(S, C) log-likelihoods of candidates' descriptions after each chat."""
    scores = shop.mllm.score_many(
        chats, [[answers[row] for row in rows] for rows in candidates], images=shop.images
    )
    return np.stack(scores).astype(np.float32)


STAGE = StageSpec(
    "teacher",
    run,
    config="teacher",
    settings=("teacher", "seed"),
    needs=("pictures", "descriptions", "transfer", "imagined"),
    wanted=lambda config: config.distillation.generative,
)
