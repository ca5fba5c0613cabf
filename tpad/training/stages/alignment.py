"""Tunes the student on sessions, so that it reads an item as what shoppers click around it.

A LoRA adapter on the first layers of the base model reads each item. The means over its tokens, in a fixed
whitened space, are `k_tau`. Those of the base model without the adapter are `k_nu`, so both are equal before
training. With r(s) the recency-weighted mean of the `k_tau` of a session's items,

    L = L_next + w · (−I_low(k_tau(next item); t_tau(session)))

- L_next is InfoNCE of a · cos(r(s), k_tau(j)) over the targets of the batch, corrected by the log of their
  inclusion probability [ours].
- I_low is the paper's transitional pattern alignment [paper]: it ties the next item to what the
  Transfer-MLLM made of the session. The teacher's side is fixed, so that it cannot follow the student
  [ours].
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.data.negatives import BatchTargets
from tpad.data.pseudo_cold import hold_out, pseudo_cold
from tpad.distributed import processes
from tpad.mllm.adapters import LoraSettings
from tpad.model.item_encoder import STUDENT
from tpad.model.item_features import concatenated
from tpad.model.whitening import Whitening
from tpad.settings import Count, CountOrZero, Positive, Weight, settings
from tpad.training.context import Context
from tpad.training.information.bounds import info_nce, make_lower_bound, repeated_targets
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.ranking import contained, reciprocal_ranks
from tpad.training.stage import StageSpec
from tpad.training.stages.item_reading import ItemReader
from tpad.training.stages.prefixes import places, prefix_items
from tpad.training.stages.session_reading import by_length
from tpad.training.stages.transfer import Transfer
from tpad.training.workspace import Stage

MAX_VALIDATION = 300  # validation windows; their items are read for each report
SCALE = 12.0  # factor a of the cosine at the start
SAVE_EVERY = 25  # steps
REPORT_EVERY = 100  # steps


@settings
class AlignmentConfig:
    """Settings of the stage `alignment`."""

    steps: CountOrZero = 0
    """Training steps; 0 leaves out `k_tau`. 200 steps are several passes over 2,000 sessions. Off by default,
    because it showed no gain over the frozen features (`docs/results/learning-curves.md`)."""
    batch_size: Count = 48
    """Sessions per step. The targets of a batch are the negatives of each other."""
    items_per_pass: Count = 512
    """Items whose graph is kept in memory. If a batch has more, all items are read twice."""
    learning_rate: Weight = 5e-4
    """Peak learning rate of the adapter."""
    rank: Count = 8
    """Rank of the LoRA adapter."""
    width: Count = 192
    """Size of `k_tau` and of `k_nu`."""
    max_items: Count = 10
    """Maximum number of items of a session, the most recent ones."""
    recency: Positive = 3.0
    """Number of steps back over which the weight of a session's item decays by e."""
    exclude_pseudo_cold: bool = True
    """Whether the student is trained without clicks on the pseudo-cold items on which recommenders are
    tuned, so that these resemble cold items. With `teacher_weight`, it is trained on all items, as the
    Transfer-MLLM is."""
    teacher_weight: Weight = 0.0
    """Weight of `−I_low(k_tau(next item); t_tau(session))`, which needs the Transfer-MLLM; 0 leaves both
    out."""


def run(config: AlignmentConfig, context: Context, stage: Stage) -> Whitening:
    """Create and tune the student's adapter, which is named `student` in `context.mllm`.

    Returns:
        The space: it turns the means over an item's tokens into `k_tau` or `k_nu`.
    """
    mllm, (layer,) = context.mllm, context.layers
    if stage.done and config.steps:
        mllm.adapters.load(STUDENT, stage.folder / "adapter")
    elif not stage.done:
        torch.manual_seed(context.seed)
        training = _Training(config, context, stage)
        if config.steps:
            settings = LoraSettings(rank=config.rank, alpha=2.0 * config.rank, layers=layer)
            mllm.adapters.add(STUDENT, settings)
            training.run()
            if processes.is_main():
                mllm.adapters.save(STUDENT, stage.folder / "adapter")
        state = training.whitening.state_dict()
        stage.save_arrays("whitening", {name: one.cpu().numpy() for name, one in state.items()})
        stage.finish()
    arrays = stage.load_arrays("whitening")
    whitening = Whitening(*arrays["matrix"].shape)
    whitening.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return whitening.to(mllm.device)


