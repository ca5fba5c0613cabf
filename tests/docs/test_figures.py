"""The figures of the documentation are those of the database that ships."""

import pytest
from pages import ROOT

from eval.database.store import Store
from eval.reports.sections import at_a_glance
from eval.reports.tables import MARK, results_frame
from eval.runs.selection import results_of, select_runs


@pytest.fixture(scope="module")
def measured() -> dict[str, list[str]]:
    """P@20 and MRR@20 of all, warm and cold targets, by model."""
    with Store(ROOT / "assets" / "demo.db", read_only=True) as store:
        chosen = select_runs(store)
        frame = results_frame(results_of(store, chosen), chosen.cases.session, chosen.masks())
    table = at_a_glance(frame)[0].table
    return {row[0]: [plain(cell) for cell in row[1:]] for row in table.itertuples()}


def plain(cell: str) -> str:
    return cell.removesuffix(MARK).replace("*", "").removesuffix(" ± 0.000").strip()


def name_of(shown: str) -> str:
    """Name of a model in the database."""
    start, _, embeddings = shown.partition(", ")
    return f"{embeddings}_neighbours" if embeddings else start


def test_the_page_of_the_demo_shows_the_shipped_database(measured):
    text = (ROOT / "docs" / "results" / "demo.md").read_text("utf-8")
    table = text[text.index("| model | all P@20") :].split("\n\n")[0]
    rows = [[plain(cell) for cell in line.strip("| ").split(" | ")] for line in table.splitlines()]
    shown = {name_of(row[0]): row[1:7] for row in rows[2:]}
    assert len(shown) > 15 and shown.keys() <= measured.keys()
    assert {name: measured[name] for name in shown} == shown
