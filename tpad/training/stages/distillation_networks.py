"""The settings of distillation, and the small networks that it trains."""

from typing import Literal

import torch
from torch import Tensor, nn

from tpad.model.heads import HeadsConfig, Intrinsic, KnowledgeHeads, TransferHeads
from tpad.settings import Count, CountOrZero, Positive, Weight, settings
from tpad.training.context import Context
from tpad.training.information.bounds import make_lower_bound
from tpad.training.information.disentangling import Disentangler
from tpad.training.stages.reading import Material


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


class Networks(nn.Module):
    """Heads, bounds and scales; the heads start from what the student says of each item.

    Args:
        config: sizes and weights.
        context: its results of `describing` and `student`.
        material: what is trained on.
    """

    def __init__(self, config: DistillationConfig, context: Context, material: Material) -> None:
        super().__init__()
        d, d_t, n_words = material.table.shape[1], context.mllm.hidden_size, material.words.shape[1]
        n_given = 0 if context.given is None else context.given.shape[1]
        d_last = 0 if context["student"] is None else d_t
        self.heads = KnowledgeHeads(d, d_last, n_words, config, n_given)
        if config.words and context["describing"] is not None:
            token = slice(d - n_given - d_last, d - n_given)
            self._start(context["describing"], material, token)
        tau, nu = self.heads.tau_width, self.heads.nu_width
        self.transfer_heads = TransferHeads(d_t, config)
        # Words are their own objective; any other intrinsic part gets one.
        self.intrinsic = None if config.words else Intrinsic(nu, n_words, d)
        self.bound = make_lower_bound(config.lower_bound, tau, tau)
        self.apart_k, self.apart_t = (
            Disentangler(
                config.tau, width, weight=config.separate_weight, warmup_steps=500, inner_steps=3
            )
            for width in (nu, config.tau)
        )
        self.log_scale = nn.ParameterList([nn.Parameter(torch.tensor(1.0)) for _ in range(2)])

    def _start(self, reader: tuple[Tensor, Tensor], material: Material, token: slice) -> None:
        """Has the heads name the words that the reader names.

        The reader's weights (W, d_last) and bias (W,) are for the raw last token; the table is
        standardised.
        """
        describe = self.heads.describe
        assert describe is not None
        mean, deviation = (
            part[token].cpu() for part in (material.scaler.mean, material.scaler.deviation)
        )
        weight, bias = (part.cpu() for part in reader)
        with torch.no_grad():
            describe.weight.zero_()
            describe.weight[:, : weight.shape[1]].copy_(weight * deviation)
            describe.bias.copy_(bias + weight @ mean)

    @property
    def trained(self) -> dict[str, nn.Module]:
        """What the stage's own optimiser trains, without the scales; q of each upper bound is fitted
        by an optimiser of its own."""
        parts: dict[str, nn.Module | None] = {
            "heads": self.heads,
            "transfer_heads": self.transfer_heads,
            "bound": self.bound,
            "intrinsic": self.intrinsic,
        }
        return {name: part for name, part in parts.items() if part is not None}
