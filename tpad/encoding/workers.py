"""Worker processes that encode shards side by side."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from tpad.bundle import Encoder
from tpad.encoding.work import MakeEncoder, Shard
from tpad.errors import ModelError, TpadError, one_line

ATTEMPTS = 3  # at a shard, before the run stops and names it
Encode = Callable[[Shard, Encoder], dict[str, Any]]


def encode_in_workers(
    makers: Sequence[MakeEncoder],
    encode: Encode,
    shards: Iterator[Shard],
    record: Callable[[Shard, dict[str, Any]], None],
) -> int:
    """Encode shards in several processes; a process that dies is replaced.

    Args:
        makers: one for each process; makes its encoder.
        encode: encodes one shard and returns its entry in the manifest.
        shards: read one by one, whenever a process is free.
        record: called with each finished shard and its entry in the manifest.

    Returns:
        How many processes died and were replaced.

    Raises:
        TpadError: what a worker raised.
        ModelError: the workers of one shard died `ATTEMPTS` times.
    """
    workers = [Worker(make_encoder, encode) for make_encoder in makers]
    running: dict[Future, tuple[int, Shard]] = {}
    losses: Counter[int] = Counter()
    try:
        for slot, shard in zip(range(len(makers)), shards, strict=False):
            running[workers[slot].submit(shard)] = slot, shard
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                slot, shard = running.pop(future)
                error = future.exception()
                if isinstance(error, TpadError):
                    raise error
                if error is None:
                    record(shard, future.result())
                    following = next(shards, None)
                else:
                    losses[shard.number] += 1
                    if losses[shard.number] == ATTEMPTS:
                        raise _given_up(shard, error) from error
                    workers[slot].stop()
                    workers[slot], following = Worker(makers[slot], encode), shard
                if following is not None:
                    running[workers[slot].submit(following)] = slot, following
    finally:
        for worker in workers:
            worker.stop()
    return losses.total()


class Worker:
    """A process that encodes one shard at a time.

    Each is a pool of its own: if a process of a shared pool dies, all of the pool's shards fail,
    and it is unknown which of them was the cause.
    """

    def __init__(self, make_encoder: MakeEncoder, encode: Encode) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends = context.Pipe(duplex=False)  # the process exits when the second end is closed
        arguments = (make_encoder, encode, self._ends[0])
        self._pool = ProcessPoolExecutor(1, context, _start, arguments)

    def submit(self, shard: Shard) -> Future:
        """Encode a shard; the future holds its entry in the manifest."""
        return self._pool.submit(_run, shard)

    def stop(self) -> None:
        """End the process, even in the middle of a shard."""
        for end in self._ends:
            end.close()
        self._pool.shutdown()


def _start(make_encoder: MakeEncoder, encode: Encode, parent: Connection) -> None:
    """Prepare the process; the encoder is made with the first shard, so that errors reach the parent."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends this process
    Thread(target=_exit_with, args=(parent,), daemon=True).start()
    _work = encode, cache(make_encoder)


_work: tuple[Encode, MakeEncoder]


def _run(shard: Shard) -> dict[str, Any]:
    encode, encoder = _work
    return encode(shard, encoder())


def _exit_with(parent: Connection) -> None:
    """End this process when the parent closes its end of the pipe, or dies."""
    with suppress(EOFError, OSError):
        parent.recv()
    os._exit(1)


def _given_up(shard: Shard, error: BaseException) -> ModelError:
    return ModelError(
        f"The worker that encodes shard {shard.number} failed {ATTEMPTS} times "
        f"({one_line(error)}), perhaps for lack of memory; give fewer --workers, and run the same "
        "command again to resume."
    )
