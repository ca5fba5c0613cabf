"""The graph of stages: what each setting reruns, and that a run does just what was planned."""

from dataclasses import replace

import pytest
from graph_keys import keys

from tpad.training.ablations.definitions import ABLATIONS, apply_ablation
from tpad.training.graph import Graph
from tpad.training.pipeline import STAGES, plan, train
from tpad.training.stage import StageSpec
from tpad.training.workspace import Workspace

NAMES = [spec.name for spec in STAGES if spec.name not in ("adaptation", "alignment")]
"""Stages of the smoke preset: the base stays frozen, and k_tau comes from words."""


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in after if before.get(name) != after[name]}


def test_a_stage_comes_after_all_that_it_needs():
    for place, spec in enumerate(STAGES):
        assert set(spec.needs) <= {earlier.name for earlier in STAGES[:place]}, spec.name


LAST = {"distillation", "feedback", "embeddings"}
STUDENT = {"describing", "student"}
LATER = {"transfer", "teacher", *LAST}


@pytest.mark.parametrize(
    ("setting", "value", "repeated"),
    [
        ("knowledge.max_text", 100, set(NAMES) - {"pictures"}),
        ("knowledge.targets", "shop", set(NAMES) - {"pictures", "knowledge"}),
        ("knowledge.layers", (1, 4), {"knowledge", "student", *LATER}),
        ("transfer.epochs", 5, LATER),
        ("teacher.sessions", 25, {"teacher", *LAST}),
        ("imagined.per_item", 2, {"imagined", "teacher", *STUDENT, *LAST}),
        ("describing.epochs", 2, {*STUDENT, *LAST}),
        ("distillation.tau", 20, LAST),
        ("feedback.epochs", 2, {"feedback", "embeddings"}),
        ("recommender.content.width", 48, {"feedback", "embeddings"}),
        ("fields", False, {"feedback", "embeddings"}),
        ("text_components", 8, {"embeddings"}),
        ("baselines", (), {"embeddings"}),
        ("model.visual_tokens", 1, set(NAMES)),
        ("model.gradient_checkpointing", True, set()),
        ("inputs", "image", set(NAMES) - {"pictures"}),
        ("inputs", "text", set(NAMES)),
        ("seed", 1, {"transfer", "imagined", "teacher", *STUDENT, *LAST}),
        ("recommender.ids.width", 48, set()),  # the recommenders come later
    ],
)
def test_a_changed_setting_reruns_what_depends_on_it(
    dataset, base_folder, config, setting, value, repeated
):
    before = keys(dataset, base_folder, config)
    assert list(before) == NAMES
    assert changed(before, keys(dataset, base_folder, config.override(setting, value))) == repeated


@pytest.mark.parametrize(
    ("setting", "value", "repeated"),
    [
        ("alignment.steps", 7, {"alignment", "embeddings"}),
        ("alignment.teacher_weight", 0.1, {"descriptions", "transfer", "alignment", "embeddings"}),
        ("baselines", ("transfer",), {"descriptions", "transfer", "alignment", "embeddings"}),
        ("knowledge.layers", (3,), {"knowledge", "alignment", "embeddings"}),
        ("describing.epochs", 2, set()),
        ("distillation.tau", 20, set()),
        ("seed", 1, {"alignment", "embeddings"}),
    ],
)
def test_a_student_of_sessions_needs_few_stages(
    dataset, base_folder, config, setting, value, repeated
):
    config = replace(config, tau="sessions", baselines=("knowledge",)).override(
        "alignment.steps", 3
    )
    before = keys(dataset, base_folder, config)
    assert list(before) == ["pictures", "knowledge", "alignment", "embeddings"]
    assert changed(before, keys(dataset, base_folder, config.override(setting, value))) == repeated


