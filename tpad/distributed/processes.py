"""Training on several processes that `accelerate launch` or `torchrun` starts.

    with processes() as device:
        train(dataset, base, config, out, device=device)

All processes run the same stages synchronously, with one workspace on a shared disk. They share the
passes of the language model: all draw the same batch, and each computes its share. Losses are weighted
so that they add up to the mean over the batch, and gradients are summed. So a step equals that of a
single process, up to rounding. Small networks (heads on cached features, session recommenders) are
trained by the main process, and only the main process writes results. With a single process, all
functions here are the identity.

Each process holds a copy of the base model or, under FSDP, its shard of every layer (see `sharding`).

All processes start an epoch with the same random state, so dropout of the heads equals that of a single
process. If the base model itself has dropout, runs agree only in distribution. All processes must have
the same hardware and software.
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

from tpad.distributed.sharding import Sharding, check_options, collective_errors
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
"""Maximum time to wait for the main process; a process that dies is detected at once."""

_state: PartialState | None = None  # None in a single process
_sharding: Sharding | None = None  # None if each process holds a copy of the model


@contextmanager
def processes(device: str = "auto") -> Iterator[str]:
    """Join the processes that a launcher started; they train together within the block.

    Args:
        device: "auto", "cpu" or "cuda"; each process uses a GPU of its own.

    Yields:
        The device of this process.

    Raises:
        ConfigError: an option of the launcher is not supported, or there are too few devices.
        ProcessError: another process has ended. Raised in the main process; the others exit.
    """
    global _state, _sharding
    for flag, name in REFUSED.items():
        if parse_flag_from_env(flag):
            raise ConfigError(
                f"{name} is not supported; launch with --use_fsdp, which splits the language model over "
                "the GPUs, or with --multi_gpu, which keeps a copy on each GPU."
            )
    splits = parse_flag_from_env("ACCELERATE_USE_FSDP")
    if splits:
        check_options()
    if device == "auto" and parse_flag_from_env("ACCELERATE_USE_CPU"):
        device = "cpu"
    world = get_cpu_distributed_information()
    if world.world_size == 1:
        if splits:
            print("note: FSDP has no effect with one process", file=sys.stderr)
        elif variable("ACCELERATE_MIXED_PRECISION") and variable("MASTER_ADDR"):
            print(
                "note: accelerate started one process, because it needs MPI for several processes on "
                "CPUs; to start N, use `torchrun --nproc-per-node N -m tpad …` or `accelerate launch "
                "--multi_gpu --num_processes N -m tpad … --device cpu`",
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
            f"Several processes cannot share {device}; use --device auto, which gives each its own."
        )
    if kind.type == "cpu":
        state = PartialState(cpu=True, timeout=PATIENCE)
    elif local_processes > torch.cuda.device_count():
        raise ConfigError(
            f"There are {local_processes} processes, but {torch.cuda.device_count()} GPUs; start at most "
            "one process per GPU."
        )
    else:  # gloo for tensors in main memory
        state = PartialState(backend="cpu:gloo,cuda:nccl", timeout=PATIENCE)
    if not state.is_main_process:
        # Imported here, because two threads must not import Transformers at once; see `tpad.mllm`.
        from transformers.utils import logging

        logging.disable_progress_bar()
    return state


def size() -> int:
    """Number of processes."""
    return 1 if _state is None else _state.num_processes


def rank() -> int:
    """Rank of this process, from 0."""
    return 0 if _state is None else _state.process_index


def is_main() -> bool:
    """Whether this is the main process, which writes results and messages."""
    return rank() == 0


# --- collective operations: all processes must call them ---------------------------------------


@contextmanager
def _collective() -> Iterator[None]:
    """Context of every collective operation, except passes of a sharded model."""
    if _sharding is not None:
        _sharding.synchronise()
    with collective_errors():
        yield


def summed(*numbers: float) -> list[float]:
    """The sum of each number over all processes."""
    if _state is None:
        return list(numbers)
    total = torch.tensor(numbers, dtype=torch.float64)
    with _collective():
        dist.all_reduce(total)
    return total.tolist()


def barrier() -> None:
    """Wait for all processes."""
    summed(0)


def from_main(value: T) -> T:
    """The value of the main process; waits for all processes."""
    if _state is None:
        return value
    box = [value]
    with _collective():
        dist.broadcast_object_list(box, src=0)
    barrier()
    return box[0]


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block on the main process first, so that the others find its results."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs until the block ends.

    Raises:
        ConfigError: another run uses the folder. Raised in the main process.
    """
    with ExitStack() as held:
        with main_first():
            if is_main():
                held.enter_context(locking.only_run(folder))
        yield


