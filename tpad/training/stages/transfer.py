"""Trains the Transfer-MLLM, which learns transitions between items from sessions [paper].

The base model with a LoRA adapter reads a session as a chat: each turn shows the picture and title of an
item, and the reply is the description of the next item. So one causal pass trains all prefixes. The
last token before a reply, the marker, holds the transition-aware feature `t` of that prefix.

    L = L_gen [paper: generation task] + w · L_next (InfoNCE of t against the next item's features)

With several processes, each reads its share of a batch of sessions. All processes draw the same batch,
so each knows the targets of the whole batch and uses them as negatives without communication.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tpad.data.negatives import BatchTargets, sample_items
from tpad.distributed import processes
from tpad.mllm.adapters import LoraSettings
from tpad.model.scaler import FeatureScaler
from tpad.settings import Count, Weight, settings
from tpad.training.context import Context
from tpad.training.information.bounds import info_nce
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.ranking import contained, reciprocal_ranks
from tpad.training.stage import StageSpec
from tpad.training.stages.prefixes import Prefixes, places, prefix_items
from tpad.training.stages.session_reading import SessionPass, SessionReader, by_length
from tpad.training.workspace import Stage, in_chunks, named_tensors

ADAPTER = "transfer"
MAX_VALIDATION = 400  # validation sessions
SAVE_EVERY = 50  # steps between two saves


@settings
class TransferConfig:
    """Settings of the Transfer-MLLM."""

    epochs: Count = 3
    """Passes over the training sessions."""
    batch_size: Count = 32
    """Sessions per step."""
    sessions_per_pass: Count = 8
    """Sessions in a forward pass. A step adds up the gradients of its passes: without dropout, the result
    is the same for any number."""
    learning_rate: Weight = 2e-3
    """Peak learning rate of AdamW."""
    rank: Count = 16
    """Rank of the LoRA adapter."""
    max_items: Count = 8
    """Maximum number of items of a session, the most recent ones."""
    max_sessions: Count | None = None
    """Random training sessions per epoch; None: all."""
    generation: bool = True
    """Whether the model learns to write the next item's description [paper: generation task]."""
    next_weight: Weight = 0.5
    """Weight of the next-item InfoNCE relative to the generation task."""
    width: Count = 96
    """Size of the common space of sessions and items."""
    max_negatives: Count = 4_096
    """Training items that a step samples as negatives, in addition to the targets of its batch; a shop
    with at most this many training items uses all."""
    max_title: Count = 80
    """Maximum characters of a title in a session."""


class NextHeads(nn.Module):
    """Projects session features and item features into a common space, to score next items.

    Args:
        d: size of a session feature t.
        d_item: size of the concatenated item features.
        width: size of the common space.
    """

    def __init__(self, d: int, d_item: int, width: int) -> None:
        super().__init__()
        self.session = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, width))
        self.item = nn.Sequential(nn.Dropout(0.2), nn.Linear(d_item, width))
        self.scale = width**-0.5

    def forward(self, t: Tensor, items: Tensor) -> Tensor:
        """Scores (B, n) of session features (B, d) against item features (n, d_item)."""
        return self.session(t) @ self.item(items).T * self.scale


@dataclass(frozen=True)
class Transfer:
    """The result of the stage.

    Attributes:
        train, validation: prefixes with their features.
        session_vectors: (n_train_prefixes, h), projected features of the training prefixes.
        item_vectors: (n_items, h), projected items; the dot product with a session vector is the score
            of the next-item head.
    """

    train: Prefixes
    validation: Prefixes
    session_vectors: np.ndarray
    item_vectors: np.ndarray


def run(config: TransferConfig, context: Context, stage: Stage) -> Transfer:
    """Train the Transfer-MLLM, and compute and store its features.

    The adapter is named `transfer` in `context.mllm`.
    """
    shop = context.shop
    windows = {
        "train": shop.dataset.train.windows(config.max_items),
        "validation": [
            # Sessions with items that appeared after training are skipped: those cannot be ranked.
            window
            for window in shop.dataset.validation.windows(config.max_items)
            if not shop.dataset.cold[window].any()
        ],
    }
    if stage.done:
        shop.mllm.adapters.load(ADAPTER, stage.folder / "adapter")
    else:
        torch.manual_seed(context.seed)
        shop.mllm.adapters.add(ADAPTER, LoraSettings(rank=config.rank, alpha=2.0 * config.rank))
        _Training(config, context, stage, windows).run()
        stage.finish()
    arrays = stage.load_arrays("features")
    prefixes = {
        split: Prefixes(*places(windows[split]), arrays[f"{split}.t"], windows[split])
        for split in windows
    }
    return Transfer(
        prefixes["train"],
        prefixes["validation"],
        arrays["train.vectors"],
        arrays["item_vectors"],
    )


