"""The example of imported models does what its README says."""

import json
import runpy
import shlex
from pathlib import Path

import pandas as pd
import pytest

from eval.__main__ import main as judge
from eval.database.store import Store
from tpad.world.build import World, WorldConfig

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A folder in which the example was run, on a shop without pictures."""
    folder = tmp_path_factory.mktemp("peer")
    shop = folder / "shop"
    shop.mkdir()
    world = World(
        WorldConfig(items=60, train_sessions=300, validation_sessions=20, test_sessions=40)
    )
    world.item_table().to_csv(shop / "items.csv", index=False)
    world.interaction_table().to_csv(shop / "interactions.csv", index=False)
    (shop / "world.json").write_text(json.dumps(world.facts()))
    main = runpy.run_path(str(EXAMPLES / "import_peer.py"))["main"]
    assert main(["--folder", str(folder)]) == 0
    return folder


def test_both_imported_models_are_in_the_table(example, tmp_path, capsys):
    out = tmp_path / "report.csv"
    database = str(example / "results.db")
    assert judge(["report", "--database", database, "--out", str(out)]) == 0
    frame = pd.read_csv(out)
    hits = frame[(frame.metric == "P") & (frame.k == 20)].set_index(["slice", "model"])["mean"]
    for peer in ("follows", "together"):
        assert hits["all", "popularity"] < hits["all", peer] < hits["all", "oracle"]
        assert hits["cold", peer] == 0  # counts of clicks know nothing of a new item
    # The same counts as our own chain's, but for the order of ties.
    assert hits["warm", "follows"] == pytest.approx(hits["warm", "markov"], abs=0.05)


def test_lists_are_saved_as_those_libraries_save_them(example):
    saved = pd.read_csv(example / "follows.csv", sep=";")
    assert list(saved) == ["SessionId", "Position", "Recommendations", "Scores"]
    clicks = pd.read_csv(example / "shop" / "interactions.csv")
    clicked = clicks.item_id[clicks.split == "train"].nunique()  # some items are never clicked
    assert (saved.Recommendations.str.count(",") + 1 == min(50, clicked)).all() and clicked > 40
    saved = pd.read_csv(example / "together.tsv", sep="\t")
    assert list(saved) == ["session_id", "position", "item_id", "score"]
    with Store(str(example / "results.db"), read_only=True) as store:
        files = {run.model: run.config.get("imported") for run in store.list_runs()}
    assert files["follows"]["file"] == "follows.csv" and files["together"]["file"] == "together.tsv"
    assert files["markov"] is None


def test_the_commands_of_the_readme_work(example, tmp_path):
    text = (EXAMPLES / "README.md").read_text("utf-8").replace("peer-example", str(example))
    words = [line.split("`")[1] for line in text.splitlines() if "`python -m eval" in line]
    assert [shlex.split(command)[3] for command in words] == ["export", "import", "report"]
    lists = tmp_path / "lists.csv"
    cases = tmp_path / "cases.csv"
    for command in words:
        named = command.replace("cases.csv", str(cases)).replace("lists.csv", str(lists))
        if "import" in command:  # somebody answers: the same list for each case
            frame = pd.read_csv(cases)
            frame.assign(items="item-0001,item-0002")[["case", "items"]].to_csv(lists, index=False)
        assert judge(shlex.split(named)[3:]) == 0
