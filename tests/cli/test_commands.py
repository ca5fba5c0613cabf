"""The command line: what is refused, in one sentence and with exit code 2; what is done."""

import subprocess
import sys

import pandas as pd
import pytest
from tiny_base import make_tiny_base

from tpad import Bundle, assets
from tpad.__main__ import main
from tpad.mllm import ModelSettings
from tpad.training import pipeline
from tpad.training.ablations import sets as ablation_sets
from tpad.training.ablations.definitions import ABLATIONS, SETS_ONLY


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused; returns its sentence."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        told = capsys.readouterr().err.strip()
        assert told.startswith("error: ") and "\n" not in told and "Traceback" not in told
        assert told.endswith(".")
        return told

    return run


@pytest.fixture
def tables(tmp_path):
    """A shop of three items and two sessions."""
    items, clicks = tmp_path / "items.csv", tmp_path / "clicks.csv"
    items.write_text("item_id,title,price\na,red case,3\nb,phone,200\nc,charger,9\n")
    clicks.write_text(
        "session_id,item_id,timestamp\n"
        + "".join(f"s{s},{item},{100 * s + i}\n" for s in range(12) for i, item in enumerate("bac"))
    )
    return items, clicks


@pytest.fixture
def on_the_tables(tables, tmp_path):
    """The arguments of a command that reads both tables."""
    items, clicks = tables

    def arguments(command: str, *options: object, out: str = "b") -> list[str]:
        given = [command, "--items", items, "--interactions", clicks, "--out", tmp_path / out]
        return [str(argument) for argument in (*given, *options)]

    return arguments


@pytest.fixture
def nothing_is_trained(monkeypatch):
    """Training itself is left out; returns what it would have got."""
    got = {}

    def train(dataset, base, config, out, **options):
        got.update(dataset=dataset, base=base, config=config, out=out, **options)

    monkeypatch.setattr(pipeline, "train", train)
    return got


def test_a_folder_that_is_in_use_is_refused(refused, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    assert str(tmp_path) in refused("world", "--out", tmp_path, "--items", 48)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--items", 10), "items must be at least 48"),
        (("--seed", -1), "seed"),
        (("--train", 0), "train_sessions"),
        (("--workers", 0), "--workers"),
    ],
)
def test_a_world_that_cannot_be_made(refused, tmp_path, arguments, named):
    assert named in refused("world", "--out", tmp_path / "shop", *arguments)
    assert not (tmp_path / "shop").exists()


def test_a_world_wants_a_place(refused):
    assert "--out" in refused("world")


@pytest.mark.parametrize(
    ("arguments", "named"), [(("--see-steps", 0), "see_steps"), (("--workers", 0), "--workers")]
)
def test_a_pretraining_that_cannot_be(refused, tmp_path, arguments, named):
    assert named in refused("pretrain", "--out", tmp_path / "base", *arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--ablation", "no-magic"), "'no-magic'"),
        (("--ablation", "captions"), "python -m tpad ablate --only captions"),
        (("--set", "distillation.epochs"), "NAME=VALUE"),
        (("--set", "distil.epochs=3"), "'distil.epochs'"),
        (("--set", "distillation.epochs=many"), "distillation.epochs must be a whole number"),
        (("--set", "transfer.epochs=0"), "at least 1"),
        (("--set", "distillation=3"), "'distillation' has parts"),
        (("--seed", "-1"), "seed"),
        (("--preset", "shop"), "--items and --interactions"),
        (("--world", "/no/such/folder"), "/no/such/folder"),
    ],
)
def test_training_that_cannot_start(refused, tmp_path, arguments, named):
    assert named in refused("train", "--out", tmp_path / "b", "--preset", "smoke", *arguments)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--only", "no-words", "no-magic"), "'no-magic'"),
        (("--set", "transfer.epochs=0"), "at least 1"),
        (("--preset", "shop"), "--items and --interactions"),
    ],
)
def test_ablations_that_cannot_start(refused, tmp_path, arguments, named):
    assert named in refused("ablate", "--out", tmp_path / "a", "--preset", "smoke", *arguments)
    assert not list(tmp_path.iterdir())


def test_clicks_are_needed(refused, tables, tmp_path):
    items, clicks = tables
    for options in (
        ("--items", items),
        ("--test-interactions", clicks),
        ("--split", "leave-one-out"),
    ):
        told = refused("train", "--out", tmp_path / "b", *options)
        assert f"{options[0]} needs --interactions" in told


def test_tables_that_cannot_be_read(refused, tables, tmp_path):
    items, clicks = tables
    out = ("train", "--out", tmp_path / "b")
    nowhere, empty = tmp_path / "nowhere.csv", tmp_path / "empty.csv"
    assert "nowhere.csv" in refused(*out, "--items", nowhere, "--interactions", clicks)
    bad = _table(tmp_path / "bad.csv", session_id=["s"], item=["a"], timestamp=[1])
    assert "item_id" in refused(*out, "--items", items, "--interactions", bad)
    worse = _table(tmp_path / "worse.csv", title=["x"])
    assert "item_id" in refused(*out, "--interactions", clicks, "--items", worse)
    empty.write_text("")
    assert "empty.csv" in refused(*out, "--items", empty, "--interactions", clicks)


