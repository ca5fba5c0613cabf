"""Training on several processes, as `accelerate launch` or `torchrun` start them.

    with processes() as device:
        train(dataset, base, config, out, device=device)

All processes run the same stages in step, over one workspace on a disk that they share. Passes of the
language model are split between them: each takes its share of one batch that all have drawn alike,
losses count as parts of the whole batch's mean, and gradients are added up, so the step is that of a
single process up to rounding. What is small beside them (heads on cached features, session
recommenders) runs on the main process, which alone keeps results. In a single process everything here
is the identity.

Each process holds the whole base model, or under FSDP its part of every layer (see `sharding`).

All begin an epoch with the same random numbers, so dropout of the heads is that of one process too. A
base model with dropout of its own draws for other sessions in each process: there the runs agree only
in distribution. Processes are taken to be of one kind, hardware and software, as is usual.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import get_cpu_distributed_information, parse_flag_from_env
from torch import Tensor, distributed as dist, nn

from tpad.distributed.sharding import Sharding, all_present, check_options
from tpad.environment import variable
from tpad.errors import ConfigError, ProcessError
from tpad.io import locking
from tpad.mllm.model import MLLM
from tpad.mllm.precision import choose_device

T = TypeVar("T")
R = TypeVar("R")

REFUSED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
PATIENCE = timedelta(days=30)
"""How long a process waits while the main one works alone; one that dies is noticed at once."""

_state: PartialState | None = None  # None in a single process
_sharding: Sharding | None = None  # None where each process holds the whole model


@contextmanager
def processes(device: str = "auto") -> Iterator[str]:
    """Within the block, the processes that a launcher has started train together.

    Args:
        device: "auto", "cpu" or "cuda"; each process takes a GPU of its own.

    Yields:
        The device that this process is to use.

    Raises:
        ConfigError: the launcher asks for what is not supported, or the devices do not suffice.
        ProcessError: another process has ended; on the main process only, the others just end.
    """
    global _state, _sharding
    for flag, name in REFUSED.items():
        if parse_flag_from_env(flag):
            raise ConfigError(
                f"Models are not split by {name}; launch with --use_fsdp, which splits the language "
                "model over the GPUs, or with --multi_gpu, which keeps a whole copy on each."
            )
    splits = parse_flag_from_env("ACCELERATE_USE_FSDP")
    if splits:
        check_options()
    if device == "auto" and parse_flag_from_env("ACCELERATE_USE_CPU"):
        device = "cpu"
    world = get_cpu_distributed_information()
    if world.world_size == 1:
        if splits:
            print("note: one process holds the whole model; FSDP has no effect", file=sys.stderr)
        elif variable("ACCELERATE_MIXED_PRECISION") and variable("MASTER_ADDR"):
            print(
                "note: accelerate started one process, since it leaves several on CPUs to MPI; "
                "`torchrun --nproc-per-node N -m tpad …` and `accelerate launch --multi_gpu "
                "--num_processes N -m tpad … --device cpu` start N",
                file=sys.stderr,
            )
        yield device
        return
    try:
        _state = _join(device, world.local_world_size)
        if splits:
            _sharding = Sharding(_state.device.type, _state.num_processes)
        yield device
        barrier()
        _state.destroy_process_group()
    except (ProcessError, KeyboardInterrupt) as error:
        if is_main():
            raise
        raise SystemExit(1) from error
    finally:
        _state = _sharding = None


def _join(device: str, local_processes: int) -> PartialState:
    kind = choose_device(device)
    if kind.index is not None:
        raise ConfigError(
            f"Several processes cannot all use {device}; give --device auto, and each takes its own."
        )
    if kind.type == "cpu":
        state = PartialState(cpu=True, timeout=PATIENCE)
    elif local_processes > torch.cuda.device_count():
        raise ConfigError(
            f"{local_processes} processes were started where there are {torch.cuda.device_count()} "
            "GPUs; start one for each GPU at most."
        )
    else:  # what lies in main memory goes by gloo
        state = PartialState(backend="cpu:gloo,cuda:nccl", timeout=PATIENCE)
    if not state.is_main_process:
        # Not at the top: two threads must not import Transformers at once, see `tpad.mllm`.
        from transformers.utils import logging

        logging.disable_progress_bar()
    return state


def size() -> int:
    """Number of processes."""
    return 1 if _state is None else _state.num_processes


def rank() -> int:
    """Number of this process, from 0."""
    return 0 if _state is None else _state.process_index


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


# --- in step -----------------------------------------------------------------------------------


@contextmanager
def _together() -> Iterator[None]:
    """Around what all processes do at once, passes of a split model aside."""
    if _sharding is not None:
        _sharding.meet()
    with all_present():
        yield


def summed(*numbers: float) -> list[float]:
    """Each number summed over the processes."""
    if _state is None:
        return list(numbers)
    total = torch.tensor(numbers, dtype=torch.float64)
    with _together():
        dist.all_reduce(total)
    return total.tolist()


def barrier() -> None:
    """Waits until all processes are here."""
    summed(0)


def agreed(value: T) -> T:
    """The main process's value, once all processes are here."""
    if _state is None:
        return value
    box = [value]
    with _together():
        dist.broadcast_object_list(box, src=0)
    barrier()
    return box[0]


