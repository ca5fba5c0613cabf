"""Stages that are killed go on where they were, and end where an uninterrupted run ends."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stage_runs import context_of, logged, new_stage

from tpad.data.dataset import Dataset
from tpad.model.session.fused import FusedModel
from tpad.training import workspace
from tpad.training.context import Context
from tpad.training.fusion import FusionTuning
from tpad.training.graph import Graph
from tpad.training.stages import (
    adaptation,
    describing,
    descriptions,
    distillation,
    feedback,
    recommender,
    teacher,
    transfer,
)
from tpad.training.stages.embeddings import Embeddings
from tpad.training.trainer import Trainer
from tpad.training.workspace import Stage, Workspace


def run_stage(run, module, folder, change, stop=None, alter=None):
    """Runs one stage as in a new process; `stop` is (object, name of a method, at which call).

    `alter` gives the context that the stage gets in place of the run's.
    """
    context, spec = context_of(run, module.STAGE), module.STAGE
    config = replace(getattr(run.config, spec.config), **change)
    if alter is not None:
        context = alter(context)
    torch.manual_seed(np.random.default_rng().integers(2**31))  # nothing may depend on it
    with pytest.MonkeyPatch.context() as patch:
        if stop is not None:
            owner, name, call = stop
            real, calls = getattr(owner, name), []

            def stopping(*some, **named):
                calls.append(1)
                if len(calls) == call:
                    raise KeyboardInterrupt
                return real(*some, **named)

            patch.setattr(owner, name, stopping)
        return context.mllm, module.run(config, context, new_stage(folder))


CASES = {
    "adaptation": (
        adaptation,
        {"targets": "shop", "adapt_epochs": 2, "max_new_tokens": 12},
        (adaptation, "epoch_generator", 2),
        adaptation.ADAPTER,
    ),
    "transfer": (
        transfer,
        {"epochs": 2, "max_sessions": 16, "batch_size": 8},
        (transfer._Training, "_epoch", 2),
        transfer.ADAPTER,
    ),
    "describing": (
        describing,
        {"epochs": 2},
        (describing, "epoch_generator", 2),
        describing.ADAPTER,
    ),
    "distillation": (
        distillation,
        {"epochs": 2},
        (distillation._Training, "_epoch", 2),
        "student",
    ),
}


def assert_resumes(run, folder, module, change, stop, adapter, alter=None):
    """Kills a stage, runs it again, and compares it with one that nobody disturbed."""
    mllm, _ = run_stage(run, module, folder / "whole", change, alter=alter)
    with pytest.raises(KeyboardInterrupt):
        run_stage(run, module, folder / "parts", change, stop, alter)
    assert (folder / "parts" / "epoch.safetensors").is_file()
    again, _ = run_stage(run, module, folder / "parts", change, alter=alter)
    pairs = zip(mllm.adapters.parameters(adapter), again.adapters.parameters(adapter), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    whole, parts = new_stage(folder / "whole"), new_stage(folder / "parts")
    assert whole.done and parts.done
    assert not list(parts.folder.glob("epoch.*"))  # no longer needed
    for path in whole.folder.glob("*.safetensors"):
        one, other = whole.load_arrays(path.stem), parts.load_arrays(path.stem)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one), path.stem


@pytest.mark.parametrize("name", CASES)
def test_a_killed_stage_ends_where_an_uninterrupted_one_does(name, trained, tmp_path):
    assert_resumes(trained, tmp_path, *CASES[name])


def test_a_transfer_stage_that_is_killed_within_an_epoch_goes_on_there(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(transfer, "SAVE_EVERY", 2)
    change = {"epochs": 1, "max_sessions": 16, "batch_size": 4}
    assert_resumes(
        trained, tmp_path, transfer, change, (transfer._Training, "_step", 4), transfer.ADAPTER
    )
    whole, parts = (
        line["generation"] for line in logged(tmp_path / "parts") if "generation" in line
    )
    assert parts == pytest.approx(whole)


def test_the_features_of_a_transfer_stage_do_not_depend_on_the_chunks(
    trained, tmp_path, monkeypatch
):
    change = {"epochs": 1, "max_sessions": 16, "batch_size": 4}
    _, whole = run_stage(trained, transfer, tmp_path / "whole", change)
    monkeypatch.setattr(workspace, "CHUNK", 3)
    _, parts = run_stage(trained, transfer, tmp_path / "parts", change)
    assert len(whole.train.features) > 16
    for name in ("train", "validation"):
        one, other = (getattr(result, name).features for result in (whole, parts))
        assert one.shape == other.shape and np.abs(one - other).max() < 0.02 * np.abs(one).max()


def test_a_killed_student_stage_gives_the_trained_reader(trained, tmp_path):
    """Also when it is killed after the last epoch, before the reader is kept."""
    change, folder = {"epochs": 1}, tmp_path / "parts"
    _, (weight, bias) = run_stage(trained, describing, tmp_path / "whole", change)
    with pytest.raises(KeyboardInterrupt):
        run_stage(trained, describing, folder, change, (Stage, "save_arrays", 1))
    assert not new_stage(folder).has("reader")
    for _ in range(2):  # the rest of the stage, and a start that finds it finished
        _, again = run_stage(trained, describing, folder, change)
        assert torch.equal(again[0], weight) and torch.equal(again[1], bias)
    # A pipeline that finds the stage finished hands the kept reader on.
    kept, *more = trained.work.glob("describing-*")
    given = context_of(trained, distillation.STAGE)["describing"]
    stored = torch.from_numpy(new_stage(kept).load_arrays("reader")["weight"])
    assert not more and torch.equal(given[0], stored)


@pytest.mark.slow
@pytest.mark.parametrize(("every", "validated"), [(3, True), (0, True), (3, False)])
def test_killed_feedback_ends_where_an_uninterrupted_one_does(every, validated, trained, tmp_path):
    steps = []

    def alter(context):
        # Five steps an epoch, so that the adapter steps at other places in each epoch.
        recommender, dataset = replace(context.recommender, batch_size=32), context.dataset
        if not validated:
            dataset = replace(dataset, validation=dataset.validation.take(np.arange(0)))
        return replace(context, recommender=recommender, dataset=dataset)

    with pytest.MonkeyPatch.context() as patch:
        real = feedback.LiveTable._step_adapter
        patch.setattr(
            feedback.LiveTable,
            "_step_adapter",
            lambda self, gradient: (steps.append(self.calls), real(self, gradient)),
        )
        change, stop = {"epochs": 3, "adapter_every": every}, (Stage, "say", 2)
        assert_resumes(trained, tmp_path, feedback, change, stop, "student", alter)
    assert steps == ([3, 9, 12, 15] * 2 if every else [])  # 6 is the first of an epoch


def test_a_killed_recommender_ends_where_an_uninterrupted_one_does(
    dataset: Dataset, config, tmp_path, monkeypatch
):
    features = np.random.default_rng(0).standard_normal((len(dataset), 8)).astype(np.float32)
    config = config.override("recommender.content.epochs", 2)
    config = config.override("recommender.ids.epochs", 2)
    config = config.override("recommender.tried", ["content", "ids"])

    def fit(work: str) -> tuple[FusedModel, FusionTuning]:
        results = Context(
            dataset,
            SimpleNamespace(device="cpu"),
            [],
            [],
            reads_pictures=True,
            layers=(),
            recommender=config.recommender.content,
            max_new_tokens=1,
            results={
                "embeddings": Embeddings({"tpad": features}, {"tpad": {"tau": features.shape[1]}})
            },
        )
        graph = Graph(recommender.stages_of("tpad"), config, {"dataset": "d", "tpad": "x"})
        graph.run(results, Workspace(tmp_path / work, quiet=True))
        return results["recommender-tpad"]

    def stopped(owner: object, name: str, call: int) -> list[int]:
        """Run until a call of a function; returns the epochs that were trained."""
        real, calls, epochs = getattr(owner, name), [], []

        def stopping(*some, **named):
            calls.append(1)
            if len(calls) == call:
                raise KeyboardInterrupt
            return real(*some, **named)

        trained = Trainer._epoch
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, stopping)
            patch.setattr(
                Trainer,
                "_epoch",
                lambda self, epoch, bar: (epochs.append(epoch), trained(self, epoch, bar))[1],
            )
            fit("parts")
        return epochs

    whole, tuning = fit("whole")
    # Within the second network, and before the last file.
    assert stopped(Stage, "say", 5) == [1, 2, 1]
    last = [1, 2] if tuning.weights.network else [1]  # a network that is not used is hardly trained
    assert stopped(recommender, "save_recommender", 1) == [2, *last]
    # All epochs, those of the tuning included, are done: none is run again.
    monkeypatch.setattr(Trainer, "_epoch", None)
    parts, again = fit("parts")
    weights = parts.network.state_dict()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert again == tuning and parts.weights == tuning.weights
    assert parts.network.config == replace(tuning.network, epochs=len(last))
    assert not list((tmp_path / "parts").glob("*/epoch.*"))


def test_a_stopped_teacher_scores_only_what_is_left(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "CHUNK", 2)
    scored = []

    def score(shop, chats, candidates, answers):
        scored.extend(row.tolist() for row in candidates)
        if len(scored) == 20 and stop:
            raise KeyboardInterrupt
        return (candidates / 1000).astype(np.float32)

    monkeypatch.setattr(teacher, "_score", score)
    stop = False
    _, whole = run_stage(trained, teacher, tmp_path / "whole", {})
    first, stop = list(scored), True
    scored.clear()
    with pytest.raises(KeyboardInterrupt):
        run_stage(trained, teacher, tmp_path / "parts", {})
    stop = False
    scored.clear()
    _, parts = run_stage(trained, teacher, tmp_path / "parts", {})
    assert scored == first[16:]  # scores are saved every eight chunks
    assert np.array_equal(whole.log_likelihood, parts.log_likelihood)
    assert np.array_equal(whole.candidates, parts.candidates)


def test_a_stopped_writer_writes_only_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(descriptions, "CHUNK", 2)
    asked = []

    stops = True

    def generate(mllm, items, **_):
        asked.extend(items)
        if stops and len(asked) == 14:
            raise KeyboardInterrupt
        return [f" about {item} " if item else " " for item in items]

    monkeypatch.setattr(descriptions, "generate", generate)
    shop, stage = SimpleNamespace(mllm=None, images=None), new_stage(tmp_path / "descriptions")
    items = list(range(19))
    with pytest.raises(KeyboardInterrupt):
        descriptions.write_descriptions(items, shop, stage, 8, "writing")
    asked.clear()
    stops = False
    written = descriptions.write_descriptions(items, shop, stage, 8, "writing")
    assert asked == items[12:]  # what is written is kept chunk by chunk
    assert written == ["unknown", *(f"about {item}" for item in items[1:])]
    stage.finish()
    assert not list(stage.folder.glob("partial*"))
