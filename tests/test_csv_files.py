"""CSV files as a spreadsheet meets them: every writer of one, and texts that start formulas."""

import argparse
import base64
import csv
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tpad.errors import DataError
from tpad.io.csv_files import csv_text, original_cell, safe_cell, write_rows

ROOT = Path(__file__).parents[1]
HOSTILE = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1+1",
    "'=1",
]
HARMLESS = ["", "a=b", "item-0001", "-5", "+3.5", "-1e-07", ".5", "'quoted'", "'tis", "ä, b", "–"]


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def assert_safe(text: str) -> None:
    """No cell can start a formula; a number may begin with a sign."""
    for cell in (cell for row in cells(text) for cell in row):
        first = cell.lstrip(" ")[:1]
        assert not (first and first in "=+-@\t\r\n＝＋－＠") or re.fullmatch(
            r"[-+][\d.e+-]+", cell
        ), cell


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_could_start_a_formula_is_marked_and_comes_back(text):
    assert safe_cell(text) == "'" + text
    assert original_cell(safe_cell(text)) == text
    assert original_cell(safe_cell("'" + text)) == "'" + text


@pytest.mark.parametrize("text", HARMLESS)
def test_any_other_text_stays_as_it_is(text):
    assert safe_cell(text) == text
    assert original_cell(text) == text


def test_numbers_stay_numbers():
    frame = pd.DataFrame({"n": [-1, 2], "x": [-0.5, np.nan], "t": ["-3", "=x"], "o": [-7, None]})
    again = pd.read_csv(io.StringIO(csv_text(frame)))
    assert again["n"].tolist() == [-1, 2] and again["x"].iat[0] == -0.5
    assert again["o"].iat[0] == -7
    assert again["t"].tolist() == ["-3", "'=x"]


def test_headings_index_and_categories_are_made_safe_too():
    frame = pd.DataFrame(
        {"=h": pd.Categorical(["@a", "b"])}, index=pd.Index(["+i", "j"], name="-k")
    )
    assert cells(csv_text(frame, index=True)) == [["'-k", "'=h"], ["'+i", "'@a"], ["j", "b"]]
    out = io.StringIO(newline="")
    write_rows(out, ["=h", "n"], [("@a", -1)])
    assert cells(out.getvalue()) == [["'=h", "n"], ["'@a", "-1"]]


def test_a_table_without_rows_or_columns_is_still_written():
    assert csv_text(pd.DataFrame({"a": []})) == "a\n"
    assert csv_text(pd.DataFrame()).strip() in ("", '""')


def test_half_of_a_character_is_refused():
    frame = pd.DataFrame({"a": pd.Series(["x\ud83d"], dtype=object)})
    with pytest.raises(DataError, match=r"half of a character \(U\+D83D\)"):
        csv_text(frame)