class _Training:
    """One training run of the stage."""

    def __init__(self, config: AlignmentConfig, context: Context, stage: Stage) -> None:
        self.config, self.stage, self.seed = config, stage, context.seed
        shop, (layer,) = context.shop, context.layers
        self.mllm, self.shop, dataset = context.mllm, shop, shop.dataset
        self.reader = ItemReader(shop, layer, config.items_per_pass)
        teacher: Transfer | None = context["transfer"] if config.teacher_weight else None
        if teacher is not None:
            self.windows = teacher.train.windows
        else:
            kept = np.ones(len(dataset), bool)
            if config.exclude_pseudo_cold:
                kept = ~pseudo_cold(~dataset.cold)
            self.windows = hold_out(dataset.train, kept).windows(config.max_items)
        self.targets = BatchTargets(self.windows, len(dataset))
        self.validation = [
            window
            for window in dataset.validation.windows(config.max_items)
            if not dataset.cold[window].any()  # items that appeared after training
        ][:MAX_VALIDATION]
        frozen = concatenated(context["knowledge"]).numpy()[shop.warm_rows]  # (n_warm, D)
        self.whitening = Whitening.fit(frozen, config.width).to(self.mllm.device)
        scale = torch.tensor(float(np.log(SCALE)), device=self.mllm.device)
        self.log_scale = nn.Parameter(scale)
        self.alignment = None if teacher is None else _Alignment(teacher, self.whitening.width)
        if self.alignment is not None:
            self.alignment.to(self.mllm.device)

    def run(self) -> None:
        config, stage = self.config, self.stage
        adapter = self.mllm.adapters.parameters(STUDENT)
        critic = [] if self.alignment is None else list(self.alignment.parameters())
        groups = [
            {"params": adapter, "lr": config.learning_rate},
            {"params": [self.log_scale], "lr": 10 * config.learning_rate},
        ]
        if critic:
            groups.append({"params": critic, "lr": 1e-3})
        optimisation = Optimisation(groups, config.steps, weight_decay=0.01, split=True)
        named = enumerate([*adapter, *critic, self.log_scale])
        tensors = {str(number): parameter for number, parameter in named}
        taken = optimisation.taken = stage.load_epoch(tensors, *optimisation.optimizers)
        batches = islice(self._batches(), taken, config.steps)
        losses: list[float] = []
        with self.mllm.adapters.use(STUDENT):
            if not taken:
                self._report(0, losses)
            for numbers in stage.bar(batches, config.steps - taken, "reading sessions"):
                losses.append(self._step(numbers, optimisation))
                taken += 1
                if taken % SAVE_EVERY == 0:
                    stage.save_epoch(taken, tensors, *optimisation.optimizers)
                if taken % REPORT_EVERY == 0 or taken == config.steps:
                    self._report(taken, losses)
                    losses = []

    def _batches(self) -> Iterator[list[int]]:
        """Batches of windows of similar length by their numbers, pass after pass over all windows."""
        epoch = 0
        while True:
            rng = epoch_generator(self.seed, "alignment", epoch)
            order = rng.permutation(len(self.windows)).tolist()
            yield from by_length(order, self.config.batch_size, rng, self._length)
            epoch += 1

    def _length(self, number: int) -> int:
        return len(self.windows[number])

    def _step(self, numbers: list[int], optimisation: Optimisation) -> float:
        """One step on a batch of windows; returns L_next."""
        windows = [self.windows[number] for number in numbers]
        rows = np.unique(np.concatenate(windows))  # (n,)
        self.mllm.model.train()
        features = self.reader.with_gradients(rows)  # (n, D)
        k_tau = self.whitening(features)  # (n, h)
        following = self._next_loss(k_tau, rows, windows)
        loss = following
        if self.alignment is not None:
            aligned = self.alignment(k_tau, rows, windows, numbers)
            loss = loss + self.config.teacher_weight * aligned
        optimisation.zero_grad()
        # Each process has the whole loss, but reads only its share of the items.
        (loss / processes.size()).backward()
        if features.is_leaf:  # otherwise the gradient has passed
            assert features.grad is not None
            self.reader.backward(rows, features.grad * processes.size())
        optimisation.step()
        self.mllm.model.eval()
        return float(following.detach())

    def _next_loss(self, k_tau: Tensor, rows: np.ndarray, windows: list[np.ndarray]) -> Tensor:
        """L_next of all prefixes of some windows, whose items `rows` (n,) have `k_tau` (n, h)."""
        session, place, target = places(windows)
        prefixes = prefix_items(windows, session, place)
        candidates = np.unique(target)  # (C,)
        lengths = np.array([len(window) for window in windows])
        log_q = np.log1p(-self.targets.absent(lengths, candidates))  # (C,)
        scores = self._scores(k_tau, rows, prefixes)[:, np.searchsorted(rows, candidates)]  # (m, C)
        device = k_tau.device
        return info_nce(
            scores,
            torch.from_numpy(np.searchsorted(candidates, target)).to(device),
            log_q=torch.from_numpy(log_q).to(device),
            exclude=contained(prefixes, torch.from_numpy(candidates).to(device)),
        )

    def _scores(self, k_tau: Tensor, rows: np.ndarray, prefixes: list[np.ndarray]) -> Tensor:
        """a · cos(r(s), k_tau(j)) of all prefixes and items: (m, n)."""
        weights = np.zeros((len(prefixes), len(rows)), np.float32)
        for row, prefix in enumerate(prefixes):
            steps_back = np.arange(len(prefix))[::-1]
            decayed = np.exp(-steps_back / self.config.recency)
            np.add.at(weights[row], np.searchsorted(rows, prefix), decayed)
        mean = F.normalize(torch.from_numpy(weights).to(k_tau.device) @ k_tau, dim=1)  # (m, h)
        return self.log_scale.exp() * mean @ k_tau.T

    @torch.no_grad()
    def _report(self, step: int, losses: list[float]) -> None:
        """Log the mean loss, and the reciprocal ranks of targets among the items of all validation windows."""
        values = {"L_next": float(np.mean(losses))} if losses else {}
        if self.validation:
            rows = np.unique(np.concatenate(self.validation))  # (n,)
            k_tau = self.whitening(self.reader.features(rows))  # (n, h)
            session, place, target = places(self.validation)
            prefixes = prefix_items(self.validation, session, place)
            scores = self._scores(k_tau, rows, prefixes)  # (m, n)
            seen = contained(prefixes, torch.from_numpy(rows).to(scores.device))
            columns = torch.from_numpy(np.searchsorted(rows, target)).to(scores.device)
            ranks = reciprocal_ranks(scores.masked_fill(seen, -torch.inf), columns)
            values["validation MRR@20"] = float(ranks.mean())
        text = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.stage.say(f"step {step}/{self.config.steps}: {text}", epoch=step, **values)


