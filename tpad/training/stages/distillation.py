"""Alignment and distillation of the transitional pattern into the student.

    L = kd · L_kd + next · L_next + align · (−I_low(k_tau; t_tau))
        + λ · [I_up(k_tau; k_nu) + I_up(t_tau; t_nu)] + describe · L_intrinsic

`I_low` and `I_up` make up the paper's transitional pattern alignment [paper: mutual-information
estimators tie the transitional parts]; which estimators, `L_kd` and `L_intrinsic` (naming the words of
the item's description) are [ours].
Teacher features are computed once; the heads train on them for many epochs, and the student's
adapter takes a step now and then (see `student.py`). With several processes, the main one trains the
heads, and all read for the student.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.model.heads import (
    HeadsConfig,
    Intrinsic,
    KnowledgeHeads,
    TransferHeads,
    description_words,
    naming_loss,
)
from tpad.model.scaler import FeatureScaler
from tpad.settings import Count, CountOrZero, Positive, Weight, settings
from tpad.training.context import Context
from tpad.training.information.bounds import Disentangler, info_nce, make_lower_bound
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.ranking import held, reciprocal_ranks
from tpad.training.stage import StageSpec
from tpad.training.stages.naming import learn_to_name
from tpad.training.stages.reading import what_is_read
from tpad.training.stages.student import GivenOnly, Student
from tpad.training.stages.teacher import Judgement, relative
from tpad.training.stages.transfer import Prefixes
from tpad.training.workspace import Stage, named_tensors

KD_BATCH = 32  # judged prefixes a step
ALIGN_BATCH = 256  # items a step on which mutual information is estimated
NEVER = -1e4  # score of what takes no part; finite, as KL of two infinities is not defined


@settings
class DistillationConfig(HeadsConfig):
    """Alignment and distillation into the student."""

    exclude_pseudo_cold: bool = False
    """Whether the heads are not trained on the pseudo-cold items on which recommenders are tuned, so that
    they read these as they read cold items. The student learns to describe them all the same."""
    relative: bool = True
    """Whether the teacher's likelihood of a description counts relative to its mean over sessions; without
    it, a free text counts by its length most of all: a short one is the likelier after any session."""
    temperature: Positive = 1.0
    """Temperature of teacher and student in `L_kd`."""
    epochs: CountOrZero = 30
    """Passes over the training prefixes; 0 leaves the heads as `describing` made them."""
    batch_size: Count = 256
    """Prefixes a step."""
    learning_rate: Weight = 1e-3
    """Peak learning rate of the heads."""
    adapter_learning_rate: Weight = 5e-4
    """Peak learning rate of the student's adapter."""
    adapter_every: CountOrZero = 80
    """Steps of the heads between two steps of the student's adapter, which reads all items once; 0
    leaves the adapter as it is after learning to describe."""
    imagined_batch: Count = 1_024
    """Imagined items a step on which the heads learn to describe."""
    weight_decay: Weight = 0.05
    """Weight decay of the heads."""
    generative: bool = True
    """Whether `L_kd` is used."""
    align: bool = True
    """Whether the transitional parts are tied together."""
    lower_bound: Literal["infonce", "mine", "nwj", "jsd"] = "infonce"
    """Estimator that ties them: infonce, mine, nwj or jsd."""
    kd_weight: Weight = 1.0
    """Weight of `L_kd`."""
    next_weight: Weight = 0.5
    """Weight of the next-item InfoNCE on transitional parts."""
    align_weight: Weight = 0.2
    """Weight of `−I_low`."""
    separate_weight: Weight = 0.02
    """λ, the weight of both `I_up`; warmed up."""
    describe_weight: Weight = 1.0
    """Weight of the intrinsic part's own objective: describe and reconstruct."""


@dataclass
class Distilled:
    """What distillation gives.

    Attributes:
        scaler: standardises the concatenated item features.
        heads: give the modal representation.
        student: reads the training items.
    """

    scaler: FeatureScaler
    heads: KnowledgeHeads
    transfer_heads: TransferHeads
    student: Student | GivenOnly


def run(config: DistillationConfig, context: Context, stage: Stage) -> Distilled:
    """Trains the heads, and the student, whose adapter is `student` in `context.mllm`."""
    torch.manual_seed(context.seed)
    training = _Training(config, context, stage)
    if not stage.done:
        training.student.helping(training.run)
        stage.save_arrays(
            "weights", {k: v.detach().cpu().numpy() for k, v in training.weights().items()}
        )
        stage.finish()
    arrays = stage.load_arrays("weights")
    with torch.no_grad():
        for name, tensor in training.weights().items():
            tensor.copy_(torch.from_numpy(arrays[name]))
    return Distilled(
        training.scaler, training.heads.eval(), training.transfer_heads.eval(), training.student
    )


