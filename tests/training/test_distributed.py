"""Two processes on this machine, over gloo, end where one process ends.

Compared in float32 and without dropout inside the language model, as LoRA is set up: what differs is
the order in which numbers are added up. Tolerances: 2e-3 of an adapter's largest weight for 999 of 1,000
weights, 5e-3 of an embedding's largest number (embeddings are stored in half precision).
"""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed_run import FSDP, command, encode, prepare
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from tiny_base import make_tiny_base

from tpad.__main__ import main
from tpad.bundle import Bundle
from tpad.distributed import processes
from tpad.encoding import read_shards
from tpad.errors import ConfigError
from tpad.items import NewItem
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.mllm.processors import FAMILIES
from tpad.mllm.settings import ModelSettings
from tpad.training import pipeline
from tpad.training.stages import imagined, transfer
from tpad.world import build
from tpad.world.build import World, WorldConfig, write_world

SHOP = WorldConfig(
    seed=5, items=48, train_sessions=40, validation_sessions=6, test_sessions=4, arrivals=1
)
HERE = Path(__file__).parent


def start(folder: Path, *more: str, processes: int = 2) -> list[tuple[int, str, str]]:
    """Runs `distributed_run.py` as a launcher would; exit code, output and errors of each process."""
    with ExitStack() as held:
        free = [held.enter_context(socket.socket()) for _ in range(4)]
        for one in free:
            one.bind(("127.0.0.1", 0))
        ports = [str(one.getsockname()[1]) for one in free]
    places = [HERE.parent, HERE.parents[1]]
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": ports[0],
        "PORTS": " ".join(ports),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, places)),
    }
    running = [
        subprocess.Popen(
            [sys.executable, str(HERE / "distributed_run.py"), str(folder), *more],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        ended = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(p.returncode, *texts) for p, texts in zip(running, ended, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small shop and a base model, and a bundle trained on them by one process: `one`."""
    folder = tmp_path_factory.mktemp("shared")
    make_tiny_base(folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PICTURE_SIZE", 64)
        write_world(World(SHOP), folder / "world", workers=1)
        prepare(patch.setattr)
        assert main(command(folder, "one")) == 0
    return folder


@pytest.fixture(scope="module")
def two(folder) -> list[tuple[int, str, str]]:
    """The same by two processes: into `two`, and into `split` where each holds half of the layers."""
    return start(folder)


def assert_close(one: Path, other: Path) -> None:
    """Two folders hold the same adapter."""
    file = "adapter_model.safetensors"
    weights, others = load_file(one / file), load_file(other / file)
    largest = max(np.abs(weight).max() for weight in weights.values())
    assert weights.keys() == others.keys()
    for key, weight in weights.items():
        differences = np.abs(weight - others[key])
        # Adam scales up gradients that are near 0, and with them the order of the sum: so single weights
        # may differ by more.
        assert np.quantile(differences, 0.999) <= 2e-3 * largest, key
        assert differences.max() <= 1e-2 * largest, key


def test_work_is_split_and_comes_together(folder, two):
    first, second = (json.loads((folder / f"work-{rank}.json").read_text()) for rank in (0, 1))
    assert first.pop("share") == [0, 2, 4] and second.pop("share") == [1, 3]
    assert first.pop("spare") == [["only"], True] and second.pop("spare") == [["only"], False]
    assert first.pop("weights") == [1 / 3, 0.0] and second.pop("weights") == [2 / 3, 0.0]
    assert first == second
    assert first["rounds"] == [[0, 1], [2, 3], [4]]
    assert first["spread"] == [[0, 0], [1, 1], [2, 0], [3, 1], [4, 0]]
    assert first["whole"] == [[n, 10.0 * n] for n in range(5)]
    assert first["agreed"] == "of 0"
    assert first["gradients"] == [2.0, None]  # what has no gradient anywhere keeps none


@pytest.mark.parametrize("name", ["two", "split"])
def test_two_processes_train_what_one_trains(name, folder, two):
    assert [code for code, *_ in two] == [0, 0], two
    one, other = Bundle.load(folder / "one"), Bundle.load(folder / name)
    for name in one.sets:
        x, y = one.embeddings[name], other.embeddings[name]
        assert np.abs(x - y).max() <= 5e-3 * np.abs(x).max(), name
    for name in ("knowledge", "transfer", "student"):
        assert_close(one.path / "adapters" / name, other.path / "adapters" / name)


def test_each_of_two_processes_holds_half_of_the_layers(folder, two):
    for rank in (0, 1):
        held, whole = json.loads((folder / f"held-{rank}.json").read_text())
        assert whole > 7e6 and held == whole / 2


def test_every_family_split_gives_what_it_gives_whole(folder, two):
    """Features, scores, texts and gradients, some with checkpointing, where one process reads more."""
    for rank in (0, 1):
        found = json.loads((folder / f"families-{rank}.json").read_text())
        assert found.keys() == FAMILIES.keys()
        assert max(found.values()) < 1e-5, found


def test_a_split_base_is_whole_in_its_bundle(folder, two):
    """It is what a single process writes, and one process reads new items with it."""
    one, other = (
        load_tensors(folder / name / "base" / "model.safetensors") for name in ("one", "split")
    )
    assert one.keys() == other.keys()
    for key, weight in one.items():
        assert weight.dtype == other[key].dtype and torch.equal(weight, other[key]), key
    bundle = Bundle.load(folder / "split", device="cpu")
    x = bundle.encoder.encode([NewItem(None, "A red lamp")], ["tpad"])["tpad"]
    assert x.shape == (1, bundle.embeddings["tpad"].shape[1]) and np.isfinite(x).all()


def test_two_processes_make_the_sets_of_ablate(folder, two):
    x = load_file(folder / "split-sets" / "full.safetensors")["x"]
    assert np.array_equal(x, Bundle.load(folder / "split").embeddings["tpad"].astype(np.float16))
    other = load_file(folder / "split-sets" / "no-feedback.safetensors")["x"]
    assert other.shape == x.shape and np.isfinite(other).all() and not np.array_equal(other, x)


@pytest.mark.parametrize("name", ["two", "split"])
def test_two_processes_report_what_one_reports(name, folder, two):
    """Losses are those of whole batches, and every stage reports once."""
    one, other = (
        [json.loads(line) for line in (folder / name / "training.jsonl").read_text().splitlines()]
        for name in ("one", name)
    )
    assert [line["stage"] for line in one] == [line["stage"] for line in other]
    for line, same in zip(one, other, strict=True):
        numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "time"}
        assert {k: same[k] for k in numbers} == pytest.approx(numbers, rel=5e-3, abs=5e-3)
    assert not [line for line in two[1][1:] if "bundle" in line], "only the main process speaks"


def test_two_processes_encode_what_one_encodes(folder, two):
    assert main(encode(folder, "encoded-by-one")) == 0
    one, other = (
        {path.name: path.read_bytes() for path in (folder / f"encoded-by-{name}").iterdir()}
        for name in ("one", "two")
    )
    assert one == other and len(read_shards(folder / "encoded-by-two").load()[0]) == SHOP.items
    (told,) = [line for line in two[0][1].splitlines() if line.startswith("Encoded")]
    assert "5 shards" in told and "Encoded" not in two[1][1]


@pytest.mark.slow
def test_a_process_that_fails_ends_all_and_any_number_goes_on(folder, monkeypatch):
    """Even in the middle of a pass of a split model, while the others gather a layer."""
    (code, _, told), (failed, _, reason) = start(folder, "stop")
    assert failed == 2 and reason.splitlines()[-1] == "error: Told to stop."
    assert code == 2 and told.splitlines()[-1].startswith("error: Another process of this training")
    assert "Traceback" not in told + reason
    assert not (folder / "stopped").exists()

    epochs, real = [], transfer._Training._epoch

    def stop(*_, **__):
        raise ConfigError("That is enough.")

    def epoch(self, number, *rest):
        epochs.append(number)
        real(self, number, *rest)

    prepare(monkeypatch.setattr)
    monkeypatch.setattr(transfer._Training, "_epoch", epoch)
    stopped = replace(imagined.STAGE, run=stop)
    stages = [stopped if spec.name == "imagined" else spec for spec in pipeline.STAGES]
    monkeypatch.setattr(pipeline, "STAGES", stages)
    assert main(command(folder, "stopped")) == 2
    assert epochs == [1]
    one, other = (next(folder.glob(f"{name}.work/transfer-*")) for name in ("one", "stopped"))
    assert one.name == other.name
    assert_close(one / "adapter", other / "adapter")


def refused(monkeypatch, capsys, **environment: str) -> str:
    """What the command says under a launcher's environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "--preset", "smoke", "--out", "never"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not Path("never.work").exists()
    return line


@pytest.mark.parametrize(
    ("flag", "name"), [("DEEPSPEED", "DeepSpeed"), ("MEGATRON_LM", "Megatron-LM")]
)
def test_other_ways_to_split_a_model_are_refused(flag, name, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = refused(monkeypatch, capsys, **{f"ACCELERATE_USE_{flag}": "true"})
    assert f"{name} is not supported" in said


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("FSDP_OFFLOAD_PARAMS", "true", "leave out --fsdp_offload_params"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "use the option --gradient-checkpointing"),
        ("FSDP_SHARDING_STRATEGY", "NO_SHARD", "leave out --fsdp_sharding_strategy NO_SHARD"),
        ("FSDP_RESHARD_AFTER_FORWARD", "false", "leave out --fsdp_reshard_after_forward false"),
    ],
)
def test_options_of_fsdp_that_ask_in_vain_are_refused(
    option, value, advice, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert advice in refused(monkeypatch, capsys, **{**FSDP, option: value})


def test_four_bits_are_not_split(tmp_path):
    with pytest.raises(ConfigError, match="4 bits cannot be split"):
        MLLM.load(tmp_path, ModelSettings(load_in_4bit=True), split=lambda _: None)


def test_one_process_has_nothing_to_split(monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with processes.processes("cpu"):
        assert processes.splitter() is None
    assert "FSDP has no effect" in capsys.readouterr().err


def test_commands_for_one_process_refuse_several(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["probe", "nothing"]) == 2
    assert "`python -m tpad probe` runs in one process" in capsys.readouterr().err


def test_a_launcher_that_starts_one_process_of_several_is_told_of(monkeypatch, capsys):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with processes.processes("auto") as device:
        assert device == "cpu" and processes.size() == 1 and processes.is_main()
    assert "started one process" in capsys.readouterr().err


def test_pictures_of_several_caches_are_joined():
    """Also where one process had items without pictures only, and in families with grids."""

    def cache(counts: list[int], start: int) -> ImageCache:
        n, there = sum(counts), torch.tensor(counts) > 0
        flat = torch.arange(start, start + 3 * n).view(n, 3).float()
        return ImageCache(
            flat,
            torch.tensor(counts),
            there.float()[:, None],
            ["x" if c else "" for c in counts],
            there[:, None] * torch.tensor([[1, 2, 2]]) if n else None,
            (flat + 1,) if n else (),
        )

    parts = [cache([0, 0], 0), cache([2, 0, 1], 0), cache([1], 100)]
    whole = ImageCache.joined(parts)
    assert whole.counts.tolist() == [0, 0, 2, 0, 1, 1]
    assert torch.equal(whole.flat, torch.cat([part.flat for part in parts]))
    assert torch.equal(whole.deepstack[0], whole.flat + 1)
    assert whole.grids[:, 0].tolist() == [0, 0, 1, 0, 1, 1]
    assert torch.equal(whole.rows([5]).flat, parts[2].flat)
    assert not ImageCache.joined(parts[:1] * 2).has_image.any()
