"""Downstream feedback [ours; the paper lists its absence as a limitation].

The network of a recommender is trained together with the item representations: the gradient of its loss
reaches the heads in every step, and the student's adapter every `adapter_every` steps. The heads and the
adapter are kept. The network is discarded: afterwards every embedding set gets a recommender of its own,
trained from scratch.
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
from tpad.training.stages.recommender import epoch_reporter
from tpad.training.stages.student import ADAPTER
from tpad.training.workspace import Stage, named_tensors


@settings
class FeedbackConfig:
    """Settings of the stage `feedback`."""

    epochs: CountOrZero = 4
    """Passes over the training sessions; 0 disables the stage."""
    learning_rate: Weight = 3e-4
    """Peak learning rate of recommender and heads."""
    adapter_learning_rate: Weight = 1e-4
    """Learning rate of the student's adapter."""
    adapter_every: CountOrZero = 14
    """Steps of the recommender per step of the adapter."""


class LiveTable(nn.Module):
    """Item representations (n_items, d) that pass gradients to the heads and the adapter.

    Rows of cold items are zero, because they are not used in training. In evaluation mode, the student
    recomputes its features.

    Args:
        distilled: scaler, heads and student.
        rows: (n_warm,) rows of the items that the student reads.
        n_items: number of items.
        fields: (n_items, d_fields), appended unchanged; or None.
        config: settings of the stage.
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
        # Registered, so that the adapter of the best epoch is kept with its heads. The outer optimiser
        # sees no gradient of the adapter, because this module takes the adapter's steps.
        self.adapter = nn.ParameterList(parameters)
        self.adapter_optimizer = torch.optim.AdamW(parameters, lr=config.adapter_learning_rate)
        self.rows, self.n_items, self.every = torch.from_numpy(rows), n_items, config.adapter_every
        self.fields = None if fields is None else torch.from_numpy(fields)
        self.calls = 0
        self.table: Tensor | None = None  # (n_warm, D); None: not computed yet

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
    """A checkpoint that also stores the state of a `LiveTable` besides its weights."""

    def __init__(self, stage: Stage, table: LiveTable) -> None:
        self.stage, self.table = stage, table

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        saved = self.stage.load_state()
        if saved is not None:
            tensors, facts = saved
            restore_optimizer(self.table.adapter_optimizer, under("adapter_optimizer.", tensors))
            self.table.calls = facts["calls"]
            self.table.table = None  # the weights of the adapter are about to change
        return saved

    def save_state(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        own = optimizer_tensors(self.table.adapter_optimizer)
        tensors = tensors | {f"adapter_optimizer.{k}": v for k, v in own.items()}
        self.stage.save_state(tensors, facts | {"calls": self.table.calls})


def run(config: FeedbackConfig, context: Context, stage: Stage) -> None:
    """Train the heads and the student of the stage `distillation` further, in place."""
    distilled: Distilled = context["distillation"]
    tensors = named_tensors(heads=distilled.heads)
    adapter = distilled.student.parameters()
    tensors |= {f"adapter.{n}": parameter for n, parameter in enumerate(adapter)}
    if not stage.done:
        distilled.student.run_on_main(lambda: _train(config, context, stage))
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
    with shop.mllm.adapters.use(ADAPTER):
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
            progress=epoch_reporter(stage),
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
    settings=("feedback", "recommender.content", "fields", "seed"),
    needs=("pictures", "distillation"),
    wanted=lambda config: config.feedback.epochs > 0 and config.tau == "words",
)