class _Training:
    """One distillation."""

    def __init__(self, config: DistillationConfig, context: Context, stage: Stage) -> None:
        shop, imagined, transfer = context.shop, context["imagined"], context["transfer"]
        reader: tuple[Tensor, Tensor] | None = context["describing"]
        self.config, self.stage, self.seed = config, stage, context.seed
        device = shop.mllm.device
        read = what_is_read(context, config.exclude_pseudo_cold)
        rows, self.student = read.rows, read.student
        every = np.ones(len(rows), bool)
        self.scaler = FeatureScaler.fit(read.features.numpy(), every).to(device)
        self.table = self.scaler(read.features.to(device))  # (n_warm, D)
        self.n_warm = len(rows)
        self.rows = torch.from_numpy(rows).to(device)  # (n_warm,)
        self.imagined = self.scaler(read.imagined.to(device))  # (m, D)

        # Row of an item, or number of an imagined one after all items -> row of the table.
        n_items, n_known = len(shop.dataset), len(rows) + len(imagined.items)
        self.column = torch.full((n_items + len(imagined.items),), -1, device=device)
        known = np.concatenate([rows, np.arange(n_items, len(self.column))])
        self.column[torch.from_numpy(known)] = torch.arange(n_known, device=device)
        # The vocabulary is that of `describing`, whatever is met here.
        warm = shop.warm_rows
        texts = [context["descriptions"][row] for row in warm] + imagined.descriptions
        vocabulary, words = description_words(shop.mllm.tokenize_answers(texts), range(len(warm)))
        met = np.concatenate([np.isin(warm, rows), np.ones(len(imagined.items), bool)])
        self.words = words[torch.from_numpy(met)].to(device)  # (n_warm + m, W)

        d, d_t = self.table.shape[1], shop.mllm.hidden_size
        n_given = 0 if context.given is None else context.given.shape[1]
        d_last = 0 if context["student"] is None else d_t
        self.heads = KnowledgeHeads(d, d_last, len(vocabulary), config, n_given).to(device)
        describe = self.heads.describe  # None without words
        if describe is not None and reader is not None:
            # The reader's weights are for the raw last token; the table is standardised.
            token = slice(d - n_given - d_last, d - n_given)
            mean, deviation = self.scaler.mean[token], self.scaler.deviation[token]
            weight, bias = (part.to(device) for part in reader)  # (W, d_last), (W,)
            with torch.no_grad():
                describe.weight.zero_()
                describe.weight[:, :d_last].copy_(weight * deviation)
                describe.bias.copy_(bias + weight @ mean)
        self.names_first = describe is not None and n_given > 0
        width, nu_width = self.heads.tau_width, self.heads.nu_width
        self.transfer_heads = TransferHeads(d_t, config).to(device)
        # Words are their own objective; any other intrinsic part gets one.
        self.intrinsic = None
        if not config.words:
            self.intrinsic = Intrinsic(nu_width, len(vocabulary), d).to(device)
        self.bound = make_lower_bound(config.lower_bound, width, width).to(device)
        self.apart_k, self.apart_t = (
            Disentangler(
                config.tau, d_nu, weight=config.separate_weight, warmup_steps=500, inner_steps=3
            ).to(device)
            for d_nu in (nu_width, config.tau)
        )
        self.log_scale = nn.ParameterList([nn.Parameter(torch.tensor(1.0)) for _ in range(2)])
        self.log_scale.to(device)
        self.width = width

        self.train, self.validation = transfer.train, transfer.validation
        self.asked, self.judged = (
            np.flatnonzero(np.isin(prefixes.target, rows))
            for prefixes in (self.train, self.validation)
        )  # numbers of the prefixes whose target is in the table
        self.t = torch.from_numpy(self.train.features).to(device)  # (n_prefixes, d)
        last = f"last.{shop.mllm.num_layers}"
        self.t_items = torch.from_numpy(transfer.items[last][rows]).to(device)  # (n_warm, d)
        self.judgement: Judgement | None = context["teacher"]
        if self.judgement is not None and config.relative:
            self.judgement = relative(self.judgement)
        self.modules: dict[str, nn.Module] = {
            "heads": self.heads,
            "transfer_heads": self.transfer_heads,
            "bound": self.bound,
            "scale": self.log_scale,
        }
        if self.intrinsic is not None:
            self.modules["intrinsic"] = self.intrinsic

    def weights(self) -> dict[str, Tensor]:
        """What the stage keeps."""
        adapter = self.student.parameters()
        return named_tensors(
            heads=self.heads, transfer_heads=self.transfer_heads, scaler=self.scaler
        ) | {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}

    def run(self) -> None:
        config = self.config
        steps = -(-len(self.asked) // config.batch_size)
        adapter = self.student.parameters()
        heads = [
            parameter
            for name, module in self.modules.items()
            for parameter in module.parameters()
            if name != "scale"
        ]
        optimisation = Optimisation(
            [
                {"params": heads, "lr": config.learning_rate, "weight_decay": config.weight_decay},
                # The parts are normalised, so how sharp a score is hangs on one number: it must be quick.
                {"params": self.log_scale.parameters(), "lr": 10 * config.learning_rate},
                {"params": adapter, "lr": config.adapter_learning_rate},
            ],
            steps=config.epochs * steps,
            clip=5.0,
        )
        tensors = named_tensors(**self.modules, apart_k=self.apart_k, apart_t=self.apart_t)
        tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
        # q of each upper bound is fitted by an optimiser of its own.
        optimizers = (
            *optimisation.optimizers,
            self.apart_k.club.optimizer,
            self.apart_t.club.optimizer,
        )
        first = self.stage.load_epoch(tensors, *optimizers)
        optimisation.taken = first * steps
        if not first and self.names_first:
            nats = learn_to_name(self.heads, self.table, self.words[: self.n_warm], self.seed)
            self.stage.say(f"reads the given vectors: {nats:.3f} nats an item held out", named=nats)
        if first and config.adapter_every:  # else the adapter has not moved
            self._read_again()
        for epoch in range(first, config.epochs):
            self._epoch(epoch, steps, optimisation)
            self.stage.save_epoch(epoch + 1, tensors, *optimizers)

    def _epoch(self, epoch: int, steps: int, optimisation: Optimisation) -> None:
        config = self.config
        rng = epoch_generator(self.seed, "distillation", epoch)
        for module in (*self.modules.values(), self.apart_k, self.apart_t):
            module.train()
        order = rng.permutation(self.asked)
        self.table.requires_grad_(True)
        self.table.grad = None
        sums: dict[str, float] = {}
        what = f"epoch {epoch + 1}/{config.epochs}"
        for step in self.stage.bar(range(steps), steps, what):
            rows = order[step * config.batch_size : (step + 1) * config.batch_size]
            losses = self._losses(rows, rng)
            optimisation.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            # The last step of an epoch reads too, so that a resumed run starts from equal features.
            taken = optimisation.taken + 1
            adapts = config.adapter_every and (
                taken % config.adapter_every == 0 or (step == steps - 1 and taken > 1)
            )
            if adapts:
                gradient = self.table.grad / self.scaler.deviation  # (n_warm, D), of raw features
                self.student.backward(gradient)
            optimisation.step()
            if adapts:
                self._read_again()
                self.table.requires_grad_(True)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / steps
        judged = self._validate()
        told = ", ".join(f"{name} {value:.3f}" for name, value in sums.items())
        self.stage.say(
            f"{what}: {told}, validation MRR@20 {judged:.4f}",
            epoch=epoch + 1,
            validation=judged,
            **sums,
        )

    def _read_again(self) -> None:
        """Has the student read its items, after its adapter has moved."""
        features = self.student.features().to(self.scaler.mean.device)
        self.table = self.scaler(features).detach()  # (n_warm, D)

    def _losses(self, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        config, device = self.config, self.table.device
        judged = self._drawn_judgements(rng)
        # Only some imagined items are read: those judged in this step, and some to be described.
        some = rng.permutation(len(self.imagined))[: config.imagined_batch] + self.n_warm
        others = torch.from_numpy(some).to(device)
        if judged is not None:
            others = torch.cat([others, judged[1][judged[1] >= self.n_warm]])
        others = torch.unique(others)
        table = torch.cat([self.table, self.imagined[others - self.n_warm]])  # (n, D)
        every = torch.cat([torch.arange(self.n_warm, device=device), others])  # (n,), ascending
        both_tau, both_nu = self.heads(table)  # (n, h_tau), (n, h_nu)
        tau, nu = both_tau[: self.n_warm], both_nu[: self.n_warm]
        losses = {}
        chosen = torch.from_numpy(rows).to(device)
        t_tau, _ = self.transfer_heads(self.t[chosen])  # (B, h_tau)
        targets = self.column[torch.from_numpy(self.train.target[rows]).to(device)]  # (B,)
        scores = self._scores(t_tau, tau, 0)  # (B, n_warm)
        losses["next"] = config.next_weight * info_nce(
            scores, targets, exclude=self._seen(self.train, rows)
        )
        if judged is not None:
            losses["kd"] = config.kd_weight * self._distil(both_tau, every, *judged)
        drawn = rng.permutation(len(tau))[:ALIGN_BATCH]
        aligned = torch.from_numpy(drawn).to(device)  # (b,)
        i_tau, i_nu = self.transfer_heads(self.t_items[aligned])  # (b, h_tau) each
        if config.align:
            losses["align"] = config.align_weight * self.bound.loss(tau[aligned], i_tau)
        apart_k, apart_t = self.apart_k(tau[aligned], nu[aligned]), self.apart_t(i_tau, i_nu)
        losses["apart"] = apart_k.loss + apart_t.loss
        if self.intrinsic is None:
            own = naming_loss(self.heads.words(table), self.words[every])
        else:
            own = self.intrinsic(both_nu, self.words[every], table.detach())
        losses["intrinsic"] = config.describe_weight * own
        return losses

    def _drawn_judgements(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor] | None:
        """A batch of what the teacher judged: t (S, d), columns (S, C), log-likelihoods (S, C)."""
        judged, device = self.judgement, self.table.device
        if judged is None:
            return None
        some = rng.integers(0, len(judged.prefix), KD_BATCH)
        return (
            self.t[torch.from_numpy(judged.prefix[some]).to(device)],
            self.column[torch.from_numpy(judged.candidates[some]).to(device)],
            torch.from_numpy(judged.log_likelihood[some]).to(device),
        )

    def _distil(
        self, tau: Tensor, every: Tensor, t: Tensor, columns: Tensor, teacher: Tensor
    ) -> Tensor:
        """`L_kd = KL(softmax_j(log p_teacher / T) ‖ softmax_j(t_tau · k_tau(j) / T))`.

        Args:
            tau: (n, h_tau), k_tau of the items in `every`.
            every: (n,) ascending columns.
            t: (S, d) session features.
            columns: (S, C) candidates, all in `every`; −1 for one that is not in the table.
            teacher: (S, C) log-likelihoods.
        """
        temperature = self.config.temperature
        t_tau, _ = self.transfer_heads(t)  # (S, h_tau)
        lacking, columns = columns < 0, columns.clamp(min=0)
        scores = self._scores(t_tau, tau, 1).gather(1, torch.searchsorted(every, columns))  # (S, C)
        scores, teacher = (one.masked_fill(lacking, NEVER) for one in (scores, teacher))
        return F.kl_div(
            F.log_softmax(scores / temperature, dim=1),
            F.log_softmax(teacher / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )

    def _scores(self, t_tau: Tensor, tau: Tensor, which: int) -> Tensor:
        """Scaled dot products (n, n_warm); clicks and likelihoods have a sharpness of their own."""
        return t_tau @ tau.T * (self.log_scale[which].exp() * self.width**-0.5)

    def _seen(self, prefixes: Prefixes, numbers: np.ndarray) -> Tensor:
        """(n, n_warm) bool: items that a prefix already holds."""
        return held([prefixes.prefix(number) for number in numbers], self.rows)

    @torch.no_grad()
    def _validate(self) -> float:
        """MRR@20 of `t_tau · k_tau` on the validation prefixes, among warm items."""
        if not len(self.judged):
            return float("nan")
        for module in self.modules.values():
            module.eval()
        tau, _ = self.heads(self.table)
        found = []
        for start in range(0, len(self.judged), 1024):
            numbers = self.judged[start : start + 1024]
            t = torch.from_numpy(self.validation.features[numbers]).to(tau.device)
            scores = self._scores(self.transfer_heads(t)[0], tau, 0)  # (n, n_warm)
            scores = scores.masked_fill(self._seen(self.validation, numbers), -torch.inf)
            target = torch.from_numpy(self.validation.target[numbers]).to(tau.device)
            found.append(reciprocal_ranks(scores, self.column[target]))
        return float(torch.cat(found).mean())


STAGE = StageSpec(
    "distillation",
    run,
    config="distillation",
    settings=("distillation", "knowledge.layers", "seed"),
    needs=(
        "pictures",
        "descriptions",
        "transfer",
        "imagined",
        "teacher",
        "describing",
        "student",
    ),
    inputs=("vectors",),
)