class _Alignment(nn.Module):
    """−I_low(k_tau(next item); t_tau(session)) over the prefixes of a batch.

    Args:
        teacher: result of the Transfer-MLLM; `t_tau` is its projection for the next item.
        width: size of `k_tau`.
    """

    def __init__(self, teacher: Transfer, width: int) -> None:
        super().__init__()
        self.t_tau = torch.from_numpy(teacher.session_vectors)  # (prefixes, h_t), never trained
        lengths = [len(window) - 1 for window in teacher.train.windows]
        self.first = np.cumsum([0, *lengths])  # prefix of each window
        self.bound = make_lower_bound("infonce", width, self.t_tau.shape[1])

    def forward(
        self, k_tau: Tensor, rows: np.ndarray, windows: list[np.ndarray], numbers: list[int]
    ) -> Tensor:
        """The loss of windows with these numbers, whose items `rows` (n,) have `k_tau` (n, h)."""
        session, place, target = places(windows)
        prefix = self.first[np.array(numbers)[session]] + place  # (m,)
        t_tau = self.t_tau[torch.from_numpy(prefix)].to(k_tau)  # (m, h_t)
        own = k_tau[torch.from_numpy(np.searchsorted(rows, target))]  # (m, h)
        same = repeated_targets(torch.from_numpy(target).to(k_tau.device))
        return self.bound.loss(own, t_tau, exclude=same)


STAGE = StageSpec(
    "alignment",
    run,
    config="alignment",
    settings=("inputs", "knowledge.layers", "knowledge.max_text", "alignment", "seed"),
    needs=("pictures", "knowledge", "transfer"),
    wanted=lambda config: config.tau == "sessions",
)
