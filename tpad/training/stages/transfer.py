"""The Transfer-MLLM learns from sessions what follows what [paper].

A LoRA twin of the base reads a session as a chat: each item is shown as picture and title, and the
reply is the description of the item that came next. So one causal pass trains every prefix. The last
token before a reply, the marker, carries the transition-aware feature `t` of that prefix.

    L = L_gen [paper: generation task] + w · L_next (InfoNCE of t against the next item's features)

With several processes each reads its share of a batch of sessions. All have drawn the same batch and
know its targets, so the negatives are those of the whole batch everywhere, without an exchange.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tpad.data.negatives import BatchTargets, sample_items
from tpad.distributed import processes
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.batches import Output
from tpad.model.scaler import FeatureScaler
from tpad.settings import Count, Weight, settings
from tpad.training.context import Context
from tpad.training.information.bounds import info_nce
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.ranking import held, reciprocal_ranks
from tpad.training.stage import StageSpec
from tpad.training.stages.knowledge import encode
from tpad.training.stages.prefixes import Prefixes, places, prefix_items
from tpad.training.workspace import Stage, named_tensors

ADAPTER = "transfer"
MAX_VALIDATION = 400  # sessions on which an epoch is judged


@settings
class TransferConfig:
    """The Transfer-MLLM reads sessions."""

    epochs: Count = 3
    """Passes over the training sessions."""
    batch_size: Count = 32
    """Sessions a step."""
    learning_rate: Weight = 2e-3
    """Peak learning rate of AdamW."""
    rank: Count = 16
    """Rank of the LoRA adapter."""
    max_items: Count = 8
    """Most recent items of a session that are read."""
    max_sessions: Count | None = None
    """Sessions used of each epoch (a random choice); None: all."""
    generation: bool = True
    """Whether the model learns to write the next item's description [paper: generation task]."""
    next_weight: Weight = 0.5
    """Weight of the next-item InfoNCE beside the generation task."""
    width: Count = 96
    """Size of the space in which session and item are compared."""
    max_negatives: Count = 4_096
    """Training items drawn as negatives of a step, besides the targets of its batch; if there are no
    more than so many, all are used."""
    max_title: Count = 80
    """Characters of a title that are read in a session."""


