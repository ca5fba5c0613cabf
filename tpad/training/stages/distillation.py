"""Aligns and distils the transitional pattern into the student.

    L = kd · L_kd + next · L_next + align · (−I_low(k_tau(next item); t_tau(session)))
        + λ · [I_up(k_tau; k_nu) + I_up(t_tau; t_nu)] + describe · L_intrinsic + seen · L_seen

`I_low` and `I_up` form the paper's transitional pattern alignment [paper: mutual-information estimators
tie the transitional parts]. In `I_low`, the teacher's side is fixed, so that it cannot follow the student
[ours]. The choice of estimators, `L_kd`, `L_intrinsic` (`k_nu` predicts the words of the item's description)
and `L_seen` (`t_nu` predicts the words of the items in the session) are [ours].

Teacher features are computed once. The heads train on them for many epochs, and the student's adapter
takes a step every `adapter_every` steps (see `student.py`). With several processes, the main process
trains the heads, and all processes run the student.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tpad.model.heads import KnowledgeHeads, TransferHeads, word_loss
from tpad.model.scaler import FeatureScaler
from tpad.model.session.batching import PADDING, pad_sessions
from tpad.training.context import Context
from tpad.training.information.bounds import info_nce, repeated_targets
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.ranking import contained, reciprocal_ranks
from tpad.training.sampled_softmax import Sampling, some_cases
from tpad.training.stage import StageSpec
from tpad.training.stages.distillation_data import training_data
from tpad.training.stages.distillation_networks import DistillationConfig, Networks
from tpad.training.stages.distillation_steps import (
    StepItems,
    StepSampler,
    kd_loss,
    sampled_next_loss,
    words_seen,
)
from tpad.training.stages.prefixes import Prefixes
from tpad.training.stages.student import Student
from tpad.training.stages.teacher import TeacherScores, relative
from tpad.training.stages.transfer import Transfer
from tpad.training.stages.word_prediction import fit_word_predictions
from tpad.training.workspace import Stage, named_tensors

KD_BATCH = 32  # prefixes with teacher scores in each step
ALIGN_BATCH = 256  # prefixes, and items, on which each step estimates mutual information
SAMPLING = Sampling()


@dataclass
class Distilled:
    """The result of distillation.

    Attributes:
        scaler: standardises the concatenated item features.
        heads: compute the item representation.
        transfer_heads: split the teacher's features of sessions.
        student: computes the features of the training items.
    """

    scaler: FeatureScaler
    heads: KnowledgeHeads
    transfer_heads: TransferHeads
    student: Student


def run(config: DistillationConfig, context: Context, stage: Stage) -> Distilled:
    """Train the heads and the student's adapter, which is named `student` in `context.mllm`."""
    torch.manual_seed(context.seed)
    training = _Training(config, context, stage)
    if not stage.done:
        training.student.run_on_main(training.run)
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
    """One training run of the stage."""

    def __init__(self, config: DistillationConfig, context: Context, stage: Stage) -> None:
        transfer: Transfer = context["transfer"]
        self.config, self.stage, self.seed = config, stage, context.seed
        data = training_data(context, config.exclude_pseudo_cold)
        self.rows, self.student, self.scaler = data.rows, data.student, data.scaler
        self.table, self.imagined = data.table, data.imagined  # (n_warm, D), (m, D)
        self.column, self.words = data.column, data.words
        self.n_warm, device = len(self.rows), self.table.device
        self.warm = torch.from_numpy(self.rows).to(device)  # (n_warm,)
        self.networks = Networks(config, context, data).to(device)
        self.heads, self.transfer_heads = self.networks.heads, self.networks.transfer_heads
        self.fits_words_first = config.words and context.given is not None

        self.train, self.validation = transfer.train, transfer.validation
        self.train_cases, self.validation_cases = (
            np.flatnonzero(np.isin(prefixes.target, self.rows))
            for prefixes in (self.train, self.validation)
        )  # numbers of the prefixes whose target is in the table
        self.step_items = StepSampler(
            data.column.cpu().numpy()[self.train.target[self.train_cases]],
            self.n_warm,
            len(self.imagined),
            config.imagined_batch,
            SAMPLING,
        )
        if self.step_items.sampler is not None:
            cases = self.validation_cases
            self.validation_cases = cases[some_cases(len(cases), SAMPLING.validation_cases)]
        self.t = torch.from_numpy(self.train.features).to(device)  # (n_prefixes, d)
        self.teacher: TeacherScores | None = context["teacher"]
        if self.teacher is not None and config.relative:
            self.teacher = relative(self.teacher)

    def weights(self) -> dict[str, Tensor]:
        """Tensors that the stage stores."""
        adapter = self.student.parameters()
        return named_tensors(
            heads=self.heads, transfer_heads=self.transfer_heads, scaler=self.scaler
        ) | {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}

    def run(self) -> None:
        config = self.config
        steps = -(-len(self.train_cases) // config.batch_size)
        adapter = self.student.parameters()
        networks = self.networks
        heads = [p for module in networks.trained.values() for p in module.parameters()]
        optimisation = Optimisation(
            [
                {"params": heads, "lr": config.learning_rate, "weight_decay": config.weight_decay},
                # The parts are normalised, so this one number scales all scores: it needs a high rate.
                {"params": networks.log_scale.parameters(), "lr": 10 * config.learning_rate},
                {"params": adapter, "lr": config.adapter_learning_rate},
            ],
            steps=config.epochs * steps,
            clip=5.0,
        )
        tensors = named_tensors(
            **networks.trained,
            scale=networks.log_scale,
            apart_k=networks.apart_k,
            apart_t=networks.apart_t,
        )
        tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
        # The distribution q of each upper bound has its own optimiser.
        optimizers = (
            *optimisation.optimizers,
            networks.apart_k.club.optimizer,
            networks.apart_t.club.optimizer,
        )
        first = self.stage.load_epoch(tensors, *optimizers)
        optimisation.taken = first * steps
        if not first and self.fits_words_first:
            nats = fit_word_predictions(
                self.heads, self.table, self.words[: self.n_warm], self.seed
            )
            self.stage.say(
                f"words from given vectors: {nats:.3f} nats per held-out item", named=nats
            )
        if first and config.adapter_every:  # otherwise the adapter has not changed
            self._update_table()
        for epoch in range(first, config.epochs):
            self._epoch(epoch, steps, optimisation)
            self.stage.save_epoch(epoch + 1, tensors, *optimizers)

    def _epoch(self, epoch: int, steps: int, optimisation: Optimisation) -> None:
        config = self.config
        rng = epoch_generator(self.seed, "distillation", epoch)
        self.networks.train()
        order = rng.permutation(self.train_cases)
        self.table = self.table.detach().requires_grad_(True)  # clears its gradient
        sums: dict[str, float] = {}
        what = f"epoch {epoch + 1}/{config.epochs}"
        for step in self.stage.bar(range(steps), steps, what):
            rows = order[step * config.batch_size : (step + 1) * config.batch_size]
            losses = self._losses(rows, rng)
            optimisation.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            # The last step of an epoch updates the adapter too, so that resumed runs get equal features.
            taken = optimisation.taken + 1
            adapts = config.adapter_every and (
                taken % config.adapter_every == 0 or (step == steps - 1 and taken > 1)
            )
            if adapts:
                assert self.table.grad is not None
                # (n_warm, D), of the features before they were scaled
                self.student.backward(self.table.grad / self.scaler.deviation)
            optimisation.step()
            if adapts:
                self._update_table()
                self.table.requires_grad_(True)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / steps
        mrr = self._validate()
        means = ", ".join(f"{name} {value:.3f}" for name, value in sums.items())
        explained = self._explained()
        self.stage.say(
            f"{what}: {means}, q explains {explained:.0%} of k_nu, validation MRR@20 {mrr:.4f}",
            epoch=epoch + 1,
            validation=mrr,
            explained=explained,
            **sums,
        )

    @torch.no_grad()
    def _explained(self) -> float:
        """Part of the variance of `k_nu` that q explains by `k_tau`.

        `I_up` is an upper bound only if q is fitted. `python -m tpad probe` measures what can be explained.
        """
        self.networks.eval()
        return self.networks.apart_k.explained(*self.heads(self.table))

    def _update_table(self) -> None:
        """Recompute the student's features after its adapter has changed."""
        features = self.student.features().to(self.scaler.mean.device)
        self.table = self.scaler(features).detach()  # (n_warm, D)

    def _losses(self, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        config, device = self.config, self.table.device
        scored = self._draw_teacher_scores(rng)
        targets = self.column[torch.from_numpy(self.train.target[rows]).to(device)]  # (B,)
        items = self.step_items.draw(targets, None if scored is None else scored[1], rng)
        every, n_warm = items.every, items.n_warm
        own = self.table if items.log_q is None else F.embedding(every[:n_warm], self.table)
        table = torch.cat([own, self.imagined[every[n_warm:] - self.n_warm]])  # (n, D)
        both_tau, both_nu = self.heads(table)  # (n, h_tau), (n, h_nu)
        tau, nu = both_tau[:n_warm], both_nu[:n_warm]
        t_tau, t_nu = self.transfer_heads(self.t[torch.from_numpy(rows).to(device)])  # (B, h_tau)
        losses = {}
        losses["next"] = config.next_weight * self._next_loss(rows, targets, t_tau, tau, items)
        if scored is not None:
            t, columns, likelihood = scored
            scores = self._scores(self.transfer_heads(t)[0], both_tau, 1)  # (S, n)
            kd = kd_loss(scores, every, columns, likelihood, config.temperature)
            losses["kd"] = config.kd_weight * kd
        if config.align:
            ids = targets[:ALIGN_BATCH]  # (b,)
            following = tau[torch.searchsorted(every[:n_warm], ids)]  # (b, h_tau)
            teacher = t_tau[:ALIGN_BATCH].detach()  # (b, h_tau)
            bound = self.networks.bound.loss(following, teacher, exclude=repeated_targets(ids))
            losses["align"] = config.align_weight * bound
        drawn = torch.from_numpy(rng.permutation(len(tau))[:ALIGN_BATCH]).to(device)  # (b,)
        of_items = self.networks.apart_k(tau[drawn], nu[drawn])
        of_sessions = self.networks.apart_t(t_tau[:ALIGN_BATCH], t_nu[:ALIGN_BATCH])
        losses["apart"] = of_items.loss + of_sessions.loss
        predicted = self.networks.seen(t_nu)  # (B, W)
        losses["seen"] = config.seen_weight * word_loss(
            predicted, words_seen(self._columns_seen(rows), self.words)
        )
        if self.networks.intrinsic is None:
            described = word_loss(self.heads.words(table), self.words[every])
        else:
            described = self.networks.intrinsic(both_nu, self.words[every], table.detach())
        losses["intrinsic"] = config.describe_weight * described
        return losses

    def _next_loss(
        self, rows: np.ndarray, targets: Tensor, t_tau: Tensor, tau: Tensor, items: StepItems
    ) -> Tensor:
        """Cross-entropy of the next items of some prefixes.

        Args:
            rows: (B,) numbers of the prefixes.
            targets: (B,) columns of their next items.
            t_tau: (B, h_tau), of the prefixes.
            tau: (n_warm, h_tau), of the training items of the step.
            items: of the step.
        """
        if items.candidates is None:
            scores = self._scores(t_tau, tau, 0)  # (B, n_warm)
            return info_nce(scores, targets, exclude=self._seen(self.train, rows))
        scores = self._scores(t_tau, tau[items.candidates], 0)  # (B, C)
        return sampled_next_loss(scores, targets, self._columns_seen(rows), items)

    def _columns_seen(self, rows: np.ndarray) -> Tensor:
        """Columns of the items of some prefixes: (B, L); PADDING where there is none."""
        padded, _ = pad_sessions([self.train.prefix(row) for row in rows])
        prefixes = padded.to(self.column.device)  # (B, L)
        return torch.where(prefixes >= 0, self.column[prefixes.clamp(min=0)], PADDING)

    def _draw_teacher_scores(
        self, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """A batch of teacher scores: t (S, d), columns (S, C), log-likelihoods (S, C)."""
        teacher, device = self.teacher, self.table.device
        if teacher is None:
            return None
        some = rng.integers(0, len(teacher.prefix), KD_BATCH)
        return (
            self.t[torch.from_numpy(teacher.prefix[some]).to(device)],
            self.column[torch.from_numpy(teacher.candidates[some]).to(device)],
            torch.from_numpy(teacher.log_likelihood[some]).to(device),
        )

    def _scores(self, t_tau: Tensor, tau: Tensor, which: int) -> Tensor:
        """Scaled dot products (n, n_warm); `which` selects the scale: 0 for clicks, 1 for likelihoods."""
        return t_tau @ tau.T * (self.networks.log_scale[which].exp() * self.heads.tau_width**-0.5)

    def _seen(self, prefixes: Prefixes, numbers: np.ndarray) -> Tensor:
        """(n, n_warm) bool: which items each prefix contains."""
        return contained([prefixes.prefix(number) for number in numbers], self.warm)

    @torch.no_grad()
    def _validate(self) -> float:
        """MRR@20 of `t_tau · k_tau` on the validation prefixes, among warm items."""
        if not len(self.validation_cases):
            return float("nan")
        self.networks.eval()
        tau, _ = self.heads(self.table)
        found = []
        for start in range(0, len(self.validation_cases), 1024):
            numbers = self.validation_cases[start : start + 1024]
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
    wanted=lambda config: config.tau == "words",
)
