"""Commands that query the database: report, compare, splits, export and import, on a small shop."""

import json

import pandas as pd
import pytest

from eval.__main__ import main
from eval.database.store import Store
from eval.metrics.frontier import POINTS
from tpad.world.build import World, WorldConfig


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shops") / "small"
    folder.mkdir()
    world = World(
        WorldConfig(items=60, train_sessions=200, validation_sessions=20, test_sessions=60)
    )
    world.item_table().to_csv(folder / "items.csv", index=False)
    world.interaction_table().to_csv(folder / "interactions.csv", index=False)
    (folder / "world.json").write_text(json.dumps(world.facts()))
    return folder


@pytest.fixture(scope="module")
def database(shop, tmp_path_factory):
    """Runs of three models that cost nothing."""
    path = tmp_path_factory.mktemp("databases") / "results.db"
    arguments = ["--world", str(shop), "--database", str(path), "--seeds", "0"]
    assert main(["run", *arguments, "--models", "popularity", "tfidf_neighbours", "oracle"]) == 0
    return str(path)


def test_a_stored_run_has_metrics_of_lists_and_calibration(database):
    store = Store(database, read_only=True)
    oracle = store.list_runs(model="oracle")[0]
    table = store.figures([oracle.id]).set_index(["slice", "name", "k"])["value"]
    store.close()
    assert 0 < table["all", "coverage", 20] <= 1 and 0 <= table["all", "ece", 0] < 0.5
    assert table["all", "temperature", 0] == 1.0  # the law gives probabilities
    assert {part for part, name, _ in table.index if name == "brier"} == {"all", "warm", "cold"}


@pytest.mark.parametrize("part", ["category sports", "frequency 0", "no repeat", "length 1"])
def test_a_stored_run_can_be_reported_by_any_slice(database, capsys, part):
    """Also by what the database alone could not tell: category, training clicks, repeats."""
    command = ["compare", "oracle", "popularity", "--database", database, "--slice", part]
    assert main(command) == 0
    assert f"on {part} targets" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["md", "html", "csv", "tex"])