class NextHeads(nn.Module):
    """Compares session features with item features in one space.

    Args:
        d: size of a session feature t.
        d_item: size of the concatenated item features.
        width: size of the space.
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
    """What the Transfer-MLLM gives.

    Attributes:
        train, validation: prefixes with features.
        items: name -> (n_items, d), features of each item read as a session of one.
        session_vectors: (n_train_prefixes, h), item_vectors: (n_items, h); their dot product is the
            score of the next-item head.
    """

    train: Prefixes
    validation: Prefixes
    items: dict[str, np.ndarray]
    session_vectors: np.ndarray
    item_vectors: np.ndarray


def run(config: TransferConfig, context: Context, stage: Stage) -> Transfer:
    """Trains the Transfer-MLLM, then computes and keeps its features.

    The adapter is left in `context.mllm` under the name `transfer`.
    """
    shop = context.shop
    windows = {
        "train": shop.dataset.train.windows(config.max_items),
        "validation": [
            # A validation session may hold items that came after training; they cannot be ranked yet.
            window
            for window in shop.dataset.validation.windows(config.max_items)
            if not shop.dataset.cold[window].any()
        ],
    }
    if stage.done:
        shop.mllm.load_adapter(ADAPTER, stage.folder / "adapter")
    else:
        torch.manual_seed(context.seed)
        shop.mllm.add_adapter(ADAPTER, LoraSettings(rank=config.rank, alpha=2.0 * config.rank))
        _Training(config, context, stage, windows).run()
        stage.finish()
    arrays = stage.load_arrays("features")
    prefixes = {
        split: Prefixes(*places(windows[split]), arrays[f"{split}.t"], windows[split])
        for split in windows
    }
    items = {k.removeprefix("items."): v for k, v in arrays.items() if k.startswith("items.")}
    return Transfer(
        prefixes["train"],
        prefixes["validation"],
        items,
        arrays["train.vectors"],
        arrays["item_vectors"],
    )


def item_matrix(features: dict[str, np.ndarray], warm: np.ndarray) -> Tensor:
    """All named features side by side, standardised on the warm items: (n_items, D)."""
    joined = np.concatenate(list(features.values()), axis=1)
    return FeatureScaler.fit(joined, warm)(torch.from_numpy(joined))


class _Training:
    """One training of the Transfer-MLLM."""

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
        self.descriptions: list[str] = context["descriptions"]
        warm = ~shop.dataset.cold
        self.table = item_matrix(context["knowledge"], warm).to(self.mllm.device)  # (n_items, D)
        self.warm = torch.from_numpy(shop.warm_rows).to(self.mllm.device)  # (n_warm,)
        self.heads = NextHeads(self.mllm.hidden_size, self.table.shape[1], config.width)
        self.heads.to(self.mllm.device)
        self.batch_targets = BatchTargets(windows["train"], len(shop.dataset))

    def run(self) -> None:
        config = self.config
        limit = config.max_sessions or len(self.windows["train"])
        per_epoch = min(limit, len(self.windows["train"]))
        adapter = self.mllm.trainable_parameters(ADAPTER)
        optimisation = Optimisation(
            [
                {"params": adapter, "lr": config.learning_rate},
                {"params": self.heads.parameters(), "lr": 1e-3, "weight_decay": 0.05},
            ],
            steps=config.epochs * -(-per_epoch // config.batch_size),
            split=True,
        )
        tensors = named_tensors(heads=self.heads)
        tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
        first = self.stage.load_epoch(tensors, *optimisation.optimizers)
        optimisation.taken = first * -(-per_epoch // config.batch_size)
        with self.mllm.use_adapter(ADAPTER):
            for epoch in range(first, config.epochs):
                self._epoch(epoch, per_epoch, optimisation)
                self.stage.save_epoch(epoch + 1, tensors, *optimisation.optimizers)
            self.heads.eval()
            self._keep_features()
        if processes.is_main():
            self.mllm.save_adapter(ADAPTER, self.stage.folder / "adapter")

    def _epoch(self, epoch: int, per_epoch: int, optimisation: Optimisation) -> None:
        rng = epoch_generator(self.seed, "transfer", epoch)
        windows = self.windows["train"]
        chosen = rng.permutation(len(windows))[:per_epoch]
        self.mllm.model.train()
        self.heads.train()
        sums = np.zeros(2)
        batches = list(self._batches([windows[i] for i in chosen], rng))
        what = f"epoch {epoch + 1}/{self.config.epochs}"
        bar = self.stage.bar(batches, len(batches), what)
        for batch in bar:
            with self.mllm.autocast():
                written, following = self._losses(batch, rng)
            optimisation.step(written + self.config.next_weight * following)
            now = processes.summed(float(written.detach()), float(following.detach()))
            sums += now
            if hasattr(bar, "set_postfix"):
                bar.set_postfix(gen=f"{now[0]:.3f}", next=f"{now[1]:.3f}")
        self.mllm.model.eval()
        self.heads.eval()
        generation, following = sums / len(batches)
        judged = self._validate()
        self.stage.say(
            f"{what}: L_gen {generation:.3f}, L_next {following:.3f}, validation {judged}",
            epoch=epoch + 1,
            generation=generation,
            next=following,
            **judged,
        )

    def _batches(
        self, windows: list[np.ndarray], rng: np.random.Generator | None = None
    ) -> Iterator[list[np.ndarray]]:
        """Windows of like length together; in random order if `rng` is given."""
        size = self.config.batch_size
        order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        if rng is not None:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        for batch in batches:
            yield [windows[i] for i in batch]

    def _read(self, windows: list[np.ndarray], labels: bool) -> tuple[Output, Tensor]:
        """The model over some windows, and t of every prefix (n, d), window by window."""
        answers = self.descriptions if self.config.generation else None
        chats = []
        for window in windows:
            chat = self.shop.conversation(window, answers)
            chats.append(chat[:-1])  # nothing follows the last item: it is only a target
        batch = self.mllm.collate(chats, images=self.shop.images, with_labels=labels)
        output = self.mllm.forward(batch, need_logits=labels)
        rows, turns = torch.nonzero(batch.markers >= 0, as_tuple=True)
        places = batch.markers[rows, turns].to(self.mllm.device)
        return output, output.last_hidden[rows.to(self.mllm.device), places]  # (n, d)

    def _losses(self, batch: list[np.ndarray], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Both losses of a batch of windows, as far as this process's share makes them up."""
        windows, counts = processes.batch_share(batch)
        output, t = self._read(windows, labels=self.config.generation)
        session, place, target = places(windows)
        weights = processes.weights(output.n_targets * counts, len(target) * counts)
        written = weights[0] * (output.loss if self.config.generation else t.new_zeros(()))
        targets = torch.from_numpy(target).to(t.device)  # (n,)
        candidates, log_q = self._candidates(batch, rng)  # (C,)
        scores = self.heads(t.float(), self.table[candidates])  # (n, C)
        column = torch.searchsorted(candidates, targets)  # (n,)
        seen = held(prefix_items(windows, session, place), candidates)  # (n, C)
        return written, weights[1] * info_nce(scores, column, log_q=log_q, exclude=seen)

    def _candidates(
        self, batch: list[np.ndarray], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Sorted rows (C,) that compete in a batch of windows, and log of the probability with
        which each is among them; None where all warm items compete."""
        warm = self.shop.warm_rows
        sample = sample_items(
            len(warm),
            self.config.max_negatives,
            rng,
            targets=np.searchsorted(warm, places(batch)[2]),
            absent=self.batch_targets.absent(batch)[warm],
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
            found = processes.spread(self._judge, self._batches(windows))
        reciprocal = [one for ranks, _ in found for one in ranks]
        judged = {"MRR@20": round(float(np.mean(reciprocal)), 4)}
        if self.config.generation:
            judged["L_gen"] = round(float(np.mean([loss for _, loss in found])), 4)
        return judged

    def _judge(self, batch: list[np.ndarray]) -> tuple[list[float], float]:
        """Reciprocal ranks of a batch's targets among warm items, and its L_gen (or zero)."""
        output, t = self._read(batch, labels=self.config.generation)
        loss = float(output.loss) if self.config.generation else 0.0
        session, place, target = places(batch)
        scores = self.heads(t.float(), self.table[self.warm])  # (n, n_warm)
        seen = held(prefix_items(batch, session, place), self.warm)
        scores = scores.masked_fill(seen, -torch.inf)
        where = torch.searchsorted(self.warm, torch.from_numpy(target).to(t.device))
        return reciprocal_ranks(scores, where).tolist(), loss

    @torch.no_grad()
    def _keep_features(self) -> None:
        """Computes everything later stages need of the teacher, once."""
        arrays: dict[str, np.ndarray] = {}
        for split, windows in self.windows.items():
            features = np.zeros(
                (sum(len(w) - 1 for w in windows), self.mllm.hidden_size), np.float32
            )
            starts = np.concatenate([[0], np.cumsum([len(w) - 1 for w in windows])])
            order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
            size = 4 * self.config.batch_size
            chunks = [order[i : i + size] for i in range(0, len(order), size)]
            chunks = processes.share(chunks)
            for chunk in self.stage.bar(chunks, len(chunks), f"reading {split} sessions"):
                with self.mllm.autocast():
                    _, t = self._read([windows[i] for i in chunk], labels=False)
                rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in chunk])
                features[rows] = t.float().cpu().numpy()
            processes.add_up(features)
            arrays[f"{split}.t"] = features
        layers = sorted({0, self.mllm.num_layers // 2, self.mllm.num_layers})
        from_titles = [
            turn.item
            for row in range(len(self.shop.titles))
            for turn in self.shop.conversation(np.array([row]))
        ]
        encoded = encode(self.mllm, from_titles, layers=layers, images=self.shop.images)
        arrays |= {f"items.{k}": v for k, v in encoded.items()}
        t = torch.from_numpy(arrays["train.t"]).to(self.mllm.device)
        arrays["train.vectors"] = (self.heads.session(t) * self.heads.scale).cpu().numpy()
        arrays["item_vectors"] = self.heads.item(self.table).cpu().numpy()
        self.stage.save_arrays("features", arrays)


STAGE = StageSpec(
    "transfer",
    run,
    config="transfer",
    settings=("inputs", "transfer", "seed"),
    needs=("pictures", "descriptions", "knowledge"),
)