def item_matrix(features: dict[str, np.ndarray], warm: np.ndarray) -> Tensor:
    """Concatenated features, standardised on the warm items: (n_items, D)."""
    joined = np.concatenate(list(features.values()), axis=1)
    return FeatureScaler.fit(joined, warm)(torch.from_numpy(joined))


class _Training:
    """One training run of the stage."""

    def __init__(
        self,
        config: TransferConfig,
        context: Context,
        stage: Stage,
        windows: dict[str, list[np.ndarray]],
    ) -> None:
        shop = context.shop
        self.config, self.shop, self.stage, self.seed = config, shop, stage, context.seed
        self.mllm, self.windows = context.mllm, windows
        descriptions = context["descriptions"] if config.generation else None
        self.reader = SessionReader(shop, descriptions)
        warm = ~shop.dataset.cold
        self.table = item_matrix(context["knowledge"], warm).to(self.mllm.device)  # (n_items, D)
        self.warm = torch.from_numpy(shop.warm_rows).to(self.mllm.device)  # (n_warm,)
        self.heads = NextHeads(self.mllm.hidden_size, self.table.shape[1], config.width)
        self.heads.to(self.mllm.device)
        self.sums = torch.zeros(2, dtype=torch.float64)  # of both losses in the epoch
        self.batch_targets = BatchTargets(windows["train"], len(shop.dataset))

    def run(self) -> None:
        config = self.config
        limit = config.max_sessions or len(self.windows["train"])
        per_epoch = min(limit, len(self.windows["train"]))
        adapter = self.mllm.adapters.parameters(ADAPTER)
        optimisation = Optimisation(
            [
                {"params": adapter, "lr": config.learning_rate},
                {"params": self.heads.parameters(), "lr": 1e-3, "weight_decay": 0.05},
            ],
            steps=config.epochs * -(-per_epoch // config.batch_size),
            split=True,
        )
        tensors = named_tensors(heads=self.heads) | {"sums": self.sums}
        tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}

        def save() -> None:
            self.stage.save_epoch(optimisation.taken, tensors, *optimisation.optimizers)

        optimisation.taken = self.stage.load_epoch(tensors, *optimisation.optimizers)
        first = optimisation.taken // -(-per_epoch // config.batch_size)
        with self.mllm.adapters.use(ADAPTER):
            for epoch in range(first, config.epochs):
                self._epoch(epoch, per_epoch, optimisation, save)
                save()
            self.heads.eval()
            self._save_features()
        if processes.is_main():
            self.mllm.adapters.save(ADAPTER, self.stage.folder / "adapter")

    def _epoch(
        self, epoch: int, per_epoch: int, optimisation: Optimisation, save: Callable[[], None]
    ) -> None:
        """The steps of an epoch that have not been taken; `save` stores the state between steps."""
        rng = epoch_generator(self.seed, "transfer", epoch)
        windows = self.windows["train"]
        chosen = rng.permutation(len(windows))[:per_epoch]
        self.mllm.model.train()
        self.heads.train()
        batches = by_length([windows[i] for i in chosen], self.config.batch_size, rng)
        taken = optimisation.taken - epoch * len(batches)
        what = f"epoch {epoch + 1}/{self.config.epochs}"
        bar = self.stage.bar(range(taken, len(batches)), len(batches) - taken, what)
        for step in bar:
            rng = epoch_generator(self.seed, f"transfer, epoch {epoch}", step)
            now = self._step(batches[step], rng, optimisation)
            self.sums += torch.from_numpy(now)
            if hasattr(bar, "set_postfix"):
                bar.set_postfix(gen=f"{now[0]:.3f}", next=f"{now[1]:.3f}")
            if (step + 1) % SAVE_EVERY == 0 and step + 1 < len(batches):
                save()
        self.mllm.model.eval()
        self.heads.eval()
        l_gen, l_next = (self.sums / len(batches)).tolist()
        self.sums.zero_()
        validation = self._validate()
        self.stage.say(
            f"{what}: L_gen {l_gen:.3f}, L_next {l_next:.3f}, validation {validation}",
            epoch=epoch + 1,
            generation=l_gen,
            next=l_next,
            **validation,
        )

    def _step(
        self, batch: list[np.ndarray], rng: np.random.Generator, optimisation: Optimisation
    ) -> np.ndarray:
        """One step on a batch of windows; returns both losses of the whole batch, (2,)."""
        candidates = self._candidates(batch, rng)
        passes = self.reader.passes(batch, self.config.sessions_per_pass)
        # Both losses are means over the batch, so a pass counts by its share of their terms.
        terms = np.array([one.n_terms for one in passes])  # (passes, 2)
        totals = np.maximum(processes.summed(*terms.sum(0).tolist()), 1)  # (2,)
        optimisation.zero_grad()
        sums = np.zeros(2)
        for one, (of_generation, of_next) in zip(passes, terms / totals, strict=True):
            with self.mllm.autocast():
                generation, following = self._losses(one, candidates)
            generation, following = of_generation * generation, of_next * following
            (generation + self.config.next_weight * following).backward()
            sums += float(generation.detach()), float(following.detach())
        optimisation.step()
        return np.array(processes.summed(*sums.tolist()))

    def _losses(
        self, one: SessionPass, candidates: tuple[Tensor, Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Both losses of some windows; `candidates` as `_candidates` returns them."""
        output, t = self.reader.read(one.batch)
        rows, log_q = candidates  # (C,)
        session, place, target = places(one.windows)
        targets = torch.from_numpy(target).to(t.device)  # (n,)
        scores = self.heads(t.float(), self.table[rows])  # (n, C)
        column = torch.searchsorted(rows, targets)  # (n,)
        seen = contained(prefix_items(one.windows, session, place), rows)  # (n, C)
        generation = output.loss if self.config.generation else t.new_zeros(())
        return generation, info_nce(scores, column, log_q=log_q, exclude=seen)

    def _candidates(
        self, batch: list[np.ndarray], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Ascending rows (C,) of the candidates of a batch of windows, and the log-probability with
        which each one is sampled; None if all warm items are candidates."""
        warm, lengths = self.shop.warm_rows, np.array([len(window) for window in batch])
        sample = sample_items(
            len(warm),
            self.config.max_negatives,
            rng,
            targets=np.searchsorted(warm, places(batch)[2]),
            absent=lambda columns: self.batch_targets.absent(lengths, warm[columns]),
        )
        if sample is None:
            return self.warm, None
        log_q = torch.from_numpy(sample.log_q).float()  # (C,)
        return self.warm[torch.from_numpy(sample.columns)], log_q.to(self.warm.device)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        windows = self.windows["validation"][:MAX_VALIDATION]
        if not windows:
            return {}
        with self.mllm.autocast():
            batches = by_length(windows, self.config.batch_size)
            results = processes.parallel_map(self._validate_batch, batches)
        reciprocal = [one for ranks, _ in results for one in ranks]
        values = {"MRR@20": round(float(np.mean(reciprocal)), 4)}
        if self.config.generation:
            values["L_gen"] = round(float(np.mean([loss for _, loss in results])), 4)
        return values

    def _validate_batch(self, batch: list[np.ndarray]) -> tuple[list[float], float]:
        """Reciprocal ranks of a batch's targets among warm items, and its L_gen; 0 if it is not used."""
        output, t = self.reader.read(self.reader.collate(batch, labels=True))
        loss = float(output.loss) if self.config.generation else 0.0
        session, place, target = places(batch)
        scores = self.heads(t.float(), self.table[self.warm])  # (n, n_warm)
        seen = contained(prefix_items(batch, session, place), self.warm)
        scores = scores.masked_fill(seen, -torch.inf)
        where = torch.searchsorted(self.warm, torch.from_numpy(target).to(t.device))
        return reciprocal_ranks(scores, where).tolist(), loss

    @torch.no_grad()
    def _save_features(self) -> None:
        """Compute and store the features that later stages need."""
        arrays = {f"{split}.t": self._features(split) for split in self.windows}
        t = torch.from_numpy(arrays["train.t"]).to(self.mllm.device)
        arrays["train.vectors"] = (self.heads.session(t) * self.heads.scale).cpu().numpy()
        arrays["item_vectors"] = self.heads.item(self.table).cpu().numpy()
        self.stage.save_arrays("features", arrays)

    def _features(self, split: str) -> np.ndarray:
        """Features t of all prefixes of a split: (n_prefixes, d) float32."""
        windows = self.windows[split]
        order = sorted(range(len(windows)), key=lambda number: len(windows[number]))
        size = 4 * self.config.batch_size

        def read(part: range) -> dict[str, np.ndarray]:
            own = [windows[number] for number in order[part.start : part.stop]]
            ends = np.cumsum([0, *(len(window) - 1 for window in own)])
            features = np.zeros((ends[-1], self.mllm.hidden_size), np.float32)
            for start in processes.share(range(0, len(own), size)):
                with self.mllm.autocast():
                    _, t = self.reader.read(self.reader.collate(own[start : start + size]))
                features[ends[start] : ends[start] + len(t)] = t.float().cpu().numpy()
            processes.sum_in_place(features)
            return {"t": features}

        found = in_chunks(len(order), read, self.stage, f"reading {split} sessions", split)["t"]
        starts = np.cumsum([0, *(len(window) - 1 for window in windows)])
        rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])
        return found[np.argsort(rows)]


STAGE = StageSpec(
    "transfer",
    run,
    config="transfer",
    settings=("inputs", "transfer", "seed"),
    wanted=lambda config: config.has_transfer,
    needs=("pictures", "descriptions", "knowledge"),
)
