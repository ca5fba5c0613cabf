"""The figures of a database in a bundle's model card."""

import shutil
from pathlib import Path

import pytest

from eval import __main__ as command
from tpad import Bundle

ROOT = Path(__file__).resolve().parents[2]
DATABASE = str(ROOT / "results" / "demo.db")


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(ROOT / "assets" / "demo", folder)
    (folder / "README.md").write_text("an old card", "utf-8")
    return folder


def test_the_card_holds_the_figures_of_the_runs(bundle, capsys):
    assert command.main(["card", str(bundle), "--database", DATABASE]) == 0
    card = (bundle / "README.md").read_text("utf-8")
    assert card == (ROOT / "assets" / "demo" / "README.md").read_text("utf-8")  # as it is shipped
    command.main(["report", "--database", DATABASE, "--models", "tpad"])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| tpad |"))
    assert row.replace("**", "") in card
    assert "### Averaged over sessions" in card and "Means over cases" in card
    assert "8,114 cases" in card and "tpad-nwj" not in card  # ablations are of other bundles
    Bundle.load(bundle, verify="full")  # a card is no part of what is checked
    assert not list(bundle.glob("*.part"))


def test_runs_of_other_items_are_refused(fake_bundle, tmp_path, capsys):
    folder = tmp_path / "other"
    shutil.copytree(fake_bundle, folder)
    before = (folder / "README.md").read_text("utf-8")
    asked = ["card", str(folder), "--database", DATABASE]
    assert command.main(asked) == 2
    assert command.main([*asked, "--dataset", "demo"]) == 2
    assert "other items or sessions" in capsys.readouterr().err
    assert (folder / "README.md").read_text("utf-8") == before