def test_the_report_of_a_database_in_four_formats(database, tmp_path, capsys, ending):
    out = tmp_path / f"report.{ending}"
    assert main(["report", "--database", database, "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    for name in ("oracle", "popularity"):
        assert name in text
    for kind in ("length", "category", "training clicks" if ending in ("md", "html") else ""):
        assert kind in text  # slices beyond warm and cold
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    if ending == "csv":
        frame = pd.read_csv(out)
        best = frame[(frame.slice == "all") & (frame.metric == "P") & (frame.k == 20)]
        assert best.set_index("model")["of_oracle"]["oracle"] == 1.0


def test_two_models_are_compared_down_to_the_session(database, capsys):
    arguments = ["--database", database, "--metric", "P@20", "--most", "2"]
    assert main(["compare", "oracle", "popularity", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "difference +" in "\n".join(lines) and "wins" in "\n".join(lines)
    assert sum(" against " in line for line in lines) == 2


@pytest.mark.parametrize("ending", ["md", "html", "csv", "tex"])
def test_reports_and_comparisons_average_over_sessions_too(database, tmp_path, capsys, ending):
    out = tmp_path / f"report.{ending}"
    command = ["report", "--database", database, "--out", str(out)]
    assert main([*command, "--mean", "session"]) == 0
    text = out.read_text(encoding="utf-8")
    assert ("averaged_over" if ending == "csv" else "means over sessions") in text
    if ending == "csv":
        frame = pd.read_csv(out)
        assert set(frame.averaged_over) == {"sessions"}
        chosen = (frame.slice == "all") & (frame.metric == "MRR") & (frame.k == 20)
        told = frame[chosen].set_index("model")["mean"]["oracle"]
        capsys.readouterr()
        compared = ["compare", "oracle", "popularity", "--database", database, "--mean", "session"]
        assert main(compared) == 0
        assert f"oracle: {told:.4f}" in capsys.readouterr().out


def test_splits_are_stored_once_and_shown(shop, database, tmp_path, capsys):
    arguments = ["splits", "--world", str(shop), "--database", database]
    arguments += ["--split", "cold_items:fraction=0.2,seed=3"]
    folder, listed = tmp_path / "split", tmp_path / "roles.csv"
    assert main([*arguments, "--folder", str(folder), "--out", str(listed)]) == 0
    assert main(arguments) == 0
    roles = pd.read_csv(listed)
    assert len(roles) == 60 and (roles.role == "held_out").sum() > 5
    assert (folder / "sessions.parquet").is_file()
    capsys.readouterr()
    assert main(["splits", "--database", database]) == 0
    assert capsys.readouterr().out.count("cold_items") == 1


def test_a_run_on_a_split_is_a_table_of_its_own(shop, tmp_path, capsys):
    database = str(tmp_path / "results.db")
    arguments = ["--world", str(shop), "--database", database, "--seeds", "0"]
    assert main(["run", *arguments, "--models", "popularity"]) == 0
    split = "few_shot:n=2,seed=1"
    assert main(["run", *arguments, "--split", split, "--models", "popularity"]) == 0
    assert "no session is in two parts" in capsys.readouterr().out
    assert main(["report", "--database", database, "--models", "popularity"]) == 0
    assert "few_shot" not in capsys.readouterr().out
    kept = ["--models", "popularity", "--keep-history"]
    assert main(["run", *arguments, *kept]) == 0
    assert main(["report", "--database", database]) == 2
    error = capsys.readouterr().err
    assert "have different cases" in error and "history kept; --cases" in error
    plain = error.split("history masked; --cases ")[1][:8]
    assert main(["report", "--database", database, "--cases", plain]) == 0
    store = Store(database, read_only=True)
    name = next(run.split for run in store.list_runs() if run.split)
    store.close()
    assert main(["report", "--database", database, "--split", name]) == 0
    assert "few_shot" in capsys.readouterr().out


def test_frontiers_are_written_point_by_point(database, tmp_path):
    out = tmp_path / "frontiers.csv"
    command = ["export", "frontiers", "--database", database, "--out", str(out)]
    assert main(command) == 0
    table = pd.read_csv(out)
    assert table.groupby("model").size().to_dict() == {
        "oracle": POINTS,
        "popularity": 1,
        "tfidf_neighbours": POINTS,
    }
    assert list(table) == ["model", "seed", "point", "offsets", "warm", "cold", "share"]


def test_an_imported_model_is_in_the_table(shop, tmp_path, capsys):
    cases, answer = tmp_path / "cases.csv", tmp_path / "answer.csv"
    source = ["--world", str(shop)]
    assert main(["export", "cases", *source, "--targets", "--out", str(cases)]) == 0
    frame = pd.read_csv(cases)
    frame["items"] = frame["target"]
    frame[["case", "items"]].to_csv(answer, index=False)
    database = ["--database", str(tmp_path / "results.db")]
    given = ["import", str(answer), "--model", "peer", *source, *database]
    assert main(given) == 0 and main(given) == 0  # the second time nothing is added
    assert main(["report", *database]) == 0
    assert "| peer | **1.000** |" in capsys.readouterr().out
    ranks = tmp_path / "ranks.csv"
    assert main(["export", "ranks", *database, "--out", str(ranks)]) == 0
    assert (pd.read_csv(ranks)["peer/0"] == 1).all()
    assert (pd.read_csv(ranks)["peer/0 ties"] == 1).all()
    assert (
        main(["export", "frontiers", *database, "--out", str(ranks)]) == 2
    )  # lists have no scores
    assert "None of these runs has a frontier" in capsys.readouterr().err


def test_lists_imported_for_a_split_are_compared_with_runs_on_it(shop, tmp_path, capsys):
    cases, answer = tmp_path / "cases.csv", tmp_path / "answer.csv"
    database, split = ["--database", str(tmp_path / "results.db")], "cold_items:seed=5"
    source = ["--world", str(shop), "--split", split]
    for some in (source, source[:2]):  # on the split, and on the shop as it is
        given = [*some, *database, "--seeds", "0", "--models", "popularity"]
        assert main(["run", *given]) == 0
    assert main(["export", "cases", *source, "--targets", "--out", str(cases)]) == 0
    frame = pd.read_csv(cases)
    frame.assign(items=frame["target"])[["case", "items"]].to_csv(answer, index=False)
    assert main(["import", str(answer), "--model", "peer", *source, *database]) == 0
    capsys.readouterr()
    assert main(["report", *database, "--split", split]) == 0  # as it was given to `run`
    page = capsys.readouterr().out
    assert "| peer | **1.000** |" in page and "| popularity |" in page
    assert main(["report", *database]) == 0
    page = capsys.readouterr().out
    assert "peer" not in page and "| popularity |" in page


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compare", "tpad", "oracle"], "no finished run of tpad"),
        (["compare", "oracle", "popularity", "--metric", "AUC"], "'AUC' is not a metric"),
        (["compare", "oracle", "popularity", "--slice", "hot"], "no slice 'hot'"),
        (["report", "--dataset", "other"], "No finished run matches"),
        (["report", "--out", "report.doc"], "must end in"),
        (["report", "--out", "nowhere/r.md"], "nowhere/r.md does not exist; name another file."),
        (["splits", "--split", "cold_items"], "Name the source"),
        (["run"], "Give one source"),
        (["run", "--items", "items.csv"], "--items needs --interactions"),
        (["run", "--world", "SHOP", "--cold-fraction", "0.1"], "--cold-fraction needs --interact"),
        (["run", "--world", "SHOP", "--interactions", "x.csv"], "Give one source"),
        (
            ["import", "none.csv", "--model", "markov", "--world", "SHOP"],
            "the name of a built-in model",
        ),
        (
            ["import", "none.csv", "--model", "tpad-mine", "--world", "SHOP"],
            "the name of a built-in model",
        ),
        (["import", "none.csv", "--model", "peer", "--world", "SHOP"], "none.csv does not exist"),
        (["export", "ranks", "--out", "nowhere/x.csv"], "nowhere/x.csv does not exist"),
    ],
)
def test_invalid_arguments_are_errors_in_one_sentence(shop, database, capsys, arguments, named):
    arguments = [str(shop) if word == "SHOP" else word for word in arguments]
    assert main([*arguments, "--database", database]) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
