"""HTML of the Compare tab: the lists side by side, and the legend of the bump chart."""

from collections.abc import Sequence

import pandas as pd

from app.compare.agreement import agreement
from app.shell.ranking import top
from app.shell.templates import render
from tpad.data.columns import Columns


def comparison(
    table: pd.DataFrame,
    items: pd.DataFrame,
    titles: dict[str, str],
    k: int,
    target: int | None = None,
    new_items: str = "",
) -> str:
    """The first `k` items of each model side by side, marked where they agree.

    Args:
        table: ranks, one row per item, one column per model (see `app.shell.ranking.rank_table`);
            the other models are compared with the first column.
        items: one row per item: item_id, title, is_cold, picture.
        titles: human name of each model.
        k: number of items shown per model.
        target: row of the true next item, if it is known.
        new_items: the setting of new items in words; "" if it is the default.
    """
    models = list(table.columns)
    lists = {model: top(table, model, k) for model in models}
    counts = pd.Series([row for rows in lists.values() for row in rows]).value_counts()
    shown = dict(zip(counts.index, items.take(counts.index).to_dict("records"), strict=True))
    facts = agreement(table, k).set_index("model")
    first_ranks = table[models[0]]
    columns = []
    for model in models:
        cards = [
            {
                **shown[row],
                "count": int(counts[row]),
                "change": int(first_ranks.iat[row]) - rank,
                "first_rank": int(first_ranks.iat[row]),
                "is_target": row == target,
            }
            for rank, row in enumerate(lists[model], 1)
        ]
        columns.append(
            {
                "title": titles[model],
                "is_first": model == models[0],
                "shared": facts.shared[model],
                "rbo": facts.rbo[model],
                "target_rank": None if target is None else int(table[model].iat[target]),
                "cards": cards,
            }
        )
    return render(
        "compare/comparison.html",
        columns=columns,
        k=k,
        has_target=target is not None,
        new_items=new_items,
    )


def bump_legend(
    lines: Sequence[tuple[int, str]], items: pd.DataFrame, target: int | None = None
) -> str:
    """The legend of a bump chart: a colour, a picture and a title for each line.

    Args:
        lines: (row, colour), see `app.compare.bump_chart.chart_lines`.
        items: one row per item: title, picture.
        target: row of the true next item, if it is known.
    """
    entries = [
        {
            "colour": colour,
            "title": str(items[Columns.TITLE].iat[row]),
            "picture": items["picture"].iat[row],
            "is_target": row == target,
        }
        for row, colour in lines
    ]
    return render("compare/bump_legend.html", entries=entries)


def map_progress(n_items: int, seconds: float) -> str:
    """Shown in place of a map while it is computed."""
    return render("compare/map_progress.html", n_items=n_items, seconds=seconds)


def map_note(title: str, n_items: int, n_drawn: int, has_new_items: bool) -> str:
    """How to read a map.

    Args:
        title: human name of the embedding set.
        n_items, n_drawn: number of products, and of those that are drawn at most.
        has_new_items: whether the session has items that are not in the catalogue.
    """
    return render(
        "compare/map_note.html",
        title=title,
        n_items=n_items,
        n_drawn=n_drawn,
        has_new_items=has_new_items,
    )
