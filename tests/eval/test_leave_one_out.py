"""`eval run` and `report` on leave-one-out data: HR@10 and NDCG@10 beside P@20 and MRR@20."""

import re

import pandas as pd
import pytest

from eval.__main__ import main


@pytest.fixture
def run(tmp_path):
    """Runs `eval run` on users that buy each item after the one before, and `eval report`."""
    sequences, items = tmp_path / "sequences.txt", tmp_path / "items.tsv"
    users = (" ".join(str((user + place) % 30) for place in range(5)) for user in range(60))
    sequences.write_text("".join(f"u{user} {clicks}\n" for user, clicks in enumerate(users)))
    items.write_text("item_id\ttitle\n" + "".join(f"{item}\tItem {item}\n" for item in range(30)))
    rows = [
        f"s{session},{(session + place) % 30},{1_700_000_000 + 60 * session + place}\n"
        for session in range(60)
        for place in range(4)
    ]
    (tmp_path / "clicks.csv").write_text("session_id,item_id,timestamp\n" + "".join(rows))

    def start(interactions: str, *more: str) -> None:
        files = ["--items", str(items), "--interactions", str(tmp_path / interactions)]
        database = ["--database", str(tmp_path / "results.db")]
        models = ["--models", "popularity", "markov", "--seeds", "0"]
        report = ["--report", str(tmp_path / "run.md")]
        assert main(["run", *files, *database, *models, *report, *more]) == 0
        for suffix in ("md", "csv", "tex", "html"):
            out = ["--out", str(tmp_path / f"report.{suffix}")]
            assert main(["report", *database, *out]) == 0

    return start


def test_hit_rate_and_ndcg_are_printed_and_reported(run, tmp_path, capsys):
    run("sequences.txt")
    printed = capsys.readouterr().out
    assert "markov (seed 0): all P@20 1.000 MRR@20 1.000 HR@10 1.0000 NDCG@10 1.0000" in printed
    for name in ("run.md", "report.md"):
        page = (tmp_path / name).read_text("utf-8")
        first = page.partition("## At a glance")[2].partition("##")[0]
        assert "| all P@20 | all MRR@20 | all HR@10 | all NDCG@10 |" in first
        assert "60 cases from 60 test sessions" in page
        popular = next(line for line in first.splitlines() if "popularity" in line)
        assert len(re.findall(r"\| 0\.\d{4}\b", popular)) >= 4
    frame = pd.read_csv(tmp_path / "report.csv").set_index(["model", "slice", "metric", "k"])[
        "mean"
    ]
    assert f" {frame['popularity', 'all', 'P', 10]:.4f} " in popular
    assert "HR@10" in (tmp_path / "report.tex").read_text("utf-8")
    assert "all HR@10" in (tmp_path / "report.html").read_text("utf-8")


def test_other_data_is_reported_as_before(run, tmp_path, capsys):
    run("clicks.csv")
    assert "HR@10" not in capsys.readouterr().out
    page = (tmp_path / "report.md").read_text("utf-8")
    assert "HR@10" not in page and "NDCG@10" in page


def test_a_split_of_the_command_gives_the_same_cases(run, tmp_path, capsys):
    run("sequences.txt")
    first = capsys.readouterr().out
    run("sequences.txt", "--split", "leave-one-out")
    lines = [line for line in capsys.readouterr().out.splitlines() if "seed 0" in line]
    assert lines and all(line in first for line in lines)


def test_metrics_are_stored(run, tmp_path):
    run("clicks.csv", "--split", "leave_one_out", "--cold-fraction", "0.1")
    database = ["--database", str(tmp_path / "results.db")]
    out = tmp_path / "figures.csv"
    assert main(["export", "figures", *database, "--out", str(out)]) == 0
    frame = pd.read_csv(out)
    assert {("P", 10), ("NDCG", 10)} <= set(zip(frame["name"], frame["k"], strict=True))
    assert {"all", "warm", "cold"} <= set(frame["slice"])
