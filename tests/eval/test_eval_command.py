"""The command line of `eval`, on the test shop in place of a bundle."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from small_models import FAST

from eval import __main__ as command
from eval.cli import run, sources
from eval.database.store import Store
from tpad.model.embedding_sets import write_with_ids
from tpad.world.build import World, WorldConfig


@pytest.fixture
def bundle(shop, embeddings, monkeypatch, tmp_path):
    """A bundle of the test shop, whatever folder is asked for."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    loaded = SimpleNamespace(
        dataset=shop, embeddings=embeddings, config={}, path=folder, sets=(), parts={}
    )
    monkeypatch.setattr(sources, "Bundle", SimpleNamespace(load=lambda path: loaded))
    monkeypatch.setattr(sources, "assert_no_leaks", lambda *_, **__: ["nothing leaks"])
    monkeypatch.setattr(run, "FusionConfig", lambda: FAST)
    return folder


def test_command_writes_report_and_database(bundle, tmp_path, capsys):
    report, database = tmp_path / "report.md", tmp_path / "results.db"
    arguments = ["--bundle", str(bundle), "--database", str(database), "--report", str(report)]
    arguments += ["--seeds", "0", "--models", "markov", "tpad", "--epochs", "2"]
    assert command.main(arguments) == 0
    page = report.read_text(encoding="utf-8")
    assert "## Cold targets" in page and "| tpad |" in page and "markov 0" in page
    printed = capsys.readouterr().out
    assert "tpad (seed 0): all P@20" in printed
    store = Store(database)
    assert [run.status for run in store.runs()] == ["done", "done"]
    store.close()
    assert not list(tmp_path.glob("*.part"))


@pytest.fixture
def ablations(shop, embeddings, tmp_path):
    """A folder as `python -m tpad ablate` leaves it: the full method, and a set that reads all."""
    folder = tmp_path / "ablations"
    ids = shop.items["item_id"].tolist()
    facts = {"dataset": shop.fingerprint, "base": "b", "full_config": "{}", "parts": "{}"}
    for name, values in (("full", embeddings["vision"]), ("no-words", embeddings["tpad"])):
        write_with_ids(folder / f"{name}.safetensors", ids, values, facts)
    return folder


def test_ablations_are_stored_and_reported_with_tpad(bundle, ablations, tmp_path, capsys):
    database = tmp_path / "results.db"
    arguments = ["--bundle", str(bundle), "--database", str(database), "--ablations"]
    arguments += [str(ablations), "--seeds", "0", "--models", "vision", "tpad-no-words", "tpad"]
    arguments += ["--epochs", "2", "--report", str(tmp_path / "report.md")]
    assert command.main(arguments) == 0
    arguments = ["report", "--database", str(database), "--out", str(tmp_path / "report.tex")]
    assert command.main(arguments) == 0
    capsys.readouterr()
    store = Store(database)
    roles = {run.model: run.role for run in store.list_runs()}
    assert roles == {"vision": "baseline", "tpad-no-words": "tpad", "tpad": "tpad"}
    store.close()
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| tpad-no-words |" in page
    # It is the same as TPAD, and so better than the one baseline, but no baseline itself.
    tests = [line for line in page.splitlines() if line.startswith("| all | ")]
    assert tests and all("| vision " in line for line in tests)
    assert "tpad-no-words & " in (tmp_path / "report.tex").read_text(encoding="utf-8")


def test_ablations_of_other_data_are_refused(bundle, ablations, shop, capsys, tmp_path):
    ids = shop.items["item_id"].tolist()
    facts = {"dataset": "another", "base": "b", "full_config": "{}", "parts": "{}"}
    write_with_ids(ablations / "mine.safetensors", ids, np.ones((len(ids), 2)), facts)
    arguments = ["--bundle", str(bundle), "--ablations", str(ablations), "--list"]
    assert command.main(arguments) == 2
    assert "another dataset or split" in capsys.readouterr().err
    (ablations / "mine.safetensors").unlink()
    assert command.main(arguments) == 0
    assert "tpad-no-words\ttpad\n" in capsys.readouterr().out


def test_command_lists_models(bundle, capsys):
    assert command.main(["--bundle", str(bundle), "--list"]) == 0
    assert "tpad\ttpad" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--models", "gru"], "no model 'gru'"),
        (["--database", "/nowhere/results.db"], "folder that exists"),
        (["--report", "/nowhere/report.md"], "folder of /nowhere/report.md"),
        (["--epochs", "0"], "epochs must be at least 1"),
    ],
)
def test_user_errors_are_one_sentence_and_exit_code_2(bundle, capsys, extra, message):
    assert command.main(["--bundle", str(bundle), *extra]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_missing_bundle_is_named(capsys, tmp_path):
    assert command.main(["--bundle", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_a_demo_shop_is_compared_with_its_oracle(tmp_path, capsys):
    shop_folder = tmp_path / "small"
    shop_folder.mkdir()
    world = World(
        WorldConfig(items=60, train_sessions=200, validation_sessions=20, test_sessions=60)
    )
    world.item_table().to_csv(shop_folder / "items.csv", index=False)
    world.interaction_table().to_csv(shop_folder / "interactions.csv", index=False)
    (shop_folder / "world.json").write_text(json.dumps(world.facts()))
    arguments = ["--world", str(shop_folder), "--database", str(tmp_path / "r.db")]
    assert command.main([*arguments, "--models", "popularity", "oracle", "--seeds", "3"]) == 0
    page = capsys.readouterr().out
    assert "# Results on small" in page
    in_full = page[page.index("## All targets") :].splitlines()
    row = next(line for line in in_full if line.startswith("| popularity"))
    share, low, high = map(float, re.findall(r"[\d.]+", row.rstrip(" |").split("|")[-1]))
    assert 0 < low < share < high < 90  # of the oracle
    row = next(line for line in in_full if line.startswith("| oracle"))
    assert row.rstrip(" |").endswith("100 %")


def test_interrupt_is_one_sentence(bundle, monkeypatch, capsys, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_models", stop)
    code = command.main(["--bundle", str(bundle), "--database", str(tmp_path / "r.db")])
    assert code == 130
    assert "finished runs are kept" in capsys.readouterr().err
