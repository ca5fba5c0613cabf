"""The runs of the dashboard: the list of them, and one with its worst cases."""

from app.dashboard.run_views import LONGEST, Case, Item, run_list, run_page, worst
from app.dashboard.tables import part_title, run_table, worst_cases
from app.shell.actions import Shop
from app.shell.results import Outcome, Results
from eval.database.records import CaseTable, RunInfo
from eval.models.naming import SUBJECT
from eval.runs.results import HEADLINES, Result
from eval.runs.slice_comparison import best_baseline

WORST = 12
"""Cases that a run's page shows."""


def draw_runs(results: Results, shown: int) -> str:
    """The list of runs, the newest first."""
    return run_list(run_table(results.runs()), shown)


def draw_run(shop: Shop, results: Results, outcome: Outcome | None, run_id: str, part: str) -> str:
    """One run's page.

    Args:
        shop: what the app shows.
        results: the database.
        outcome: of the run's cases; None if none of their runs is finished.
        run_id: the run.
        part: slice of the worst cases.

    Raises:
        DataError: there is no such run.
    """
    run = results.run(run_id)
    siblings = {
        one.seed: one for one in results.runs() if (one.model, one.cases) == (run.model, run.cases)
    } | {run.seed: run}
    cases = ""
    if run.status == "done" and outcome is not None:
        found = cases_of(shop, results, outcome, run, part)
        cases = worst(found, part_title(part), opens=is_here(shop, run))
    figures = results.store.figures([run.id])
    return run_page(run, figures, [siblings[seed] for seed in sorted(siblings)], cases)


def cases_of(shop: Shop, results: Results, outcome: Outcome, run: RunInfo, part: str) -> list[Case]:
    """The worst cases of a finished run on a slice, the worst first."""
    table = results.store.case_table(run.id)
    ranks = [("this run", results.store.ranks(run.id))]
    other = _beside(outcome, run)
    if other is not None:
        place = other.seeds.index(run.seed) if run.seed in other.seeds else 0
        title = "TPAD" if other.name == SUBJECT else "best baseline"
        ranks.append((title, other.ranks.expected[place]))
    known = is_here(shop, run)
    found = []
    for number in worst_cases(ranks[0][1], outcome.masks[part], WORST).tolist():
        target = int(table.target[number])
        found.append(
            Case(
                number,
                _session(shop, table, number) if known else (),
                int(table.length[number]),
                _item(shop, target) if known else Item(target),
                bool(table.cold[number]),
                tuple((whose, float(own[number])) for whose, own in ranks),
            )
        )
    return found


def is_here(shop: Shop, run: RunInfo) -> bool:
    """Whether the bundle has the very data of a run, so that its cases can be shown."""
    dataset = shop.catalogue.dataset
    return run.dataset_fingerprint == dataset.fingerprint and bool(len(dataset.test))


def _beside(outcome: Outcome, run: RunInfo) -> Result | None:
    """TPAD, or beside TPAD itself the best baseline."""
    if run.model != SUBJECT:
        return outcome.by_name.get(SUBJECT)
    return best_baseline(outcome.results, outcome.masks["all"], *HEADLINES[-1])


def _session(shop: Shop, table: CaseTable, number: int) -> tuple[Item, ...]:
    rows = shop.catalogue.dataset.test.items[int(table.session[number])]
    before = rows[: int(table.length[number])]
    return tuple(_item(shop, int(row)) for row in before[-LONGEST:])


def _item(shop: Shop, row: int) -> Item:
    item = shop.catalogue.items.iloc[row]
    return Item(row, str(item["title"]), item["picture"])
