"""Where a training run keeps what it has: finished stages, half-finished ones, and their log.

A stage's folder is named after everything that its result depends on, so a changed setting never
meets an old result, an unchanged one is never computed again, and a killed run goes on where it was.
Only safetensors and JSON are written; every file is written beside and renamed. Of several processes
that train together the main one alone keeps results; all of them read.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
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


class Stage:
    """One stage's folder.

    Args:
        folder: its folder; made if missing.
        key: identifies everything that the result depends on.
        title: what a person sees.
        log: file that gets one JSON line an epoch.
        quiet: no progress bars.
    """

    def __init__(self, folder: Path, key: str, title: str, log: Path, quiet: bool = False) -> None:
        self.folder, self.key, self.title, self.log, self.quiet = folder, key, title, log, quiet
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> bool:
        """Whether the stage's result is complete. All processes ask at once."""
        return processes.agreed((self.folder / "done.json").is_file())

    def finish(self, **facts: Any) -> None:
        """Marks the result as complete, with some facts about it. All processes say so at once."""
        processes.barrier()  # all have read what is removed here, and find what was saved
        if not processes.is_main():
            return
        self.save_json("done", facts)
        for left in (*self.folder.glob("epoch.*"), *self.folder.glob("partial.*")):
            left.unlink()

    def facts(self) -> dict[str, Any]:
        """What `finish` was told."""
        return self.load_json("done")

    def save_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keeps named arrays."""
        if not processes.is_main():
            return
        path = self.folder / f"{name}.safetensors"
        beside = path.with_suffix(".part")
        save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()}, beside)
        os.replace(beside, path)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Reads what `save_arrays` kept."""
        return load_arrays(self.folder / f"{name}.safetensors")

    def has(self, name: str) -> bool:
        """Whether `save_arrays(name)` was called in this or an earlier run."""
        return (self.folder / f"{name}.safetensors").is_file()

    def save_json(self, name: str, value: Any) -> None:
        """Keeps plain values."""
        if not processes.is_main():
            return
        path = self.folder / f"{name}.json"
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.replace(beside, path)

    def has_json(self, name: str) -> bool:
        """Whether `save_json(name)` was called in this or an earlier run."""
        return (self.folder / f"{name}.json").is_file()

    def load_json(self, name: str) -> Any:
        """Reads what `save_json` kept."""
        return json.loads((self.folder / f"{name}.json").read_text("utf-8"))

    def append_line(self, name: str, value: Any) -> None:
        """Keeps one more plain value under a name; what is there already is not written again."""
        if not processes.is_main():
            return
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")

    def load_lines(self, name: str) -> list[Any]:
        """Reads what `append_line` kept, in order; a line that a kill cut off is removed."""
        path = self.folder / f"{name}.jsonl"
        if not path.is_file():
            return []
        text = path.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]
        if len(whole) < len(text) and processes.is_main():
            os.truncate(path, len(whole))  # bytes are characters, as JSON escapes all others
        return [json.loads(line) for line in whole.splitlines()]

    # --- resuming within a stage -----------------------------------------------------------------

    def save_epoch(
        self, epoch: int, tensors: Mapping[str, Tensor], *optimizers: torch.optim.Optimizer
    ) -> None:
        """Keeps weights and the optimisers' state after an epoch."""
        state: dict[str, Tensor] = {f"weights.{k}": v for k, v in tensors.items()}
        for number, optimizer in enumerate(optimizers):
            for name, value in optimizer_tensors(optimizer).items():
                state[f"optimizer{number}.{name}"] = value
        self.save_state(state | {"epoch": torch.tensor(epoch)}, {})

    def load_epoch(self, tensors: Mapping[str, Tensor], *optimizers: torch.optim.Optimizer) -> int:
        """Restores what `save_epoch` kept, in place; returns the number of finished epochs."""
        kept = self.load_state()
        if kept is None:
            return 0
        state, _ = kept
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(state[f"weights.{name}"])
        for number, optimizer in enumerate(optimizers):
            restore_optimizer(optimizer, under(f"optimizer{number}.", state))
        return int(state["epoch"])

    def save_state(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Keeps tensors and plain values, in one file so that they always belong together."""
        if not processes.is_main():
            return
        path = self.folder / "epoch.safetensors"
        beside = path.with_suffix(".part")
        plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(plain, beside, metadata={"facts": json.dumps(facts)})
        os.replace(beside, path)

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Reads what `save_state` kept; None if nothing was kept."""
        path = self.folder / "epoch.safetensors"
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118

    # --- progress --------------------------------------------------------------------------------

    def bar(self, items: Iterable, total: int, what: str) -> Iterator:
        """Iterates with a progress bar that shows rate and time left."""
        return tqdm(
            items,
            total=total,
            desc=f"{self.title}: {what}",
            disable=self.quiet,
            dynamic_ncols=True,
            mininterval=0.5,
            leave=False,
        )

    def say(self, text: str, **values: Any) -> None:
        """One line for the person, and one JSON line for the log."""
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
        folder: where results are kept; made when something is.
        quiet: no progress bars and no lines.
    """

    def __init__(self, folder: Path, quiet: bool = False) -> None:
        self.folder, self.quiet = Path(folder), quiet or not processes.is_main()
        self.log = self.folder / "log.jsonl"

    def only_run(self) -> AbstractContextManager[None]:
        """Makes the folder, and keeps other runs off it until the block ends.

        Raises:
            ConfigError: another run uses it, or another machine does not see it; on the main process.
        """
        processes.check_shared(self.folder)
        return processes.only_run(self.folder)

    def stage(self, name: str, key: str, title: str) -> Stage:
        """The folder of a stage; its key identifies everything that the result depends on."""
        return Stage(self._place(name, key), key, title, self.log, self.quiet)

    def state(self, name: str, key: str) -> str:
        """How far a stage is: "cached", "interrupted" or "to run"."""
        folder = self._place(name, key)
        if (folder / "done.json").is_file():
            return "cached"
        return "interrupted" if folder.is_dir() and any(folder.iterdir()) else "to run"

    def _place(self, name: str, key: str) -> Path:
        return self.folder / f"{name}-{key[:12]}"

    def history(self) -> list[dict[str, Any]]:
        """What the log says of the stages as they stand: of a stage that ran again, the last time.

        An epoch replaces that epoch and all later ones of an earlier run of the stage.
        """
        try:
            lines = self.log.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        kept: list[dict[str, Any]] = []
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:  # the end of a line that a kill cut off
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
    """sha256 (hex) of plain values and dataclasses."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=asdict).encode()).hexdigest()


def named_tensors(**modules: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of some modules, under `module.name`."""
    return {
        f"{prefix}.{name}": tensor
        for prefix, module in modules.items()
        for name, tensor in module.state_dict(keep_vars=True).items()
    }