CHANGED_BY = {
    "no-generation": {"transfer", *LAST},
    "no-distillation": LAST,
    "no-disentanglement": LAST,
    "no-tau": set(),
    "whole-stand-ins": set(),
    "one-space": set(),
    "describing-only": {"distillation", "embeddings"},
    "captions": set(),  # the smoke preset has the base write its captions anyway
    "no-alignment": LAST,
    "image-only": set(NAMES) - {"pictures"},
    "text-only": set(NAMES),
    "mine": LAST,
    "nwj": LAST,
    "jsd": LAST,
    "no-words": LAST,
    "last-layer": {"knowledge", "student", *LATER},
    "no-feedback": {"embeddings"},
    "no-fields": {"feedback", "embeddings"},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_reruns_only_the_stages_that_it_changes(dataset, base_folder, config, name):
    before = keys(dataset, base_folder, config)
    after = keys(dataset, base_folder, apply_ablation(config, name))
    assert changed(before, after) == CHANGED_BY[name]
    left_out = (
        {"teacher"} if name in ("no-generation", "no-distillation", "describing-only") else set()
    )
    left_out |= {"feedback"} if name in ("no-feedback", "describing-only") else set()
    assert set(before) - set(after) == left_out


def test_an_adapted_base_reruns_all_that_it_reads_and_writes(dataset, base_folder, config):
    frozen = keys(dataset, base_folder, config)
    adapted = config.override("knowledge.adapt_epochs", 1)
    before = keys(dataset, base_folder, adapted)
    assert changed(frozen, before) == {"adaptation", *NAMES} - {"pictures"}
    # It is trained on titles as they are cut for sessions, whatever layers are read.
    cut = keys(dataset, base_folder, adapted.override("transfer.max_title", 20))
    assert "adaptation" in changed(before, cut)
    layers = keys(dataset, base_folder, adapted.override("knowledge.layers", (-1,)))
    assert not changed(before, layers) & {"adaptation", "descriptions", "imagined", "describing"}
    unread = keys(dataset, base_folder, config.override("transfer.max_title", 20))
    assert not changed(frozen, unread) & {"descriptions", "knowledge", "imagined"}


def test_another_shop_or_base_reruns_everything(dataset, base_folder, config, tmp_path):
    before = keys(dataset, base_folder, config)
    other = replace(dataset, items=dataset.items.assign(title="the same"))
    assert changed(before, keys(other, base_folder, config)) == set(NAMES)
    assert changed(before, keys(dataset, tmp_path, config)) == set(NAMES)


SETS_CHANGED_BY = {
    "text_components": {"tfidf", "vision_tfidf"},
    "transfer.epochs": {"tpad", "transfer"},
    "inputs": {"tpad", "transfer", "knowledge", "tfidf", "vision_tfidf"},
}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("feedback.epochs", 2),
        ("text_components", 8),
        pytest.param("distillation.tau", 20, marks=pytest.mark.slow),
        pytest.param("transfer.epochs", 2, marks=pytest.mark.slow),
        pytest.param("inputs", "image", marks=pytest.mark.slow),
    ],
)
def test_a_real_run_makes_the_folders_that_the_graph_names(trained, tmp_path, setting, value):
    """What is new in the workspace of a run is what the plan says."""
    config = trained.config.override(setting, value)
    planned = plan(trained.dataset, trained.base, config, trained.work)
    states = {one.name: one.state for one in planned}
    expected = changed(
        keys(trained.dataset, trained.base.path, trained.config),
        keys(trained.dataset, trained.base.path, config),
    )
    assert {name for name, state in states.items() if state == "to run"} == expected
    folders = {path.name for path in trained.work.iterdir()}
    train(
        trained.dataset,
        trained.base,
        config,
        tmp_path / "bundle",
        work=trained.work,
        device="cpu",
        quiet=True,
    )
    made = {path.name for path in trained.work.iterdir()} - folders
    stages = {name.rsplit("-", 1)[0] for name in made}
    later = {name for name in stages if name.startswith(("tuning-", "recommender-"))}
    assert stages - later == expected
    # A recommender is fitted again where the embeddings of its set are others.
    sets = {name.split("-")[1] for name in later}
    assert sets == SETS_CHANGED_BY.get(setting, {"tpad"})
    after = plan(trained.dataset, trained.base, config, trained.work)
    assert {one.state for one in after} == {"cached"} and len(after) > len(planned)


def test_a_plan_writes_nothing_and_sees_what_was_interrupted(trained, tmp_path):
    work = tmp_path / "work"
    planned = plan(trained.dataset, trained.base, trained.config, work)
    assert [one.name for one in planned] == NAMES
    assert {one.state for one in planned} == {"to run"} and not work.exists()
    key = keys(trained.dataset, trained.base.path, trained.config)["pictures"]
    workspace = Workspace(work, quiet=True)
    workspace.stage("pictures", key, "pictures").save_json("half", [])
    again = plan(trained.dataset, trained.base, trained.config, work)
    assert [one.state for one in again[:2]] == ["interrupted", "to run"]


def test_targets_run_with_all_that_they_need_and_nothing_else(tmp_path):
    ran = []

    def spec(name, needs=(), wanted=True):
        return StageSpec(
            name, lambda *_: ran.append(name), needs=needs, wanted=lambda config: wanted
        )

    specs = [
        spec("a"),
        spec("b", ("a",)),
        spec("c", wanted=False),
        spec("d", ("a", "c")),
        spec("e"),
    ]
    graph = Graph(specs, object(), {})
    context = type("Anything", (), {"results": {}})()
    graph.run(context, Workspace(tmp_path, quiet=True), ["d"])
    assert ran == ["a", "d"] and context.results["c"] is None
