"""The settings of distillation, and the small networks that it trains."""

from typing import Literal

import torch
from torch import Tensor, nn

from tpad.model.heads import HeadsConfig, Intrinsic, KnowledgeHeads, TransferHeads
from tpad.settings import Count, CountOrZero, Positive, Weight, settings
from tpad.training.context import Context
from tpad.training.information.bounds import make_lower_bound
from tpad.training.information.disentangling import Disentangler
from tpad.training.stages.distillation_data import TrainingData


@settings
class DistillationConfig(HeadsConfig):
    """Settings of the stage `distillation`."""

    exclude_pseudo_cold: bool = False
    """Whether the heads are trained without the pseudo-cold items on which recommenders are tuned, so
    that these resemble cold items. The student is trained on them in any case."""
    relative: bool = True
    """Whether to subtract from the teacher's log-likelihood of a description its mean over sessions.
    Otherwise it mostly reflects the length of the text: short ones are more likely after any session."""
    temperature: Positive = 1.0
    """Temperature of teacher and student in `L_kd`."""
    epochs: CountOrZero = 30
    """Passes over the training prefixes; 0 leaves the heads as initialised by `describing`."""
    batch_size: Count = 256
    """Prefixes per step."""
    learning_rate: Weight = 1e-3
    """Peak learning rate of the heads."""
    adapter_learning_rate: Weight = 5e-4
    """Peak learning rate of the student's adapter."""
    adapter_every: CountOrZero = 80
    """Steps of the heads per step of the student's adapter, which needs a pass over all items; 0
    freezes the adapter."""
    imagined_batch: Count = 1_024
    """Imagined items per step in the intrinsic loss."""
    weight_decay: Weight = 0.05
    """Weight decay of the heads."""
    generative: bool = True
    """Whether `L_kd` is used."""
    align: bool = True
    """Whether the transitional parts are aligned by `−I_low`."""
    lower_bound: Literal["infonce", "mine", "nwj", "jsd"] = "infonce"
    """Estimator `I_low`: "infonce", "mine", "nwj" or "jsd"."""
    kd_weight: Weight = 1.0
    """Weight of `L_kd`."""
    next_weight: Weight = 0.5
    """Weight of the next-item InfoNCE on transitional parts."""
    align_weight: Weight = 0.2
    """Weight of `−I_low`."""
    separate_weight: Weight = 0.02
    """λ, the weight of both `I_up` terms, after a linear warm-up."""
    describe_weight: Weight = 1.0
    """Weight of `L_intrinsic`."""
    seen_weight: Weight = 0.1
    """Weight of `L_seen`, the words of the session's items predicted from `t_nu`."""


class Networks(nn.Module):
    """Heads, bounds and scales; the heads start with the word predictions of the stage `describing`.

    Args:
        config: sizes and weights.
        context: results of `describing` and `student`.
        data: training data.
    """

    def __init__(self, config: DistillationConfig, context: Context, data: TrainingData) -> None:
        super().__init__()
        d, d_t, n_words = data.table.shape[1], context.mllm.hidden_size, data.words.shape[1]
        n_given = 0 if context.given is None else context.given.shape[1]
        self.heads = KnowledgeHeads(d, d_t, n_words, config, n_given)
        if config.words:
            token = slice(d - n_given - d_t, d - n_given)
            self._initialise_words(context["describing"], data, token)
        tau, nu = self.heads.tau_width, self.heads.nu_width
        self.transfer_heads = TransferHeads(d_t, config)
        # Words have their own loss; any other intrinsic part needs one.
        self.intrinsic = None if config.words else Intrinsic(nu, n_words, d)
        self.seen = nn.Linear(config.tau, n_words)
        self.bound = make_lower_bound(config.lower_bound, tau, tau)
        self.apart_k, self.apart_t = (
            Disentangler(
                config.tau, width, weight=config.separate_weight, warmup_steps=500, inner_steps=3
            )
            for width in (nu, config.tau)
        )
        self.log_scale = nn.ParameterList([nn.Parameter(torch.tensor(1.0)) for _ in range(2)])

    def _initialise_words(
        self, reader: tuple[Tensor, Tensor], data: TrainingData, token: slice
    ) -> None:
        """Initialise the word predictions with the linear layer of the stage `describing`.

        Its weight (W, d_last) and bias (W,) apply to the raw last token, but the table is standardised.
        """
        describe = self.heads.describe
        assert describe is not None
        mean, deviation = (part[token].cpu() for part in (data.scaler.mean, data.scaler.deviation))
        weight, bias = (part.cpu() for part in reader)
        with torch.no_grad():
            describe.weight.zero_()
            describe.weight[:, : weight.shape[1]].copy_(weight * deviation)
            describe.bias.copy_(bias + weight @ mean)

    @property
    def trained(self) -> dict[str, nn.Module]:
        """Modules that the main optimiser trains, besides the scales; the distribution q of each upper
        bound has its own optimiser."""
        parts: dict[str, nn.Module | None] = {
            "heads": self.heads,
            "transfer_heads": self.transfer_heads,
            "bound": self.bound,
            "seen": self.seen,
            "intrinsic": self.intrinsic,
        }
        return {name: part for name, part in parts.items() if part is not None}
