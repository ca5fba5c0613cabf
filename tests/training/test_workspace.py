"""The workspace: stages named after what they depend on, half-finished ones that go on."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tpad.model.heads import HeadsConfig
from tpad.training import workspace as workspace_module
from tpad.training.optimisation import Optimisation, epoch_generator
from tpad.training.workspace import Workspace, digest, in_chunks, named_tensors


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path / "work", quiet=True)


def test_a_stage_is_named_after_everything_it_depends_on(workspace):
    stage = workspace.stage("x", digest("one"), "X")
    assert workspace.stage("x", digest("one"), "another title").folder == stage.folder
    others = [workspace.stage("x", digest("two"), "X"), workspace.stage("y", digest("one"), "X")]
    assert len({stage.folder, *(other.folder for other in others)}) == 3


def test_a_digest_tells_values_apart():
    config = HeadsConfig()
    values = [
        (config, 0),
        (HeadsConfig(tau=9), 0),
        (config, 1),
        ([config], 0),
        ([1, "a"],),
        ([1], "a"),
    ]
    assert len({digest(*value) for value in values}) == len(values)
    assert digest(config) == digest(HeadsConfig())


def test_a_workspace_tells_how_far_a_stage_is(workspace):
    assert workspace.state("x", "key") == "to run"
    assert not list(workspace.folder.glob("*"))  # nothing is made by asking
    stage = workspace.stage("x", "key", "X")
    assert workspace.state("x", "key") == "to run"
    stage.save_json("words", [])
    assert workspace.state("x", "key") == "interrupted"
    stage.finish()
    assert workspace.state("x", "key") == "cached"


def test_results_come_back_and_only_finished_ones_count(workspace):
    stage = workspace.stage("x", "1", "X")
    assert not stage.done and not stage.has("numbers")
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array([1, 2], np.int64)}
    stage.save_arrays("numbers", arrays)
    stage.save_json("words", ["ü", None])
    assert not stage.done and stage.has("numbers")
    stage.finish(best=0.5)
    again = workspace.stage("x", "1", "X")
    assert again.done and again.facts() == {"best": 0.5} and again.load_json("words") == ["ü", None]
    back = again.load_arrays("numbers")
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
    assert not list(stage.folder.glob("*.part"))


def test_a_broken_write_leaves_the_old_file(workspace):
    stage = workspace.stage("x", "1", "X")
    stage.save_json("facts", {"a": 1})
    with pytest.raises(TypeError):
        stage.save_json("facts", {"a": object()})
    assert stage.load_json("facts") == {"a": 1}


def test_lines_are_added_one_by_one_and_a_cut_off_one_is_forgotten(workspace):
    stage = workspace.stage("x", "1", "X")
    assert stage.load_lines("partial") == []
    stage.append_line("partial", ["ü", "two\nlines"])
    stage.append_line("partial", {"a": 1})
    with (stage.folder / "partial.jsonl").open("a", encoding="utf-8") as file:
        file.write('["cut')
    assert stage.load_lines("partial") == [["ü", "two\nlines"], {"a": 1}]
    stage.append_line("partial", 3)
    assert stage.load_lines("partial") == [["ü", "two\nlines"], {"a": 1}, 3]
    stage.finish()
    assert not list(stage.folder.glob("partial*"))


@pytest.mark.parametrize("n", [1, 4, 5, 11, 1000])
def test_what_is_read_in_chunks_resumes_and_leaves_no_files(workspace, monkeypatch, n):
    monkeypatch.setattr(workspace_module, "CHUNK", 4)
    stage, asked = workspace.stage("x", "1", "X"), []
    values = np.random.default_rng(0).random((n, 3), dtype=np.float32)
    last = None

    def read(rows: range) -> dict[str, np.ndarray]:
        if rows.stop == last:
            raise KeyboardInterrupt
        asked.extend(rows)
        return {"x": values[rows.start : rows.stop], "n": np.array(rows)}

    plain = in_chunks(n, read)
    assert np.array_equal(plain["x"], values) and plain["n"].tolist() == list(range(n)) == asked
    asked.clear()
    last = n
    with pytest.raises(KeyboardInterrupt):
        in_chunks(n, read, stage)
    done, last = list(asked), None
    found = in_chunks(n, read, stage)
    assert asked == list(range(n)) and len(done) < n  # nothing is read twice
    assert all(np.array_equal(found[name], plain[name]) for name in plain)
    assert len(list(stage.folder.glob("partial.items.*"))) <= workspace_module.MOST_CHUNKS
    stage.finish()
    assert not list(stage.folder.glob("partial*"))


class Problem:
    """A small regression with dropout, whose epochs can be interrupted."""

    def __init__(self, stage) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.aside = nn.Linear(4, 4)
        self.second = torch.optim.Adam(self.aside.parameters(), 1e-2)
        self.unused = nn.Parameter(torch.ones(3))  # never gets a gradient
        parameters = [*self.model.parameters(), self.unused]
        self.optimisation = Optimisation([{"params": parameters, "lr": 1e-2}], steps=20)
        self.stage = stage

    def run(self, epochs: int, stop_after: int | None = None) -> dict[str, torch.Tensor]:
        tensors = named_tensors(model=self.model, aside=self.aside)
        first = self.stage.load_epoch(tensors, *self.optimisation.optimizers, self.second)
        self.optimisation.taken = 5 * first
        for epoch in range(first, epochs):
            if epoch == stop_after:
                raise KeyboardInterrupt
            rng = epoch_generator(0, "test", epoch)
            for _ in range(5):
                x = torch.from_numpy(rng.normal(size=(16, 4))).float()
                self.optimisation.step((self.model(x) - x[:, :1]).square().mean())
                self.second.zero_grad()
                (self.aside(x) - x).square().mean().backward()
                self.second.step()
            self.stage.save_epoch(epoch + 1, tensors, *self.optimisation.optimizers, self.second)
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def test_an_interrupted_stage_ends_where_an_uninterrupted_one_does(workspace):
    whole = Problem(workspace.stage("whole", "key", "W")).run(4)
    stage = workspace.stage("parts", "key", "P")
    with pytest.raises(KeyboardInterrupt):
        Problem(stage).run(4, stop_after=2)
    torch.manual_seed(99)  # another process
    resumed = Problem(stage).run(4)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (stage.folder / "epoch.safetensors").is_file()
    stage.finish()
    assert not list(stage.folder.glob("epoch.*"))  # no longer needed


def test_a_state_keeps_tensors_and_facts_together(workspace):
    stage = workspace.stage("x", "1", "X")
    assert stage.load_state() is None
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(True)}
    facts = {"random": np.random.default_rng(0).bit_generator.state, "loss": [0.1, float("inf")]}
    stage.save_state({}, {"an": "older one"})
    stage.save_state(tensors, facts)
    back, told = workspace.stage("x", "1", "X").load_state()
    assert back.keys() == tensors.keys() and told == facts
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_the_optimisers_matter_for_that(workspace):
    """Without the optimisers' state the result would be another: the test above can fail."""
    whole = Problem(workspace.stage("whole", "key", "W")).run(4)
    stage = workspace.stage("parts", "key", "P")
    with pytest.raises(KeyboardInterrupt):
        Problem(stage).run(4, stop_after=2)
    forgetful = Problem(stage)
    forgetful.stage = type(
        "Forgetful",
        (),
        {
            "load_epoch": lambda self, tensors, *_: stage.load_epoch(tensors),
            "save_epoch": lambda *_: None,
        },
    )()
    resumed = forgetful.run(4)
    assert not torch.equal(whole["model.0.weight"], resumed["model.0.weight"])