def check_shared(folder: Path) -> None:
    """Create a folder, and check that all processes see the same one.

    Raises:
        ConfigError: another machine has a different folder. Raised in the main process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if _state is None:
        return
    mark = folder / from_main(f".seen-by-all-{uuid4().hex}")
    if is_main():
        mark.touch()
    barrier()
    (seen,) = summed(mark.exists())
    if is_main():
        mark.unlink()
        if seen < size():
            raise ConfigError(
                f"Not all machines see the same {folder}; give a --work folder on a shared disk."
            )


# --- a sharded model ---------------------------------------------------------------------------


def splitter() -> Callable[[nn.Module], None] | None:
    """The function that shards a base model, for `MLLM.load`; None without FSDP."""
    return None if _sharding is None else _sharding.split


def gather_base(mllm: MLLM) -> None:
    """Gather a sharded base model in the main process, which can then save it."""
    if _sharding is not None:
        with _collective():
            mllm.adapters.gather_base(keep=is_main())


# --- sharing work ------------------------------------------------------------------------------


def share(work: Sequence[T]) -> list[T]:
    """This process's share of some work: every `size()`-th piece."""
    return list(work[rank() :: size()])


def batch_share(batch: Sequence[T]) -> tuple[list[T], bool]:
    """This process's share of a batch, and whether it counts.

    If a batch has fewer examples than there are processes, the others get its first example with weight
    zero (see `weights`), so that all processes make the same number of passes.
    """
    own = share(batch)
    return (own, True) if own else (list(batch[:1]), False)


def weights(*counts: float) -> list[float]:
    """Weights of this process's means in the means over the whole batch.

    Args:
        counts: number of terms of each mean in this process, zero if it does not count.

    Returns:
        The weights; zero for a mean that has no terms in any process.
    """
    totals = summed(*counts)
    return [count / total if total else 0.0 for count, total in zip(counts, totals, strict=True)]


def rounds(work: Sequence[T]) -> list[list[T]]:
    """Groups of pieces of work, one piece for each process."""
    return [list(work[start : start + size()]) for start in range(0, len(work), size())]


def parallel_map(function: Callable[[T], R], work: Iterable[T]) -> list[R]:
    """`[function(piece) for piece in work]`; the processes share the work, and get all results."""
    work = list(work)
    own = [function(piece) for piece in share(work)]
    if _state is None:
        return own
    every: list[Any] = [None] * size()
    with _collective():
        dist.all_gather_object(every, own)
    return [every[number % size()][number // size()] for number in range(len(work))]


def sum_in_place(array: np.ndarray | Tensor) -> None:
    """Sum an array over all processes, in place."""
    if _state is None or not len(array):
        return
    tensor = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
    with _collective():
        dist.all_reduce(tensor)


def gather_rows(arrays: dict[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Gather the rows that each process computed for its `share` of n things: arrays (n, …)."""
    if _state is None:
        return arrays
    joined = {}
    for name, rows in arrays.items():
        joined[name] = np.zeros((n, *rows.shape[1:]), rows.dtype)
        joined[name][rank() :: size()] = rows
        sum_in_place(joined[name])
    return joined


def broadcast(*tensors: Tensor) -> None:
    """Send the main process's values to all processes, in place."""
    if _state is None:
        return
    with torch.no_grad(), _collective():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Sum gradients over all processes; parameters without a gradient in any process are skipped."""
    if _state is None:
        return
    has = np.array([p.grad is not None for p in parameters], np.int64)
    sum_in_place(has)
    used = [p for p, count in zip(parameters, has, strict=True) if count]
    if not used:
        return
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
    flat = torch.cat([grad.float().reshape(-1) for grad in grads])
    sum_in_place(flat)
    parts = flat.split([grad.numel() for grad in grads])
    for parameter, grad, part in zip(used, grads, parts, strict=True):
        parameter.grad = part.view_as(grad).to(grad.dtype)
