"""What is measured, stored and reported of unclicked items."""

from dataclasses import replace

import numpy as np
import pytest
from small_models import LastItem
from small_shops import dataset_of

from eval.database.store import Store
from eval.metrics.frontier import POINTS
from eval.metrics.lists import item_values
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import Ranks, case_values, target_ranks
from eval.protocol import TestCases
from eval.reports.report import ReportData, markdown
from eval.reports.unclicked import chosen_points, frontier_frame, unclicked, unclicked_frame
from eval.reports.writing import write_report
from eval.runs.evaluation import evaluate
from eval.runs.results import Result
from eval.runs.selection import results_of, select_runs

N_ITEMS = 60


@pytest.fixture(scope="module")
def shop():
    """Items from 40 on are cold; three in ten targets are."""
    rng = np.random.default_rng(0)
    train = [rng.permutation(40)[:6] for _ in range(30)]
    test = [rng.permutation(N_ITEMS)[:4] for _ in range(40)]
    return dataset_of([*train, list(range(40))], train[:5], test, N_ITEMS)


@pytest.fixture(scope="module")
def cases(shop):
    return TestCases.of(shop)


def model(seed=0, **marks) -> LastItem:
    made = LastItem(np.random.default_rng(seed).standard_normal((N_ITEMS, N_ITEMS)))
    for name, value in marks.items():
        setattr(made, name, value)
    return made


class ById(LastItem):
    can_score_new_items = False

    def scores(self, sessions):
        scores = super().scores(sessions)
        scores[:, 40:] = -np.inf
        return scores


def told(found, name):
    return next(one for one in found.metrics if one.name == name)


def test_a_model_that_scores_unclicked_items_has_all_metrics(shop, cases):
    found = evaluate(model(), shop, cases, TestCases.of(shop))
    ranking = rank_all(model(), cases, N_ITEMS)
    share = told(found, "unclicked_share")
    assert (share.slice, share.k) == ("all", 20)
    assert share.value == pytest.approx(item_values(ranking.lists, shop.cold).mean())
    assert share.low < share.value < share.high
    alone = np.where(shop.cold, model().scores(cases.prefixes), -np.inf)
    for row, prefix in enumerate(cases.prefixes):
        alone[row, prefix] = -np.inf
    own = target_ranks(alone, cases.targets)[cases.cold]
    for metric in ("P", "MRR"):
        one = told(found, f"unclicked_{metric}")
        assert one.slice == "cold"
        assert one.value == pytest.approx(case_values(own, metric, 20).mean())
    assert len(found.frontier) == POINTS and 0 < told(found, "frontier_area").value < 1


def test_a_model_by_item_id_is_a_point(shop, cases):
    found = evaluate(ById(model().table), shop, cases, TestCases.of(shop))
    values = case_values(found.ranks, "P", 20)
    assert found.frontier.warm.tolist() == [values[~cases.cold].mean()]
    assert found.frontier.cold.tolist() == found.frontier.share.tolist() == [0.0]
    assert told(found, "unclicked_share").value == told(found, "frontier_area").value == 0
    assert not any(one.name == "unclicked_P" for one in found.metrics)


def test_without_cold_targets_there_is_no_frontier(shop):
    warm = replace(shop, test=shop.train)
    cases = TestCases.of(warm)
    found = evaluate(model(), warm, cases, cases)
    names = {one.name for one in found.metrics}
    assert found.frontier is None and "unclicked_share" in names
    assert not {"unclicked_P", "unclicked_MRR", "frontier_area"} & names


def test_without_unclicked_items_nothing_is_told_of_them():
    shop = dataset_of([[0, 1, 2, 3]], [[0, 1]], [[0, 1, 2], [1, 0]], 4)
    cases = TestCases.of(shop)
    found = evaluate(LastItem(np.eye(4)), shop, cases, cases)
    assert found.frontier is None
    assert not any("unclicked" in one.name for one in found.metrics)


@pytest.fixture(scope="module")
def stored(shop, cases, tmp_path_factory):
    """Two seeds of a model, and one by item id, as they come out of a database."""
    target = tmp_path_factory.mktemp("unclicked") / "results.db"
    models = [("tpad", 0, model(0)), ("tpad", 1, model(1)), ("markov", 0, ById(model(2).table))]
    with Store(target) as store:
        for name, seed, one in models:
            role = "tpad" if name == "tpad" else "baseline"
            found = evaluate(one, shop, cases, cases)
            with store.run(
                shop, "a shop", cases, (name, role), seed, {}, f"{name}{seed}", ("0", "c")
            ) as run:
                run.finish(found.ranks, 1, 1, {}, found.metrics, found.frontier)
        selection = select_runs(store)
        return results_of(store, selection), selection.masks()


def test_frontiers_and_metrics_are_means_over_seeds(stored, shop, cases):
    results, masks = stored
    frame = frontier_frame(results)
    assert frame.groupby("model").size().to_dict() == {"markov": 1, "tpad": POINTS}
    found = [evaluate(model(seed), shop, cases, cases) for seed in (0, 1)]
    ours = frame[frame.model == "tpad"]
    np.testing.assert_allclose(ours.warm, np.mean([one.frontier.warm for one in found], 0))
    area = np.mean([told(one, "frontier_area").value for one in found])
    table = unclicked_frame(results).set_index("model")
    assert table.frontier_area["tpad"] == pytest.approx(area)
    assert np.isnan(table.unclicked_P["markov"]) and table.unclicked_share["markov"] == 0
    chosen = chosen_points(results, masks, ["tpad"]).set_index("model")
    values = np.mean([case_values(one.ranks, "P", 20)[cases.cold].mean() for one in found])
    assert chosen.cold["tpad"] == pytest.approx(values) and len(chosen) == 1
    assert [*next(one for one in results if one.name == "tpad").of_seed(1).frontiers] == [1]


def test_the_section_has_a_row_per_model(stored):
    results, masks = stored
    (section,) = unclicked(results, masks)
    assert list(section.table) == [
        "share of the lists",
        "P@20 among unclicked",
        "MRR@20 among unclicked",
        "frontier area",
    ]
    assert section.table.loc["markov"].tolist() == ["0.000", "–", "–", "0.0000"]
    assert "earlier version" not in section.note


def test_results_without_frontiers_say_how_to_get_them(stored, cases):
    results, masks = stored
    old = [replace(one, frontiers={}, further={}) for one in results]
    (section,) = unclicked(old, masks)
    assert section.table.empty and "`python -m eval run`" in section.note
    data = ReportData(old, cases, masks, "a shop")
    text = markdown(data)
    assert "## Unclicked items\n\nRuns that were stored by an earlier version" in text
    (section,) = unclicked([old[0], *results[1:]], masks)
    assert f"They are: {old[0].name}." in section.note
    # Imported lists have no scores, and without cold targets there is nothing to get.
    peer = Result("peer", "baseline", (0,), Ranks.empty((1, 3)), imported={"file": "a"})
    (section,) = unclicked([*results, peer], masks)
    assert "earlier version" not in section.note
    assert unclicked(old, {"all": masks["all"]}) == []


def test_the_page_draws_the_frontier(stored, cases, tmp_path):
    results, masks = stored
    data = ReportData(results, cases, masks, "a shop")
    write_report(tmp_path / "report.html", data)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<h2>Frontier</h2>" in text and "P@20 of warm and of cold targets" in text
    old = replace(data, results=[replace(one, frontiers={}) for one in results])
    write_report(tmp_path / "report.html", old)
    assert "<h2>Frontier</h2>" not in (tmp_path / "report.html").read_text("utf-8")