def _table(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_a_base_that_is_not_there(refused, on_the_tables, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "EMBEDDED_BASE", tmp_path / "none")
    assert "--mllm" in refused(*on_the_tables("train"))
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(*on_the_tables("train", "--mllm", tmp_path / "empty"))


def test_settings_reach_the_training(on_the_tables, tmp_path, nothing_is_trained):
    options = ["--mllm", tmp_path, "--seed", 4, "--ablation", "no-feedback", "--ablation", "jsd"]
    for setting in (
        "distillation.epochs=7",
        "knowledge.layers=(0, 2)",
        "knowledge.targets=written",
        "distillation.relative=false",
        "distillation.words=False",
    ):
        options += ["--set", setting]
    assert main(on_the_tables("train", *options)) == 0
    got = nothing_is_trained
    assert got["config"].seed == 4 and got["config"].feedback.epochs == 0
    assert (
        got["config"].distillation.lower_bound == "jsd" and got["config"].distillation.epochs == 7
    )
    assert got["config"].knowledge.layers == (0, 2)
    assert got["config"].knowledge.targets == "written"
    assert (
        got["config"].distillation.relative is False and got["config"].distillation.words is False
    )
    assert got["config"].knowledge.adapt_epochs > 0  # the preset of a shop of one's own
    assert got["base"].path == str(tmp_path) and not got["base"].is_hub
    assert got["dataset"].items.item_id.tolist() == ["a", "b", "c"]
    assert got["work"] == tmp_path / "b.work" and got["extra_files"] == {}


def test_ablating_reads_the_options_that_training_reads(
    on_the_tables, tmp_path, monkeypatch, capsys
):
    got = {}

    def train_sets(dataset, base, config, out, **options):
        got.update(dataset=dataset, base=base, config=config, out=out, **options)
        return [out / "full.safetensors", out / "jsd.safetensors"]

    monkeypatch.setattr(ablation_sets, "train_sets", train_sets)
    options = ["--mllm", tmp_path, "--set", "distillation.epochs=7", "--device", "cpu"]
    options += ["--work", tmp_path / "b.work", "--only", "jsd"]
    assert main(on_the_tables("ablate", *options, out="a")) == 0
    assert (
        got["config"].distillation.epochs == 7
        and got["config"].distillation.lower_bound == "infonce"
    )
    assert got["dataset"].items.item_id.tolist() == ["a", "b", "c"]
    assert (got["base"].path, got["device"]) == (str(tmp_path), "cpu")
    assert (got["work"], got["only"]) == (tmp_path / "b.work", ["jsd"])
    assert f"python -m eval run --ablations {tmp_path / 'a'}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_help_names_every_ablation(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out.replace("-\n", "-")  # as wrapped
    shown = " ".join(shown.split()).replace("- ", "-")
    for name in ABLATIONS:  # `train` makes bundles, which some ablations have none of
        assert (name in shown) == (command == "ablate" or name not in SETS_ONLY), name


def test_a_hub_id_is_no_folder(on_the_tables, nothing_is_trained):
    commit = "a" * 40  # a branch would be looked up
    main(on_the_tables("train", "--mllm", "org/model", "--revision", commit))
    assert nothing_is_trained["base"].record == {"hub_id": "org/model", "revision": commit}


def test_options_of_the_model_are_settings(on_the_tables, tmp_path, nothing_is_trained):
    train = on_the_tables("train", "--mllm", tmp_path)
    main(train)
    assert nothing_is_trained["config"].model == ModelSettings()
    options = ["--dtype", "bfloat16", "--load-in-4bit", "--gradient-checkpointing"]
    options += ["--visual-tokens", "64", "--split-images", "--lora-targets", "x.*"]
    assert main([*train, *options, "--set", "model.max_pixels=100"]) == 0
    assert nothing_is_trained["config"].model == ModelSettings(
        "bfloat16", True, True, 100, 64, True, "x.*"
    )


def test_model_options_that_cannot_work(refused, on_the_tables):
    assert "model.visual_tokens must be at least 1" in refused(
        *on_the_tables("train", "--visual-tokens", 0)
    )
    assert "model.load_in_4bit must be true or false" in refused(
        *on_the_tables("train", "--set", "model.load_in_4bit=3")
    )


def test_probing_what_is_no_bundle(refused, tmp_path):
    assert str(tmp_path) in refused("probe", tmp_path)


def test_an_interrupted_command_says_so(monkeypatch, capsys, tmp_path):
    from tpad.world import build

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "write_world", interrupt)
    assert main(["world", "--out", str(tmp_path / "shop")]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_unknown_commands_and_choices_are_shown_the_usage(capsys):
    for arguments in (["dance"], [], ["train", "--out", "b", "--preset", "huge"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
        assert "usage:" in capsys.readouterr().err


def test_help_lists_every_command():
    done = subprocess.run(
        [sys.executable, "-m", "tpad", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("world", "pretrain", "train", "ablate", "probe", "recommend", "export"):
        assert command in done.stdout


def test_the_command_line_starts_without_torch():
    code = "import sys, tpad.__main__, tpad.cli.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_smoke_training_from_the_shell(tmp_path):
    """As a newcomer types it: makes its shop, trains all stages, and the bundle opens."""
    base = make_tiny_base(tmp_path / "base")
    command = [sys.executable, "-m", "tpad", "train", "--preset", "smoke", "--device", "cpu"]
    command += ["--mllm", str(base), "--out", str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "wrote the bundle" in done.stdout
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.sets == ("tpad", "vision_tfidf", "knowledge")
    log = (tmp_path / "bundle.work" / "log.jsonl").read_text()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0 and "wrote the bundle" in again.stdout
    assert (tmp_path / "bundle.work" / "log.jsonl").read_text() == log  # nothing was done twice