def test_the_rate_warms_up_and_falls():
    weight = nn.Parameter(torch.ones(2, 2))
    optimisation = Optimisation([{"params": [weight], "lr": 1.0}], steps=100)
    rates = []
    for _ in range(100):
        optimisation.step(weight.square().sum())
        rates.append(optimisation.optimizers[0].param_groups[0]["lr"])
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0, abs=0.05)
    assert rates.index(max(rates)) in range(8, 12) and rates[-1] < 0.02


def test_gradients_are_clipped_and_vectors_are_not_decayed():
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimisation = Optimisation(
        [{"params": [matrix, vector], "lr": 0.1, "weight_decay": 0.5}], steps=1
    )
    optimisation.step((matrix.sum() + vector.sum()) * 0.0)
    assert (matrix < 1).all() and torch.equal(vector.detach(), torch.ones(2))
    optimisation.step((1e6 * matrix).sum())
    assert matrix.grad.norm() <= 1.0 + 1e-5


def test_what_is_told_goes_to_the_log(workspace):
    stage = workspace.stage("x", "1", "X")
    stage.say("epoch 1: Ü", epoch=1, loss=0.25)
    stage.say("epoch 2", epoch=2)
    lines = [json.loads(line) for line in workspace.log.read_text("utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert (
        lines[0]["stage"] == "X" and lines[0]["loss"] == 0.25 and lines[0]["text"] == "epoch 1: Ü"
    )


def test_the_history_is_that_of_the_last_run_of_each_stage(workspace):
    first, other = (workspace.stage(name, "key", name) for name in ("one", "two"))
    assert workspace.history() == []
    for epoch in (1, 2, 3):
        first.say(f"epoch {epoch}/3", epoch=epoch)
    other.say("read 3 items", items=3)
    first.say("epoch 1/2", epoch=1)
    other.say("read 3 items", items=3)
    with workspace.log.open("a") as file:
        file.write('{"time": 1, "sta')
    assert [(line["stage"], line["text"]) for line in workspace.history()] == [
        ("one", "epoch 1/2"),
        ("two", "read 3 items"),
    ]