def test_every_csv_is_written_by_the_one_function():
    """A further writer belongs among the cases below."""
    ways = re.compile(r"\.to_csv\(|csv\.writer\(|csv\.DictWriter\(|write_csv\(")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("tpad", "eval", "app")
        for path in (ROOT / folder).rglob("*.py")
        if ways.search(path.read_text("utf-8"))
    }
    assert found == {"tpad/io/csv_files.py"}
    users = {
        path.relative_to(ROOT).as_posix()
        for folder in ("tpad", "eval", "app")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\b(csv_text|write_rows)\(", path.read_text("utf-8"))
    }
    assert users == {"tpad/io/csv_files.py", *WRITERS}


def dashboard(folder):
    from app.shell.views import csv_link

    link = csv_link(pd.DataFrame({"=model": HOSTILE}), "verdicts")
    return base64.b64decode(re.search('base64,([^"]+)', link)[1]).decode()


def report(folder):
    from eval.metrics.ranks import Ranks
    from eval.reports.report import ReportData
    from eval.reports.writing import write_report
    from eval.runs.results import Result

    ranks = Ranks.from_expected(np.array([[1.0, 2.0]]))
    cases = argparse.Namespace(session=np.arange(2))
    results = [Result("=model", "baseline", (0,), ranks, 0.0, 0.0)]
    masks = {"all": np.ones(2, bool), "@slice": np.ones(2, bool)}
    write_report(folder / "r.csv", ReportData(results, cases, masks, "t"))
    return (folder / "r.csv").read_text("utf-8")


def splits(folder):
    return from_store(folder, "splits", "--items-of", "1")


def export(folder):
    return from_store(folder, "export", "figures")


def from_store(folder, *command):
    """What a command writes of a database whose names all start formulas."""
    import sys

    sys.path.insert(0, str(ROOT / "tests" / "eval"))
    from store_runs import VERSION, some_ranks, tiny_shop

    from eval.__main__ import main
    from eval.database.store import Store
    from eval.protocol import TestCases

    shop = tiny_shop()
    cases = TestCases.of(shop)
    with Store(folder / "r.db") as store:
        number = store.add_split(
            shop,
            "@shop",
            name="=split",
            kind="k",
            seed=0,
            params={},
            fingerprint="f",
            rows=[(text, "+role") for text in HOSTILE if "\n" not in text],
        )
        assert number == 1
        with store.run(shop, "@shop", cases, ("=model", "baseline"), 0, {}, "k", VERSION) as run:
            run.finish(some_ranks(shop), 0, 0)
    arguments = [*command, "--database", str(folder / "r.db"), "--out", str(folder / "out.csv")]
    assert main(arguments) == 0
    return (folder / "out.csv").read_text("utf-8")


def failures(folder):
    from tpad.fetching.report import write_failures
    from tpad.fetching.results import FetchResult, Kind

    result = FetchResult("=url", Kind.PERMANENT, "@reason", detail="-detail")
    write_failures(((text, result) for text in HOSTILE), folder)
    return (folder / "failures.csv").read_text("utf-8")


def recommended(folder):
    from tpad.cli.recommend import _formatted

    table = pd.DataFrame({"rank": 1, "score": -0.5, "item_id": HOSTILE, "title": HOSTILE})
    return _formatted(table, "csv")


def probes(folder, monkeypatch):
    from tpad.bundle import Bundle
    from tpad.cli import probe

    index = pd.MultiIndex.from_tuples([("=a", "@b")], names=["stage", "features"])
    table = pd.DataFrame({"+fact": [0.5]}, index=index)
    monkeypatch.setattr(Bundle, "load", lambda path: SimpleNamespace(dataset=None))
    probes = "tpad.training.probes"
    monkeypatch.setattr(f"{probes}.features.probed_features", lambda bundle: {})
    monkeypatch.setattr(f"{probes}.facts.fact_table", lambda *_: table)
    monkeypatch.setattr(f"{probes}.transitions.transition_table", lambda *_: table[[]])
    probe.run(argparse.Namespace(bundle=folder, csv=folder / "p.csv"))
    return (folder / "p.csv").read_text("utf-8")


def world(folder):
    from tpad.world.build import _write_table

    _write_table(pd.DataFrame({"item_id": HOSTILE}), folder / "w.csv")
    return (folder / "w.csv").read_text("utf-8")


WRITERS = {
    "app/shell/views.py": dashboard,
    "eval/reports/writing.py": report,
    "eval/cli/splits.py": splits,
    "eval/cli/export.py": export,
    "tpad/fetching/report.py": failures,
    "tpad/cli/recommend.py": recommended,
    "tpad/cli/probe.py": probes,
    "tpad/world/build.py": world,
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_writer_writes_a_formula(name, tmp_path, monkeypatch):
    write = WRITERS[name]
    text = write(tmp_path, monkeypatch) if write is probes else write(tmp_path)
    assert "'" in text
    assert_safe(text)


def test_a_demo_shop_has_no_cell_to_change():
    """Its tables are read again by `train`, which takes every cell as it is."""
    from tpad.world.build import World, WorldConfig

    made = World(WorldConfig(items=60, train_sessions=20, validation_sessions=5, test_sessions=5))
    for table in (made.item_table(), made.arrivals_table(), made.interaction_table()):
        assert csv_text(table) == table.to_csv(index=False, lineterminator="\n")