@contextmanager
def main_first() -> Iterator[None]:
    """The main process runs the block before the others do, so that they find what it made."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keeps other runs off a folder, for all processes of this one, until the block ends.

    Raises:
        ConfigError: another run uses the folder; on the main process.
    """
    with ExitStack() as held:
        with main_first():
            if is_main():
                held.enter_context(locking.only_run(folder))
        yield


def check_shared(folder: Path) -> None:
    """Makes a folder, and sure that all processes see the same one.

    Raises:
        ConfigError: another machine does not see what is written there; on the main process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if _state is None:
        return
    mark = folder / agreed(f".seen-by-all-{uuid4().hex}")
    if is_main():
        mark.touch()
    barrier()
    (seen,) = summed(mark.exists())
    if is_main():
        mark.unlink()
        if seen < size():
            raise ConfigError(
                f"Not all machines see the same {folder}; give a --work folder on a disk that they "
                "share."
            )


# --- a model that is split ---------------------------------------------------------------------


def splitter() -> Callable[[nn.Module], None] | None:
    """What splits a base model over the processes (see `MLLM.load`); None where it stays whole."""
    return None if _sharding is None else _sharding.split


def gather_base(mllm: MLLM) -> None:
    """Brings a base that is split together in the main process's memory, which can then save it."""
    if _sharding is not None:
        with _together():
            mllm.adapters.gather_base(keep=is_main())


# --- splitting work ----------------------------------------------------------------------------


def share(work: Sequence[T]) -> list[T]:
    """What this process does of some work: every `size()`-th piece."""
    return list(work[rank() :: size()])


def batch_share(batch: Sequence[T]) -> tuple[list[T], bool]:
    """This process's part of a batch, and whether it counts.

    Where a batch has fewer examples than there are processes, a spare process gets the first one,
    which is not to count (see `weights`): so all processes make the same passes.
    """
    own = share(batch)
    return (own, True) if own else (list(batch[:1]), False)


def weights(*counts: float) -> list[float]:
    """What the mean over this process's examples counts in the mean over all of a batch.

    Args:
        counts: how many terms each mean is taken over here, zero for what does not count. Where all
            have none, the weights are zero.
    """
    totals = summed(*counts)
    return [count / total if total else 0.0 for count, total in zip(counts, totals, strict=True)]


def rounds(work: Sequence[T]) -> list[list[T]]:
    """Pieces of work that are done at once, one by each process."""
    return [list(work[start : start + size()]) for start in range(0, len(work), size())]


def spread(do: Callable[[T], R], work: Iterable[T]) -> list[R]:
    """`[do(piece) for piece in work]`, each process doing its share and getting all results."""
    work = list(work)
    own = [do(piece) for piece in share(work)]
    if _state is None:
        return own
    every: list[Any] = [None] * size()
    with _together():
        dist.all_gather_object(every, own)
    return [every[number % size()][number // size()] for number in range(len(work))]


def add_up(array: np.ndarray | Tensor) -> None:
    """Sums an array over the processes, in place, such as one whose rows each filled in part."""
    if _state is None or not len(array):
        return
    tensor = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
    with _together():
        dist.all_reduce(tensor)


def whole(arrays: dict[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Rows that each process has of its `share` of n things, as arrays (n, …) of all of them."""
    if _state is None:
        return arrays
    joined = {}
    for name, rows in arrays.items():
        joined[name] = np.zeros((n, *rows.shape[1:]), rows.dtype)
        joined[name][rank() :: size()] = rows
        add_up(joined[name])
    return joined


def send(*tensors: Tensor) -> None:
    """Gives every process the main one's values, in place."""
    if _state is None:
        return
    with torch.no_grad(), _together():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def add_up_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Sums gradients over the processes; a parameter that has none anywhere keeps none."""
    if _state is None:
        return
    has = np.array([p.grad is not None for p in parameters], np.int64)
    add_up(has)
    used = [p for p, count in zip(parameters, has, strict=True) if count]
    if not used:
        return
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
    flat = torch.cat([grad.float().reshape(-1) for grad in grads])
    add_up(flat)
    parts = flat.split([grad.numel() for grad in grads])
    for parameter, grad, part in zip(used, grads, parts, strict=True):
        parameter.grad = part.view_as(grad).to(grad.dtype)
