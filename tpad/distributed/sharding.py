"""A language model whose layers are split over the processes (FSDP), and whose passes keep in step.

Each process holds its part of every layer's weights; PyTorch's `fully_shard` gathers a layer from all
of them before its pass, forward or backward, and frees it afterwards. The base is frozen, so no
gradient of it is exchanged. Adapters, heads, embeddings and the vision tower are whole everywhere.

Gathering takes all processes at once, so all must make the same number of passes. A training step does
so anyhow: each process reads its share of a batch (`distributed.batch_share`). Where work without
gradients is shared out, one process may have more of it than another. So all vote before each pass, and
before whatever else all do at once (`meet`), on what they are about to do; and whoever has nothing left
to read makes an empty pass along with the others, until nobody has. Thus every pass is made by all, and
whatever is done together is begun when all passes are over.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from torch import Tensor, distributed as dist, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tpad.environment import variable
from tpad.errors import ConfigError, ProcessError, one_line

MEETS, READS, LEARNS = range(3)
"""What a process is about to do: something with all others, a pass, or a pass with gradients."""


@contextmanager
def all_present() -> Iterator[None]:
    """Around what all processes do at once: says in a sentence that one of them is missing."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # of gloo and NCCL: closed, timed out, sizes that differ
        raise ProcessError(
            "Another process of this training has ended, so this one stops; what that one said "
            f"tells why, and the same command goes on from here ({one_line(error)})."
        ) from error


def check_options() -> None:
    """Refuses what the launcher's `--fsdp_…` options ask for in vain.

    Where layers are cut, what is fetched ahead and how checkpoints look is settled here, whatever those
    options say, and FSDP is that of version 2.

    Raises:
        ConfigError: an option asks for something else than splitting every layer over all processes.
    """
    if parse_flag_from_env("FSDP_OFFLOAD_PARAMS"):
        raise ConfigError(
            "Weights are split over the processes' devices and not kept in main memory; leave out "
            "--fsdp_offload_params."
        )
    if parse_flag_from_env("FSDP_ACTIVATION_CHECKPOINTING"):
        raise ConfigError(
            "Leave out --fsdp_activation_checkpointing, and give --gradient-checkpointing to this "
            "command."
        )
    strategies = ("FULL_SHARD", "1", "TRUE")  # by name or number; of version 2 it is true
    for option in ("FSDP_SHARDING_STRATEGY", "FSDP_RESHARD_AFTER_FORWARD"):
        value = variable(option, strategies[0])
        if value.upper() not in strategies:
            raise ConfigError(
                f"Layers are split over all processes and freed after each pass; leave out "
                f"--{option.lower()} {value}."
            )


class Sharding:
    """Splits a model over all processes; one model at a time is in use.

    Args:
        device: "cpu" or "cuda".
        size: number of processes.
    """

    def __init__(self, device: str, size: int) -> None:
        self.size = size
        with all_present():
            self.mesh = init_device_mesh(device, (size,))
        self.language_model: Any = None  # the one in use
        self._empty = False  # whether an empty pass is under way
        # Else transformers would read the weights in the first process alone, for accelerate to send.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"

    def split(self, model: nn.Module) -> None:
        """Splits the layers of a model's language model, layer by layer, onto the device.

        To be called by all, in the weights' final number format, before there are adapters; what is not
        split stays where it is.
        """
        self.language_model = None  # an earlier one is over, and its memory free for this one
        language_model: Any = find_language_model(model)
        kind = type(language_model)
        layers = list(language_model.layers)
        for layer in layers:
            layer.requires_grad_(False)
            fully_shard(layer, mesh=self.mesh)
            layer.set_custom_all_gather(_Gather())
        # One root lets a layer be gathered while the one before computes.
        others = set(language_model.parameters()) - {p for one in layers for p in one.parameters()}
        fully_shard(language_model, mesh=self.mesh, ignored_params=others)
        # By a class's name transformers knows which hidden states it can give.
        language_model.__class__ = kind
        # Told of with checkpointing, and of no account for the root, which has no weights of its own.
        view = rf"FSDP2-wrapped module \({kind.__name__}\) returned a view"
        warnings.filterwarnings("ignore", message=view)
        language_model.register_forward_pre_hook(self._before_pass)
        self.language_model = language_model

    def meet(self) -> None:
        """Waits until all processes are here; meanwhile takes part in the passes of those that read."""
        while self._vote(MEETS):
            config = self.language_model.config
            weight = next(self.language_model.parameters())
            nothing = torch.zeros(
                1, 1, config.hidden_size, dtype=weight.dtype, device=weight.device
            )
            self._empty = True
            try:
                with torch.no_grad():
                    self.language_model(inputs_embeds=nothing, use_cache=False)
            finally:
                self._empty = False

    def _before_pass(self, *_: Any) -> None:
        if not self._empty:
            self._vote(LEARNS if torch.is_grad_enabled() else READS)

    def _vote(self, what: int) -> bool:
        """Says what this process is about to do; gives whether some are about to read."""
        votes = torch.zeros(3, dtype=torch.int64)
        votes[what] = 1
        with all_present():
            dist.all_reduce(votes)
        if votes[LEARNS] not in (0, self.size):  # a fault of ours, and better than to wait forever
            raise AssertionError(
                f"processes are out of step: {votes.tolist()} meet, read and learn"
            )
        return bool(votes[READS])


class _Gather:
    """How FSDP gathers a layer: as by default, but a missing process is told of in a sentence."""

    def allocate(self, size: Any, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, async_op: bool = False
    ) -> Any:
        with all_present():
            return dist.all_gather_single(output_tensor, input_tensor, group, async_op)


def find_language_model(model: nn.Module) -> nn.Module:
    """The module of a multimodal model that has the language model's layers."""
    for name, module in model.named_modules():
        if re.fullmatch(r"(.*\.)?(text_model|language_model)", name) and hasattr(module, "layers"):
            return module
    raise AssertionError(f"{type(model).__name__} has no language model")
