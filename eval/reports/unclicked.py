"""How models treat unclicked items: the frontier, their share of the lists, and ranking among them alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eval.metrics.frontier import mean_curve
from eval.reports.sections import Section
from eval.runs.results import Result

METRIC, K = "P", 20
"""The metric of the frontier."""
COLUMNS = {
    "unclicked_share": ("all", "share of the lists", ".3f"),
    "unclicked_P": ("cold", "P@20 among unclicked", ".3f"),
    "unclicked_MRR": ("cold", "MRR@20 among unclicked", ".3f"),
    "frontier_area": ("all", "frontier area", ".4f"),
}
"""Name of a metric -> its slice, the heading of its column, and its format."""
HOW_TO_READ = (
    "The further up and to the right a curve lies, the better its model serves new and known items at "
    "once, whatever share of new items a shop wants."
)
WHAT_IT_IS = (
    "Each curve shows P@20 of warm and of cold targets as one offset is added to the scores of all "
    "unclicked items, from lists without any (right) to lists of nothing else (left). The marker is the "
    "offset 0: the model's own choice. A model that cannot score unclicked items is a single point."
)
HOW_TO_GET_IT = (
    "Runs that were stored by an earlier version have no frontier; evaluate the models again with "
    "`python -m eval run`."
)


def frontier_frame(results: Sequence[Result]) -> pd.DataFrame:
    """The frontiers of models, means over seeds, point by point.

    Returns:
        Columns model, role, point (from 0), warm, cold and share; models without a frontier are left
        out.
    """
    tables = []
    for result in results:
        if result.frontiers:
            table = pd.DataFrame(
                mean_curve(list(result.frontiers.values())), columns=["warm", "cold", "share"]
            )
            table.insert(0, "model", result.name)
            table.insert(1, "role", result.role)
            table.insert(2, "point", np.arange(len(table)))
            tables.append(table)
    columns = ["model", "role", "point", "warm", "cold", "share"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def chosen_points(
    results: Sequence[Result], masks: Mapping[str, np.ndarray], models: Sequence[str]
) -> pd.DataFrame:
    """The results with the offset 0, means over seeds and cases.

    Args:
        results: of the models.
        masks: "warm" and "cold" -> (n_cases,) bool.
        models: names of the models to include.

    Returns:
        Columns model, warm and cold.
    """
    rows = [
        (one.name, *(one.metric(METRIC, K, masks[part]).mean() for part in ("warm", "cold")))
        for one in results
        if one.name in models
    ]
    return pd.DataFrame(rows, columns=["model", "warm", "cold"])


def unclicked_frame(results: Sequence[Result]) -> pd.DataFrame:
    """The metrics of unclicked items, means over seeds.

    Returns:
        Column model, and one column for each of `COLUMNS`, NaN where a model has no such value; models
        without any are left out.
    """
    rows = [
        {"model": one.name}
        | {
            name: one.further.get(part, {}).get(name, np.nan)
            for name, (part, _, _) in COLUMNS.items()
        }
        for one in results
    ]
    table = pd.DataFrame(rows, columns=["model", *COLUMNS])
    return table.dropna(subset=list(COLUMNS), how="all").reset_index(drop=True)


def without_frontier(results: Sequence[Result]) -> list[str]:
    """Names of the models whose runs can have a frontier but were stored without one."""
    return [one.name for one in results if not one.frontiers and one.imported is None]


def unclicked(results: Sequence[Result], masks: Mapping[str, np.ndarray]) -> list[Section]:
    """The metrics of unclicked items; no section if no target is cold and no model has any.

    Args:
        results: in the order of the table.
        masks: slice -> (n_cases,) bool.
    """
    frame = unclicked_frame(results).set_index("model").dropna(axis=1, how="all")
    has_both = all(part in masks and masks[part].any() for part in ("warm", "cold"))
    if frame.empty and not has_both:
        return []
    notes = []
    if not frame.empty:
        notes.append(
            "Items without training clicks: their share of the items in lists of 20; P@20 and MRR@20 of "
            "cold targets if only unclicked items are ranked; and the area below the frontier, which is "
            "P@20 of warm against P@20 of cold targets as an offset is added to the scores of all "
            "unclicked items. The area is a share of the unit square. The last three do not depend on "
            "the offset that a model has chosen. Means over cases."
        )
    missing = without_frontier(results)
    if has_both and missing:
        which = "" if len(missing) == len(results) else f" They are: {', '.join(missing)}."
        notes.append(HOW_TO_GET_IT + which)
    table = pd.DataFrame(
        {
            head: ["–" if np.isnan(value) else format(value, form) for value in frame[name]]
            for name, (_, head, form) in COLUMNS.items()
            if name in frame
        },
        index=frame.index,
    )
    return [Section("Unclicked items", table.rename_axis("model"), " ".join(notes))]
