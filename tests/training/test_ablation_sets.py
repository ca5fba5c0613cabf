"""Ablations in one workspace: what is shared, what is written, and what a kill leaves."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graph_keys import keys
from safetensors import safe_open

from tpad import Bundle, ConfigError, DataError
from tpad.training.ablations import sets as ablation_sets
from tpad.training.ablations.definitions import ABLATIONS, apply_ablation
from tpad.training.ablations.sets import train_sets
from tpad.training.config import TrainingConfig, preset
from tpad.training.embed import embed as embed_alone
from tpad.training.pipeline import train
from tpad.training.workspace import Workspace

TAKEN = ("no-tau", "whole-stand-ins", "one-space")
"""Ablations that leave out or rename a part of the full method's embeddings."""


def stage_counts(work: Path) -> Counter:
    """How many folders each stage has."""
    return Counter(folder.name.rsplit("-", 1)[0] for folder in work.iterdir() if folder.is_dir())


def read(file: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Vectors (n_items, d) float32 and the facts beside them."""
    with safe_open(file, "np") as opened:
        return opened.get_tensor("x").astype(np.float32), opened.metadata()


def train_all(run, out: Path, only, **options) -> tuple[list[Path], list[str]]:
    """The sets on the data, base, settings and workspace of a run; and what was said."""
    said: list[str] = []
    options = {"work": run.work, "config": run.config, "dataset": run.dataset} | options
    files = train_sets(
        base=run.base, out=out, only=only, device="cpu", say=said.append, quiet=True, **options
    )
    return files, said


@pytest.fixture(scope="module")
def sets(trained, tmp_path_factory):
    """Two ablations in the workspace of a bundle (a copy), and the stages that were added."""
    folder = tmp_path_factory.mktemp("sets")
    out, work = folder / "out", folder / "work"
    shutil.copytree(trained.work, work)
    before = stage_counts(work)
    files, said = train_all(trained, out, ["no-fields", "no-feedback"], work=work)
    return out, files, said, stage_counts(work) - before


def test_only_what_an_ablation_changes_is_computed(sets):
    *_, added = sets
    assert added == Counter(feedback=1)  # of no-fields; and never a recommender


def test_there_is_a_file_each_in_the_order_of_the_table(sets):
    out, files, said, _ = sets
    names = ["full", "no-feedback", "no-fields"]
    assert [file.name for file in files] == [f"{name}.safetensors" for name in names]
    assert sorted(file.name for file in out.iterdir()) == sorted(file.name for file in files)
    assert said == [
        "1/3 full: the full method",
        "2/3 no-feedback: without downstream feedback",
        "3/3 no-fields: without price and category",
    ]


def test_the_full_method_is_what_a_bundle_of_the_same_run_holds(sets, trained):
    vectors, facts = read(sets[1][0])
    bundle = Bundle.load(trained.bundle)
    np.testing.assert_array_equal(vectors, bundle.embeddings["tpad"])
    assert json.loads(facts["item_ids"]) == bundle.dataset.items["item_id"].tolist()
    assert facts["dataset"] == bundle.dataset.fingerprint
    assert json.loads(facts["full_config"]) == json.loads(json.dumps(trained.config.as_json()))


def test_the_full_method_can_be_had_alone(trained, tmp_path):
    files, _ = train_all(trained, tmp_path / "alone", ["full"])
    assert [file.stem for file in files] == ["full"]


def test_ablations_differ_from_the_full_method_where_they_should(sets):
    full, no_feedback, no_fields = (read(file)[0] for file in sets[1])
    assert full.shape == no_feedback.shape and not np.allclose(full, no_feedback, atol=1e-3)
    assert 0 < no_fields.shape[1] < full.shape[1]
    facts = read(sets[1][1])[1]
    told = ("no-feedback", "without downstream feedback")
    assert (facts["ablation"], facts["title"]) == told
    assert json.loads(facts["config"])["feedback"]["epochs"] == 0
    assert json.loads(facts["full_config"])["feedback"]["epochs"] == 1


def test_finished_sets_are_kept(sets, trained, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a finished set was trained again")

    monkeypatch.setattr(ablation_sets, "embed", never)
    _, said = train_all(trained, sets[0], ["no-fields"])
    assert said == ["1/2 full: already there", "2/2 no-fields: already there"]


@pytest.fixture
def embed(monkeypatch, trained):
    """Stands for the training; returns the settings that it was asked for."""
    asked = []

    def embed(dataset, base, config, workspace, **_):
        asked.append(config)
        return np.full((len(dataset), 3), len(asked), np.float32), {"tau": 1, "nu": 2}

    monkeypatch.setattr(ablation_sets, "embed", embed)
    return asked


def test_after_a_kill_the_same_command_goes_on(trained, tmp_path, embed, monkeypatch):
    work = ablation_sets.embed

    def killed(*args, **options):
        if len(embed) == 2:
            raise KeyboardInterrupt
        return work(*args, **options)

    monkeypatch.setattr(ablation_sets, "embed", killed)
    with pytest.raises(KeyboardInterrupt):
        train_all(trained, tmp_path, ["mine", "nwj"], work=tmp_path / "work")
    assert {file.name for file in tmp_path.glob("*.*")} == {"full.safetensors", "mine.safetensors"}
    monkeypatch.setattr(ablation_sets, "embed", work)
    files, said = train_all(trained, tmp_path, ["mine", "nwj"], work=tmp_path / "work")
    assert [config.distillation.lower_bound for config in embed] == ["infonce", "mine", "nwj"]
    assert [read(file)[0][0, 0] for file in files] == [1, 2, 3]
    assert said[-1] == "3/3 nwj: NWJ in place of InfoNCE"


def test_what_leaves_nothing_out_is_said_and_not_made(trained, tmp_path, embed):
    config = preset("demo")
    files, said = train_all(trained, tmp_path, None, config=config, work=tmp_path / "work")
    told = [line for line in said if "skipped" in line]
    assert told == ["no-feedback: skipped, because it changes nothing with these settings"]
    names = ["full", *(name for name in ABLATIONS if name != "no-feedback")]
    assert [file.stem for file in files] == names
    trained_ones = [name for name in names[1:] if name not in TAKEN]
    assert embed == [config, *(apply_ablation(config, name) for name in trained_ones)]


def test_a_set_of_other_parts_is_taken_from_the_full_method(trained, tmp_path, embed):
    files, _ = train_all(trained, tmp_path, TAKEN, work=tmp_path / "work")
    assert len(embed) == 1
    parts = {file.stem: json.loads(read(file)[1]["parts"]) for file in files}
    assert parts == {
        "full": {"tau": 1, "nu": 2},
        "no-tau": {"nu": 2},
        "whole-stand-ins": {"transitional": 1, "nu": 2},
        "one-space": {"nu": 3},
    }
    assert [read(file)[0].shape[1] for file in files] == [3, 2, 3, 3]


def test_a_set_is_only_taken_from_a_whole_representation(trained, tmp_path, embed):
    config = trained.config.override("representation", "intrinsic")
    train_all(trained, tmp_path, ["one-space"], config=config, work=tmp_path / "work")
    assert len(embed) == 2


@pytest.mark.parametrize("other", ["dataset", "config"])
def test_sets_of_another_run_do_not_go_beside(trained, tmp_path, embed, other):
    train_all(trained, tmp_path, ["mine"], work=tmp_path / "work")
    options = {
        "dataset": replace(trained.dataset, items=trained.dataset.items.assign(title="same")),
        "config": trained.config.override("seed", 1),
    }
    with pytest.raises(ConfigError, match=r"full\.safetensors was made from other data.*--out"):
        train_all(trained, tmp_path, ["jsd"], work=tmp_path / "work", **{other: options[other]})
    assert len(embed) == 2 and not (tmp_path / "jsd.safetensors").exists()
    (tmp_path / "full.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="damaged"):
        train_all(trained, tmp_path, ["jsd"], work=tmp_path / "work")


def test_unknown_names_are_refused_before_anything_is_done(trained, tmp_path, embed):
    with pytest.raises(ConfigError, match=r"no ablation 'no-magic'.*no-words"):
        train_all(trained, tmp_path / "out", ["mine", "no-magic"], work=tmp_path / "work")
    assert not embed and not list(tmp_path.iterdir())


def demo_with_less_work() -> TrainingConfig:
    config = preset("demo")
    for path, value in {
        "knowledge.max_new_tokens": 6,
        "transfer.max_sessions": 32,
        "imagined.per_item": 2,
        "describing.epochs": 1,
        "teacher.sessions": 24,
        "teacher.candidates": 8,
        "distillation.epochs": 2,
        "text_components": 16,
    }.items():
        config = config.override(path, value)
    return config


SAME_VECTORS = ("whole-stand-ins", "one-space")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smoke", "demo"])
def test_every_ablation_runs_and_stages_are_shared(trained, tmp_path, name):
    """All of them, really trained: by the smoke preset, and by the demo's with less work."""
    config = trained.config if name == "smoke" else demo_with_less_work()
    work = tmp_path / "work"
    files, _ = train_all(trained, tmp_path / "out", None, config=config, work=work)
    assert len(files) == (19 if name == "smoke" else 18)
    sets = {file.stem: read(file)[0] for file in files}
    for one, vectors in sets.items():
        assert len(vectors) == len(trained.dataset) and np.isfinite(vectors).all()
        if one not in ("full", *SAME_VECTORS) and vectors.shape == sets["full"].shape:
            assert not np.array_equal(vectors, sets["full"]), one
    configs = [config, *(apply_ablation(config, one) for one in ABLATIONS)]
    planned = {
        each for c in configs for each in keys(trained.dataset, trained.base.path, c).items()
    }
    assert stage_counts(work) == Counter(stage for stage, _ in planned if stage != "embeddings")


@pytest.fixture(scope="module")
def parts(trained, tmp_path_factory):
    """The ablations of the representation, name -> (n_items, d)."""
    out = tmp_path_factory.mktemp("parts") / "out"
    only = ["no-tau", "describing-only", "captions", "no-disentanglement"]
    files, _ = train_all(trained, out, only)
    return {file.stem: read(file)[0] for file in files}


def test_without_tau_the_rest_is_the_very_same(parts, trained):
    tau = trained.config.distillation.tau
    np.testing.assert_array_equal(parts["no-tau"], parts["full"][:, tau:])


def test_some_ablations_change_only_what_the_recommender_knows_of_the_parts(trained, tmp_path):
    files, _ = train_all(trained, tmp_path / "parts", SAME_VECTORS)
    (full, facts), *others = (read(file) for file in files)
    tau, nu, fields = json.loads(facts["parts"]).values()
    expected = [
        {"transitional": tau, "nu": nu, "fields": fields},
        {"nu": tau + nu, "fields": fields},
    ]
    for (vectors, own), parts in zip(others, expected, strict=True):
        np.testing.assert_array_equal(vectors, full)
        assert json.loads(own["parts"]) == parts


def test_describing_only_holds_the_words_before_any_distillation(parts):
    words, alone = parts["no-tau"], parts["describing-only"]
    assert alone.shape == words.shape
    n_fields = np.flatnonzero((alone == words).all(0))
    assert 0 < len(n_fields) < alone.shape[1]  # the fields are equal, the words have moved


def test_captions_are_the_words_that_the_base_writes(parts, trained):
    captions, n_fields = parts["captions"], 3 + trained.dataset.items["category"].nunique()
    words = captions[:, :-n_fields]
    assert set(np.unique(words)) == {0.0, 1.0}
    np.testing.assert_array_equal(captions[:, -n_fields:], parts["full"][:, -n_fields:])
    warm = words[~trained.dataset.cold]
    assert (warm.sum(0) >= 5).all()  # the vocabulary is that of the training items
    assert words[trained.dataset.cold].any()


def test_captions_are_joined_with_given_vectors(trained, tmp_path):
    config = apply_ablation(trained.config.override("imagined.per_item", 0), "captions")
    config = config.override("features", ("tfidf",))
    shutil.copytree(trained.work, tmp_path / "work")
    x, parts = embed_alone(
        trained.dataset, trained.base, config, Workspace(tmp_path / "work", True), device="cpu"
    )
    assert list(parts) == ["nu", "given:tfidf", "fields"]
    assert x[:, parts["nu"] : parts["nu"] + parts["given:tfidf"]].any(1).all()


def test_no_disentanglement_changes_nothing_but_the_penalty(parts, trained):
    full, without = parts["full"], parts["no-disentanglement"]
    assert without.shape == full.shape and not np.array_equal(full, without)
    config = apply_ablation(trained.config, "no-disentanglement")
    assert config == trained.config.override("distillation.separate_weight", 0.0)


def test_an_ablation_of_the_representation_has_no_bundle(trained, tmp_path):
    config = apply_ablation(trained.config, "captions")
    with pytest.raises(ConfigError, match="python -m tpad ablate"):
        train(trained.dataset, trained.base, config, tmp_path / "bundle", device="cpu", quiet=True)
