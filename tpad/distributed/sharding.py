"""Shards the layers of a language model over the processes (FSDP), and synchronises their passes.

Each process holds its shard of every layer's weights. PyTorch's `fully_shard` gathers a layer from all
processes before its forward or backward pass, and frees it afterwards. The base model is frozen, so it
has no gradients to exchange. Adapters, heads, embeddings and the vision tower are not sharded.

Gathering is collective, so all processes must make the same number of passes. In training steps they
do, because each reads its share of a batch (`processes.batch_share`). In shared work without gradients,
one process may have more passes than another. Therefore all processes vote before each pass, and before
any other collective operation (`Sharding.synchronise`), on what they do next. A process without work
makes empty passes together with the others, until none has work left; then the operation begins.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from torch import Tensor, distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tpad.environment import variable
from tpad.errors import ConfigError, ProcessError, one_line

COLLECTIVE, INFERENCE, TRAINING = range(3)
"""What a process does next: a collective operation, a pass without gradients, or one with gradients."""


@contextmanager
def collective_errors() -> Iterator[None]:
    """Turn the error of a collective operation that another process has left into a `ProcessError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # of gloo and NCCL: closed, timed out, or different sizes
        raise ProcessError(
            "Another process of this training has ended, so this one stops; see its message for the "
            f"reason, and run the same command again to resume ({one_line(error)})."
        ) from error


def check_options() -> None:
    """Check the `--fsdp_…` options of the launcher.

    Options for wrapping, prefetching, checkpoints and the version are ignored: this module decides, and
    uses FSDP version 2.

    Raises:
        ConfigError: an option contradicts sharding every layer over all processes.
    """
    if parse_flag_from_env("FSDP_OFFLOAD_PARAMS"):
        raise ConfigError(
            "Weights are sharded over the devices and cannot be offloaded to main memory; leave out "
            "--fsdp_offload_params."
        )
    if parse_flag_from_env("FSDP_ACTIVATION_CHECKPOINTING"):
        raise ConfigError(
            "Leave out --fsdp_activation_checkpointing; use the option --gradient-checkpointing of this "
            "command instead."
        )
    strategies = ("FULL_SHARD", "1", "TRUE")  # name or number; a bool in version 2
    for option in ("FSDP_SHARDING_STRATEGY", "FSDP_RESHARD_AFTER_FORWARD"):
        value = variable(option, strategies[0])
        if value.upper() not in strategies:
            raise ConfigError(
                "Layers are sharded over all processes and freed after each pass; leave out "
                f"--{option.lower()} {value}."
            )


class Sharding:
    """Shards a model over all processes; only one model at a time can be in use.

    Args:
        device: "cpu" or "cuda".
        size: number of processes.
    """

    def __init__(self, device: str, size: int) -> None:
        self.size = size
        with collective_errors():
            self.mesh = init_device_mesh(device, (size,))
        self.language_model: Any = None  # the one in use
        self._empty = False  # whether an empty pass is running
        # Otherwise transformers would load the weights only in the first process.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"

    def split(self, model: Any) -> None:
        """Shard the layers of the language model and move them to the device, one by one.

        All processes must call it, after the weights have their final number format and before adapters
        are added. The rest of the model, a `PreTrainedModel`, is not moved.
        """
        self.language_model = None  # frees the memory of an earlier model
        language_model: Any = model.get_decoder()
        kind = type(language_model)
        layers = list(language_model.layers)
        for layer in layers:
            layer.requires_grad_(False)
            fully_shard(layer, mesh=self.mesh)
            layer.set_custom_all_gather(_Gather())
        # With one root, a layer is gathered while the previous one computes.
        others = set(language_model.parameters()) - {p for one in layers for p in one.parameters()}
        fully_shard(language_model, mesh=self.mesh, ignored_params=others)
        # Restore the class, because transformers selects hidden states by class names.
        language_model.__class__ = kind
        # A warning of checkpointing, irrelevant for the root, which has no weights of its own.
        view = rf"FSDP2-wrapped module \({kind.__name__}\) returned a view"
        warnings.filterwarnings("ignore", message=view)
        language_model.register_forward_pre_hook(self._before_pass)
        self.language_model = language_model

    def synchronise(self) -> None:
        """Wait for all processes; until then, make empty passes together with those that have work."""
        while self._vote(COLLECTIVE):
            config = self.language_model.config
            weight = next(self.language_model.parameters())
            empty = torch.zeros(1, 1, config.hidden_size, dtype=weight.dtype, device=weight.device)
            self._empty = True
            try:
                with torch.no_grad():
                    self.language_model(inputs_embeds=empty, use_cache=False)
            finally:
                self._empty = False

    def _before_pass(self, *_: Any) -> None:
        if not self._empty:
            self._vote(TRAINING if torch.is_grad_enabled() else INFERENCE)

    def _vote(self, what: int) -> bool:
        """Announce what this process does next; returns whether any process announced `INFERENCE`."""
        votes = torch.zeros(3, dtype=torch.int64)
        votes[what] = 1
        with collective_errors():
            dist.all_reduce(votes)
        if votes[TRAINING] not in (
            0,
            self.size,
        ):  # a bug; otherwise the processes would wait forever
            raise AssertionError(
                f"processes are out of step: {votes.tolist()} votes for collective, inference, training"
            )
        return bool(votes[INFERENCE])


class _Gather:
    """Gathers a layer as FSDP does by default, but with a clear error if a process is missing."""

    def allocate(self, size: Any, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, async_op: bool = False
    ) -> Any:
        with collective_errors():
            return dist.all_gather_single(output_tensor, input_tensor, group, async_op)
