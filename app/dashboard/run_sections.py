"""The dashboard's section about the runs: the list, and one run with its worst cases."""

from markupsafe import Markup

from app.dashboard.run_tables import run_table, worst_cases
from app.dashboard.run_views import CaseItem, RunCase, run_list, run_page, worst
from app.dashboard.slices import part_title
from app.shell.evaluation import Evaluation
from app.shell.names import model_title
from app.shell.results import Results
from app.shell.shop import Shop
from eval.database.records import CaseTable, RunInfo
from eval.runs.results import HEADLINES, Result
from eval.runs.slice_comparison import best_baseline

MAX_CASES = 12  # worst cases that the page of a run shows
MAX_ITEMS = 6  # items of a session that are shown of a case


def draw_runs(results: Results, shown: int) -> Markup:
    """The list of runs, newest first."""
    return run_list(run_table(results.runs()), shown)


def draw_run(
    shop: Shop, results: Results, evaluation: Evaluation | None, run_id: str, part: str
) -> Markup:
    """One run's page.

    Args:
        shop: the open bundle.
        results: the database.
        evaluation: of the run's cases; None without a finished run on them.
        run_id: the run.
        part: slice of the worst cases.

    Raises:
        DataError: there is no such run.
    """
    run = results.run(run_id)
    siblings = {
        one.seed: one for one in results.runs() if (one.model, one.cases) == (run.model, run.cases)
    } | {run.seed: run}
    cases = Markup()
    if run.status == "done" and evaluation is not None:
        found = cases_of(shop, results, evaluation, run, part)
        cases = worst(found, part_title(part), opens=has_data(shop, run))
    figures = results.store.figures([run.id])
    return run_page(run, figures, [siblings[seed] for seed in sorted(siblings)], cases)


def cases_of(
    shop: Shop, results: Results, evaluation: Evaluation, run: RunInfo, part: str
) -> list[RunCase]:
    """The worst cases of a finished run on a slice, the worst first."""
    table = results.store.case_table(run.id)
    ranks = [("this run", results.store.ranks(run.id))]
    other = _reference(evaluation, run)
    if other is not None:
        place = other.seeds.index(run.seed) if run.seed in other.seeds else 0
        title = model_title(other.name) if other.name == evaluation.subject else "best baseline"
        ranks.append((title, other.ranks.expected[place]))
    known = has_data(shop, run)
    found = []
    for number in worst_cases(ranks[0][1], evaluation.masks[part], MAX_CASES).tolist():
        target = int(table.target[number])
        found.append(
            RunCase(
                number,
                _session(shop, table, number) if known else (),
                int(table.length[number]),
                _item(shop, target) if known else CaseItem(target),
                bool(table.cold[number]),
                tuple((whose, float(own[number])) for whose, own in ranks),
            )
        )
    return found


def has_data(shop: Shop, run: RunInfo) -> bool:
    """Whether the bundle has the data of a run, so that its cases can be shown."""
    dataset = shop.catalogue.dataset
    return run.dataset_fingerprint == dataset.fingerprint and bool(len(dataset.test))


def _reference(evaluation: Evaluation, run: RunInfo) -> Result | None:
    """The model to compare with: TPAD, or for TPAD itself the best baseline."""
    if run.model != evaluation.subject:
        return evaluation.by_name.get(evaluation.subject)
    return best_baseline(evaluation.results, evaluation.masks["all"], *HEADLINES[-1])


def _session(shop: Shop, table: CaseTable, number: int) -> tuple[CaseItem, ...]:
    rows = shop.catalogue.dataset.test.items[int(table.session[number])]
    before = rows[: int(table.length[number])]
    return tuple(_item(shop, int(row)) for row in before[-MAX_ITEMS:])


def _item(shop: Shop, row: int) -> CaseItem:
    item = shop.catalogue.items.iloc[row]
    return CaseItem(row, str(item["title"]), item["picture"])
