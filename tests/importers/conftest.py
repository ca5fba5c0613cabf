"""What the tests of imports share: running the command, and reading what it wrote."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tpad.__main__ import main


@pytest.fixture
def imported(tmp_path, capsys):
    """Runs an import that must succeed; returns its report and both tables by name.

    What was read is always what was kept and dropped.
    """

    def run(*arguments: object, out: Path | None = None) -> dict:
        out = out or tmp_path / "shop"
        code = main(["import", *map(str, arguments), "--out", str(out)])
        told = capsys.readouterr()
        assert code == 0, told.err
        report = json.loads((out / "import.json").read_text("utf-8"))
        for name in ("interactions", "items"):
            counts = report[name]
            lost = sum(found["count"] for found in counts["dropped"].values())
            assert counts["read"] == counts["kept"] + lost
        assert not out.with_name(out.name + ".work").exists()
        items = pd.read_parquet(out / "items.parquet")
        clicks = pd.read_parquet(out / "interactions.parquet")
        assert len(clicks) == report["interactions"]["kept"]
        assert len(items) == report["items"]["kept"] + report["items"]["added"]
        assert clicks["session_id"].nunique() == report["sessions"]
        return {**report, "told": told.out, "item_table": items, "clicks": clicks}

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs an import that must be refused; returns its sentence. Nothing is left behind."""

    def run(*arguments: object, out: Path | None = None) -> str:
        target = out or tmp_path / "shop"
        assert main(["import", *map(str, arguments), "--out", str(target)]) == 2
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert told.startswith("error: ") and told.endswith(".")
        if out is None:
            assert not target.exists()
        assert not target.with_name(target.name + ".work").exists()
        return told

    return run
