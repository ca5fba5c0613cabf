"""What one process of `test_distributed` does: `python distributed_run.py FOLDER [stop]`.

FOLDER holds the shop and the base model; bundles and workspaces are written there: `two`, where each
process holds the whole model, and `split`, where it holds a part of it. With `stop`, the last process
fails in the second epoch of the transfer stage, in the middle of a pass of a split model.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from torch.distributed.tensor import DTensor

from tpad.__main__ import main
from tpad.distributed import processes
from tpad.errors import ConfigError
from tpad.mllm.model import MLLM
from tpad.training import pipeline
from tpad.training.stages import descriptions, teacher, transfer
from tpad.training.stages.student import Student

SETTINGS = {
    "knowledge.adapt_epochs": 1,
    "knowledge.targets": "shop",
    "knowledge.max_new_tokens": 6,
    "transfer.epochs": 2,
    "transfer.batch_size": 8,
    "transfer.max_sessions": 17,  # the last batch has one session, and a process is spare
    "transfer.max_negatives": 12,
    "teacher.sessions": 20,
    "teacher.candidates": 6,
    "distillation.batch_size": 64,
    "distillation.adapter_every": 2,
    "distillation.epochs": 1,
    "feedback.adapter_every": 1,
    "recommender.content.batch_size": 32,
    "text_components": 8,
    "baselines": ["transfer"],
}


FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "1",
    "FSDP_SHARDING_STRATEGY": "FULL_SHARD",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_ACTIVATION_CHECKPOINTING": "false",
}
"""What `accelerate launch --use_fsdp` sets, if nothing else is said."""


def command(folder: Path, out: str) -> list[str]:
    """The arguments of `python -m tpad` for a small training."""
    return [
        "train",
        "--preset",
        "smoke",
        "--world",
        str(folder / "world"),
        "--mllm",
        str(folder / "base"),
        "--out",
        str(folder / out),
        "--device",
        "cpu",
        *(
            part
            for name, value in SETTINGS.items()
            for part in ("--set", f"{name}={json.dumps(value)}")
        ),
    ]


def ablate(folder: Path) -> list[str]:
    """The same for `ablate`, in the workspace of the training `split`."""
    _, *options = command(folder, "split-sets")
    return ["ablate", *options, "--work", str(folder / "split.work"), "--only", "no-feedback"]


def encode(folder: Path, out: str) -> list[str]:
    """The same for `encode`, with the bundle of one process; the last shard leaves one idle."""
    return [
        "encode",
        str(folder / "one"),
        "--items",
        str(folder / "world" / "items.csv"),
        "--out",
        str(folder / out),
        "--shard-size",
        "10",
        "--device",
        "cpu",
    ]


def prepare(patch=setattr) -> None:
    """Exact numbers, and chunks so small that each process gets some."""
    real = MLLM.load.__func__

    def load(cls, *args, **named):
        mllm = real(cls, *args, **named)
        mllm.fast_dtype = mllm.dtype
        return mllm

    patch(MLLM, "load", classmethod(load))
    patch(descriptions, "CHUNK", 16)
    patch(teacher, "CHUNK", 4)
    patch(Student.__init__, "__defaults__", (16, None))  # its batch size; no given vectors


def split_work(folder: Path) -> None:
    """Splits some work, and keeps what each process got."""
    rank, layer = processes.rank(), torch.nn.Linear(1, 1)
    layer.weight.grad = torch.full((1, 1), rank + 1.0) if rank else None
    processes.sum_gradients(list(layer.parameters()))
    rows = np.array(processes.share(range(5)), np.float32)[:, None] * [1.0, 10.0]
    found = {
        "share": processes.share(range(5)),
        "spare": processes.batch_share(["only"]),
        "weights": processes.weights(rank + 1, 0),
        "rounds": processes.rounds(range(5)),
        "spread": processes.parallel_map(lambda n: (n, rank), range(5)),
        "whole": processes.gather_rows({"x": rows}, 5)["x"].tolist(),
        "agreed": processes.from_main(f"of {rank}"),
        "gradients": [None if p.grad is None else p.grad.item() for p in layer.parameters()],
    }
    (folder / f"work-{rank}.json").write_text(json.dumps(found))


def weigh(file: Path) -> None:
    """Has this process write, before the bundle, what it holds of the layers' weights: in bytes, of all."""
    real = processes.gather_base

    def gather(mllm):
        held = whole = 0
        for name, weight in mllm.model.named_parameters():
            if ".text_model.layers." in name and ".lora_" not in name:
                own = weight.to_local() if isinstance(weight, DTensor) else weight
                held += own.untyped_storage().nbytes()
                whole += weight.numel() * weight.element_size()
        file.write_text(json.dumps([held, whole]))
        real(mllm)

    processes.gather_base = gather


def stop_late() -> None:
    """Has the last process fail in the second epoch of the transfer stage, in the middle of a pass."""
    real = transfer._Training._losses

    def stop(*_):
        raise ConfigError("Told to stop.")

    def losses(self, *args):
        if self.stage.load_state() is not None and processes.rank() == processes.size() - 1:
            layers = self.mllm.model.model.text_model.layers
            layers[1].mlp.register_forward_pre_hook(stop)
        return real(self, *args)

    transfer._Training._losses = losses


def run_all(folder: Path) -> int:
    """Trains with whole models and with split ones, has `ablate` go on with these, and encodes."""
    rank, (_, *ports) = os.environ["RANK"], os.environ["PORTS"].split()
    weigh(folder / f"held-{rank}.json")
    train = pipeline.train

    def train_after(*args, **named):
        if processes.splitter() is None:
            split_work(folder)
        else:
            from split_families import differences  # found by processes that are started only

            (folder / f"families-{rank}.json").write_text(json.dumps(differences()))
        return train(*args, **named)

    pipeline.train = train_after
    code = main(command(folder, "two"))
    os.environ.update(FSDP)
    commands = (command(folder, "split"), ablate(folder), encode(folder, "encoded-by-two"))
    for port, arguments in zip(ports, commands, strict=True):
        if code == 0:
            PartialState._reset_state()
            os.environ["MASTER_PORT"] = port  # where nobody meets what the last command has left
            code = main(arguments)
    return code


if __name__ == "__main__":
    shared = Path(sys.argv[1])
    prepare()
    if "stop" in sys.argv:
        os.environ.update(FSDP)
        stop_late()
        sys.exit(main([*command(shared, "stopped"), "--gradient-checkpointing"]))
    sys.exit(run_all(shared))
