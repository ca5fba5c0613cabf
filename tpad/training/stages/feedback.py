"""Downstream feedback [ours; the paper names its absence a limitation].

The session recommender is trained over representations that stay alive: its loss flows through the
heads at every step, and into the student's adapter now and then. What it learns about items is kept
in the heads and the adapter; the recommender itself is thrown away, since every embedding set gets
the same one, trained from scratch, afterwards.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tpad.io.saved_state import optimizer_tensors, restore_optimizer, under
from tpad.settings import CountOrZero, Weight, settings
from tpad.training.context import Context
from tpad.training.fitting import fit_session_model
from tpad.training.optimisation import epoch_generator
from tpad.training.stage import StageSpec
from tpad.training.stages.distillation import Distilled
from tpad.training.stages.recommender import epoch_teller
from tpad.training.stages.student import ADAPTER
from tpad.training.workspace import Stage, named_tensors


@settings
class FeedbackConfig:
    """The recommender's loss flows back into heads and adapter."""

    epochs: CountOrZero = 4
    """Passes over the training sessions; 0 leaves the stage out."""
    learning_rate: Weight = 3e-4
    """Peak learning rate of recommender and heads."""
    adapter_learning_rate: Weight = 1e-4
    """Learning rate of the student's adapter."""
    adapter_every: CountOrZero = 14
    """Steps between two steps of the adapter."""


class LiveTable(nn.Module):
    """Item representations (n_items, d) with gradients into heads and adapter.

    Rows of cold items stay zero: they take no part in training. Evaluation reads the items anew.

    Args:
        distilled: scaler, heads and student.
        rows: (n_warm,) item rows that the student reads.
        n_items: number of items.
        fields: (n_items, d_fields) appended as they are, or None.
        config: how often the adapter steps, and how far.
    """

    def __init__(
        self,
        distilled: Distilled,
        rows: np.ndarray,
        n_items: int,
        fields: np.ndarray | None,
        config: FeedbackConfig,
    ) -> None:
        super().__init__()
        self.scaler, self.heads, self.student = distilled.scaler, distilled.heads, distilled.student
        parameters = self.student.parameters()
        # Registered, so that the best epoch's adapter is kept together with the best epoch's heads;
        # the outer optimiser never sees a gradient of it, since this module steps it itself.
        self.adapter = nn.ParameterList(parameters)
        self.adapter_optimizer = torch.optim.AdamW(parameters, lr=config.adapter_learning_rate)
        self.rows, self.n_items, self.every = torch.from_numpy(rows), n_items, config.adapter_every
        self.fields = None if fields is None else torch.from_numpy(fields)
        self.calls = 0
        self.table: Tensor | None = None  # (n_warm, D); None: to be read

    def forward(self) -> Tensor:
        if self.table is None or not self.training:
            self.table = self._read()
        if self.training:
            self.calls += 1
            gradient = self.table.grad
            if self.every and self.calls % self.every == 0 and gradient is not None:
                self._step_adapter(gradient)
                self.table = self._read()
        x = self.heads.represent(self.table)  # (n_warm, d)
        full = x.new_zeros(self.n_items, x.shape[1]).index_copy(0, self.rows.to(x.device), x)
        if self.fields is None:
            return full
        return torch.cat([full, self.fields.to(x.device)], dim=1)  # (n_items, d + d_fields)

    def _read(self) -> Tensor:
        with torch.no_grad():
            table = self.scaler(self.student.features().to(self.scaler.mean.device))
        return table.requires_grad_(True)  # (n_warm, D)

    def _step_adapter(self, gradient: Tensor) -> None:
        self.adapter_optimizer.zero_grad(set_to_none=True)
        self.student.backward(gradient / self.scaler.deviation)
        nn.utils.clip_grad_norm_(list(self.adapter), 1.0)
        self.adapter_optimizer.step()
        self.adapter_optimizer.zero_grad(set_to_none=True)


class _Checkpoint:
    """The stage's checkpoint, with what a live table knows beside its weights."""

    def __init__(self, stage: Stage, table: LiveTable) -> None:
        self.stage, self.table = stage, table

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        kept = self.stage.load_state()
        if kept is not None:
            tensors, facts = kept
            restore_optimizer(self.table.adapter_optimizer, under("adapter_optimizer.", tensors))
            self.table.calls = facts["calls"]
            self.table.table = None  # the adapter is about to get other weights
        return kept

    def save_state(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        own = optimizer_tensors(self.table.adapter_optimizer)
        tensors = tensors | {f"adapter_optimizer.{k}": v for k, v in own.items()}
        self.stage.save_state(tensors, facts | {"calls": self.table.calls})


def run(config: FeedbackConfig, context: Context, stage: Stage) -> None:
    """Changes heads and student of the result of `distillation` in place."""
    distilled: Distilled = context["distillation"]
    tensors = named_tensors(heads=distilled.heads)
    adapter = distilled.student.parameters()
    tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
    if not stage.done:
        distilled.student.helping(lambda: _train(config, context, stage))
        stage.save_arrays("weights", {k: v.detach().cpu().numpy() for k, v in tensors.items()})
        stage.finish()
    arrays = stage.load_arrays("weights")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(arrays[name]))
    distilled.heads.eval()


def _train(config: FeedbackConfig, context: Context, stage: Stage) -> None:
    shop, distilled = context.shop, context["distillation"]
    epoch_generator(context.seed, "feedback", 0)
    with shop.mllm.use_adapter(ADAPTER):
        table = LiveTable(distilled, shop.warm_rows, len(shop.dataset), context.fields, config)
        table.eval()
        with torch.no_grad():
            start = table().cpu().numpy()

        recommender = replace(
            context.recommender,
            epochs=config.epochs,
            pca=None,
            seed=context.seed,
            patience=config.epochs,
        )
        fit_session_model(
            start,
            shop.dataset.train,
            shop.dataset.validation,
            ~shop.dataset.cold,
            recommender,
            progress=epoch_teller(stage),
            bar=stage.bar,
            checkpoint=_Checkpoint(stage, table),
            table_fn=table,
            table_learning_rate=config.learning_rate,
            device=str(shop.mllm.device),
        )


STAGE = StageSpec(
    "feedback",
    run,
    config="feedback",
    settings=("feedback", "recommender", "fields", "seed"),
    needs=("pictures", "distillation"),
    wanted=lambda config: config.feedback.epochs > 0,
)
