"""The results of a database in the model card of a bundle."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval import __main__ as command
from tpad import Bundle
from tpad.data.cases import mask_history

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def measured(fake_bundle, tmp_path_factory):
    """A bundle and the database of its evaluation, two seeds, with an ablation beside it."""
    folder = tmp_path_factory.mktemp("measured")
    bundle, database = folder / "shop", str(folder / "results.db")
    shutil.copytree(fake_bundle, bundle)
    asked = [
        "run",
        "--bundle",
        str(bundle),
        "--database",
        database,
        "--models",
        "markov",
        "tpad",
        "knowledge",
        "--seeds",
        "0",
        "1",
    ]
    assert command.main(asked) == 0
    return bundle, database


@pytest.fixture
def copy(measured, tmp_path):
    folder = tmp_path / "shop"
    shutil.copytree(measured[0], folder)
    (folder / "README.md").write_text("an old card", "utf-8")
    return folder


def figures(card: str, model: str) -> list[float]:
    """P@20 and MRR@20 of all, warm and cold targets."""
    row = next(line for line in card.splitlines() if line.startswith(f"| {model} |"))
    return [float(cell) for cell in row.split("|")[2:8]]


def expected_values(scores: np.ndarray, target: int) -> np.ndarray:
    """P@20 and MRR@20 of one case, (2,), in expectation over the order of ties."""
    above, tied = (scores > scores[target]).sum(), (scores == scores[target]).sum()
    ranks = above + 1 + np.arange(tied)
    return np.array([(ranks <= 20).mean(), ((ranks <= 20) / ranks).mean()])


def test_the_card_has_the_results_of_the_bundle_itself(measured, copy):
    """Recomputed from the folder alone: its sessions, items and recommender."""
    assert command.main(["card", str(copy), "--database", measured[1]]) == 0
    bundle = Bundle.load(copy, verify="full")  # a card is no part of what is checked
    cases = bundle.dataset.test.prefixes()
    keep = [row for row, target in enumerate(cases.targets) if target not in cases.prefixes[row]]
    scores = bundle.recommenders["tpad"].scores([cases.prefixes[row] for row in keep])
    mask_history(scores, [cases.prefixes[row] for row in keep])
    targets = cases.targets[keep]
    found = np.stack(
        [expected_values(row, target) for row, target in zip(scores, targets, strict=True)], axis=1
    )
    cold = bundle.cold[targets]
    expected = [found[:, part].mean(1) for part in (cold | True, ~cold, cold)]
    card = (copy / "README.md").read_text("utf-8")
    assert figures(card, "tpad") == pytest.approx(np.concatenate(expected), abs=5.1e-4)
    assert f"{len(keep):,} cases" in card and "±" not in card.split("| model |")[1]
    assert re.search(r"Over the seeds 0, 1 .* TPAD has P@20 [.\d]+ ± [.\d]+ and MRR@20", card)
    assert "### Averaged over sessions" in card
    assert not list(copy.glob("*.part"))


def test_runs_of_another_recommender_are_refused(measured, copy, capsys):
    info = (copy / "bundle.json").read_text("utf-8")
    checksum = Bundle.load(copy).checksum_of_recommender("tpad")
    (copy / "bundle.json").write_text(info.replace(checksum, "0" * 64), "utf-8")
    assert command.main(["card", str(copy), "--database", measured[1]]) == 2
    assert "runs of tpad in the database are not of the recommender" in capsys.readouterr().err
    assert (copy / "README.md").read_text("utf-8") == "an old card"


def test_runs_of_other_items_are_refused(copy, capsys):
    asked = ["card", str(copy), "--database", str(ROOT / "assets" / "demo.db")]
    assert command.main(asked) == 2
    assert command.main([*asked, "--dataset", "demo"]) == 2
    assert "other items or sessions" in capsys.readouterr().err
    assert (copy / "README.md").read_text("utf-8") == "an old card"
