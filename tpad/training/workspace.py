"""The workspace of a training run: results of finished stages, checkpoints of others, and the log.

The name of a stage's folder contains a digest of everything that the result depends on. So a result is
never used with other settings and never computed twice, and a killed run resumes where it stopped.
Files are safetensors and JSON, and are written atomically. If several processes train together, only
the main process writes.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file as load_arrays, save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from tpad.distributed import processes
from tpad.io.saved_state import optimizer_tensors, restore_optimizer, under

CHUNK = 256  # items
MOST_CHUNKS = 100


class Stage:
    """One stage's folder.

    Args:
        folder: the folder; it is created if missing.
        key: digest of everything that the result depends on.
        title: name in logs and progress bars.
        log: file to which log lines are appended, in JSON.
        quiet: show no progress bars and no messages.
    """

    def __init__(self, folder: Path, key: str, title: str, log: Path, quiet: bool = False) -> None:
        self.folder, self.key, self.title, self.log, self.quiet = folder, key, title, log, quiet
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> bool:
        """Whether the result is complete. Collective: all processes must call it."""
        return processes.from_main((self.folder / "done.json").is_file())

    def finish(self, **facts: Any) -> None:
        """Mark the result as complete and store facts about it. Collective: all processes must call it."""
        processes.barrier()  # no process still reads the files that are removed here
        if not processes.is_main():
            return
        self.save_json("done", facts)
        self.drop_state()
        for left in self.folder.glob("partial.*"):
            left.unlink()

    def facts(self) -> dict[str, Any]:
        """The facts that `finish` stored."""
        return self.load_json("done")

    def save_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Store named arrays."""
        if not processes.is_main():
            return
        path = self.folder / f"{name}.safetensors"
        part = path.with_suffix(".part")
        save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()}, part)
        os.replace(part, path)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Load the arrays that `save_arrays` stored."""
        return load_arrays(self.folder / f"{name}.safetensors")

    def has(self, name: str) -> bool:
        """Whether this or an earlier run stored arrays under this name."""
        return (self.folder / f"{name}.safetensors").is_file()

    def save_json(self, name: str, value: Any) -> None:
        """Store plain values."""
        if not processes.is_main():
            return
        path = self.folder / f"{name}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.replace(part, path)

    def has_json(self, name: str) -> bool:
        """Whether this or an earlier run stored plain values under this name."""
        return (self.folder / f"{name}.json").is_file()

    def load_json(self, name: str) -> Any:
        """Load the values that `save_json` stored."""
        return json.loads((self.folder / f"{name}.json").read_text("utf-8"))

    def append_line(self, name: str, value: Any) -> None:
        """Append a plain value to a file of lines."""
        if not processes.is_main():
            return
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")

    def load_lines(self, name: str) -> list[Any]:
        """Load the values that `append_line` stored; an incomplete last line is removed."""
        path = self.folder / f"{name}.jsonl"
        if not path.is_file():
            return []
        text = path.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]
        if len(whole) < len(text) and processes.is_main():
            os.truncate(
                path, len(whole)
            )  # characters are bytes, because JSON escapes non-ASCII text
        return [json.loads(line) for line in whole.splitlines()]

    # --- resuming within a stage -----------------------------------------------------------------

    def save_epoch(
        self, epoch: int, tensors: Mapping[str, Tensor], *optimizers: torch.optim.Optimizer
    ) -> None:
        """Store weights and the optimisers' states after an epoch."""
        state: dict[str, Tensor] = {f"weights.{k}": v for k, v in tensors.items()}
        for number, optimizer in enumerate(optimizers):
            for name, value in optimizer_tensors(optimizer).items():
                state[f"optimizer{number}.{name}"] = value
        self.save_state(state | {"epoch": torch.tensor(epoch)}, {})

    def load_epoch(self, tensors: Mapping[str, Tensor], *optimizers: torch.optim.Optimizer) -> int:
        """Restore what `save_epoch` stored, in place; returns the number of finished epochs."""
        saved = self.load_state()
        if saved is None:
            return 0
        state, _ = saved
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(state[f"weights.{name}"])
        for number, optimizer in enumerate(optimizers):
            restore_optimizer(optimizer, under(f"optimizer{number}.", state))
        return int(state["epoch"])

    def save_state(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Store tensors and plain values in one file, so that they are always consistent."""
        if not processes.is_main():
            return
        path = self.folder / "epoch.safetensors"
        part = path.with_suffix(".part")
        plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(plain, part, metadata={"facts": json.dumps(facts)})
        os.replace(part, path)

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Load what `save_state` stored; None if there is nothing."""
        path = self.folder / "epoch.safetensors"
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118

    def drop_state(self) -> None:
        """Remove what `save_state` stored."""
        for left in self.folder.glob("epoch.*"):
            left.unlink()

    # --- progress --------------------------------------------------------------------------------

    def bar(self, items: Iterable, total: int, what: str) -> Iterator:
        """Iterate with a progress bar."""
        return tqdm(
            items,
            total=total,
            desc=f"{self.title}: {what}",
            disable=self.quiet,
            dynamic_ncols=True,
            mininterval=0.5,
            smoothing=0,  # the time left follows from the mean speed: steps differ in length
            leave=False,
        )

    def say(self, text: str, **values: Any) -> None:
        """Print a message, and append it to the log as a JSON line."""
        if not processes.is_main():
            return
        if not self.quiet:
            tqdm.write(f"{self.title}: {text}")
        line = {"time": round(time.time(), 1), "stage": self.title, "text": text, **values}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Workspace:
    """The folder of one training run.

    Args:
        folder: the folder; it is created with the first result.
        quiet: show no progress bars and no messages.
    """

    def __init__(self, folder: Path, quiet: bool = False) -> None:
        self.folder, self.quiet = Path(folder), quiet or not processes.is_main()
        self.log = self.folder / "log.jsonl"

    def only_run(self) -> AbstractContextManager[None]:
        """Create the folder, and lock it against other runs until the block ends.

        Raises:
            ConfigError: another run uses it, or another machine does not see it. Raised in the main
                process.
        """
        processes.check_shared(self.folder)
        return processes.only_run(self.folder)

    def stage(self, name: str, key: str, title: str) -> Stage:
        """The folder of a stage; `key` is a digest of everything that the result depends on."""
        return Stage(self._place(name, key), key, title, self.log, self.quiet)

    def state(self, name: str, key: str) -> str:
        """The state of a stage: "cached", "interrupted" or "to run"."""
        folder = self._place(name, key)
        if (folder / "done.json").is_file():
            return "cached"
        return "interrupted" if folder.is_dir() and any(folder.iterdir()) else "to run"

    def _place(self, name: str, key: str) -> Path:
        return self.folder / f"{name}-{key[:12]}"

    def history(self) -> list[dict[str, Any]]:
        """The log without the lines of superseded runs.

        If a stage ran again, a line for an epoch replaces the earlier lines for that epoch and all
        later ones; any other line replaces earlier lines with the same text.
        """
        try:
            lines = self.log.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        kept: list[dict[str, Any]] = []
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:  # an incomplete last line
                continue
            epoch = one.get("epoch")
            kept = [
                old
                for old in kept
                if old["stage"] != one["stage"]
                or (old["text"] != one["text"] if epoch is None else old.get("epoch", 0) < epoch)
            ] + [one]
        return kept


def digest(*values: Any) -> str:
    """SHA-256 of plain values and dataclasses, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=asdict).encode()).hexdigest()


def in_chunks(
    n: int,
    read: Callable[[range], dict[str, np.ndarray]],
    stage: Stage | None = None,
    what: str = "",
    name: str = "items",
) -> dict[str, np.ndarray]:
    """Compute named arrays chunk by chunk. Collective: all processes must call it.

    Args:
        n: number of items.
        read: the arrays of a range of items.
        stage: shows progress and stores finished chunks, so that an interrupted run resumes; `finish`
            removes them.
        what: text of the progress bar.
        name: of what is read, unique in the stage.

    Returns:
        The arrays of all chunks, concatenated.
    """
    count = min(-(-n // CHUNK), MOST_CHUNKS)
    bounds = np.linspace(0, n, count + 1).astype(int).tolist()
    chunks = [range(*pair) for pair in pairwise(bounds)]
    parts = []
    for chunk in chunks if stage is None else stage.bar(chunks, count, what):
        file = f"partial.{name}.{chunk.start}"
        if stage is not None and processes.from_main(stage.has(file)):
            parts.append(stage.load_arrays(file))
            continue
        parts.append(read(chunk))
        if stage is not None:
            stage.save_arrays(file, parts[-1])
    return {one: np.concatenate([part[one] for part in parts]) for one in parts[0]}


def named_tensors(**modules: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of some modules, named `module.name`."""
    return {
        f"{prefix}.{name}": tensor
        for prefix, module in modules.items()
        for name, tensor in module.state_dict(keep_vars=True).items()
    }
