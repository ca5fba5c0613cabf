"""The benchmark of the baselines: one command makes the table, and all models use the same data."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import bench_baselines


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small file in the form of session-rec's sample."""
    made = tmp_path / "yoochoose-100k"
    made.mkdir()
    rng = np.random.default_rng(0)
    for name, count, first in (("train_full", 100, 0), ("test", 20, 100)):
        rows = [
            (session, int(item), 1_400_000_000.5 + 86_400 * session + 10 * place)
            for session in range(first, first + count)
            for place, item in enumerate((rng.integers(8) + np.arange(4)) % 8)
        ]
        table = pd.DataFrame(rows, columns=["SessionId", "ItemId", "Time"])
        table.to_csv(made / f"yoochoose-clicks-100k_{name}.txt", sep="\t", index=False)
    return tmp_path


def run(folder: Path, *more: str) -> int:
    return bench_baselines.main(
        ["--data", str(folder), "--dataset", "yoochoose", "--tries", "2", *more]
    )


def test_no_model_is_fitted_on_validation_sessions(folder, monkeypatch):
    task = bench_baselines.yoochoose(folder)
    assert len(task.dataset.train) == 90 and len(task.dataset.validation) == 10
    assert "fitted on 90 training sessions (360 clicks)" in str(task)
    ends = [times[-1] for times in task.dataset.train.times]
    assert max(ends) < min(task.dataset.validation.starts)
    fitted = []
    for name in ("item_knn", "vsknn", "markov", "slist"):
        kind = type(task.baselines[name].make(0, None, None))
        whole = kind.fit

        def fit(self, dataset, whole=whole):
            fitted.append((type(self).__name__, len(dataset.train)))
            return whole(self, dataset)

        monkeypatch.setattr(kind, "fit", fit)
    assert run(folder, "--only", "item_knn", "vsknn", "markov", "slist") == 0
    assert {name for name, _ in fitted} == {"ItemKNN", "VSKNN", "Markov", "SLIST"}
    assert {sessions for _, sessions in fitted} == {90}


def test_refit_adds_the_validation_sessions(folder, capsys):
    whole = bench_baselines.yoochoose(folder).whole
    assert len(whole.train) == 100 and len(whole.validation) == 10
    assert run(folder, "--only", "markov", "--refit") == 0
    assert "fitted on training and validation sessions" in capsys.readouterr().out


def test_rows_that_are_kept_are_not_computed_again(folder, tmp_path, monkeypatch, capsys):
    keep = tmp_path / "rows.jsonl"
    assert run(folder, "--only", "markov", "--keep", str(keep)) == 0
    first = capsys.readouterr().out
    measured = []
    real = bench_baselines.measure
    monkeypatch.setattr(
        bench_baselines, "measure", lambda name, *more: measured.append(name) or real(name, *more)
    )
    assert run(folder, "--only", "markov", "item_knn", "--keep", str(keep)) == 0
    second = capsys.readouterr().out
    assert measured == ["item_knn"]
    assert second.startswith(first) and "| item_knn |" in second
    assert [json.loads(line)["key"][1] for line in keep.read_text().splitlines()] == [
        "markov",
        "item_knn",
    ]


def test_an_unknown_model_is_an_error(folder, capsys):
    assert run(folder, "--only", "als") == 2
    assert "There is no model 'als' here; choose from popularity" in capsys.readouterr().err
