"""From the visitor's position among the cases to the HTML of the tab."""

import numpy as np
import pandas as pd

from app.cold_start import verdicts, views
from app.cold_start.browser import CaseBrowser, is_variant
from app.cold_start.cases import RULES, median_ranks
from app.cold_start.position import Position
from app.cold_start.views import ModelList, ModelRank, UploadRanks
from app.cold_start.visitor import Visitor
from app.shell.names import model_title
from app.shell.ranking import ranks
from tpad.data.columns import Columns

LIST_LENGTH = 6  # items shown of each list


def model_ranks(browser: CaseBrowser, position: Position) -> str:
    """The rank of the true next item under every model."""
    evaluation = browser.results.evaluation(position.key)
    found = []
    for name, result in evaluation.by_name.items():
        role = "first" if name == position.first else "second" if name == position.second else ""
        if not role:
            role = "variant" if is_variant(name) else "other"
        rank = float(median_ranks(result.ranks.expected)[position.number])
        found.append(ModelRank(model_title(name), rank, len(result.seeds), role))
    return views.model_ranks(found, len(browser.shop.catalogue.items))


def lists(browser: CaseBrowser, position: Position) -> str:
    """The lists of the rated model and of the other one, with the visitor's changes."""
    case, shop = browser.case(position), browser.shop
    session = _session(browser, position)
    n_items = len(shop.catalogue.items)
    found = []
    for model in (position.first, position.second):
        if model not in shop.models:
            continue
        scores = shop.recommender.scores(session, model)[:n_items]
        seen = sorted(set(case.prefix))
        before = ranks(scores, seen)
        now = before
        if position.hidden or position.added:
            added = [element.value for element in position.added]
            new = shop.recommender.scores_of(session, added, model)
            now = ranks(np.concatenate([scores, new]), sorted({*seen, *position.hidden}))
        best = np.argsort(np.where(now > 0, now, len(now) + 1), kind="stable")[:LIST_LENGTH]
        found.append(
            ModelList(
                model_title(model),
                [int(row) for row in best if now[row] > 0],
                int(now[case.target]) or None,
                int(before[case.target]),
            )
        )
    items = with_added_items(browser, position)
    return views.lists(found, items, case.target, position.hidden)


def upload_ranks(browser: CaseBrowser, position: Position) -> str:
    """The rank of each picture that the visitor added, under every model of the open bundle."""
    if not position.added:
        return ""
    case, shop = browser.case(position), browser.shop
    session = _session(browser, position)
    n_items = len(shop.catalogue.items)
    left_out = sorted({*case.prefix, *position.hidden})
    added = [element.value for element in position.added]
    by_model = {}
    for model in shop.models:
        known = shop.recommender.scores(session, model)[:n_items]
        new = shop.recommender.scores_of(session, added, model)
        by_model[model_title(model)] = ranks(np.concatenate([known, new]), left_out)[n_items:]
    found = [
        UploadRanks(
            element.title,
            element.picture,
            n_items + number,
            {model: int(own[number]) for model, own in by_model.items()},
        )
        for number, element in enumerate(position.added)
    ]
    return views.upload_ranks(found, n_items + len(added) - len(left_out))


def with_added_items(browser: CaseBrowser, position: Position) -> pd.DataFrame:
    """The catalogue, followed by the items that the visitor added."""
    own = browser.shop.catalogue.items
    if not position.added:
        return own
    added = pd.DataFrame(
        {
            Columns.ITEM_ID: [element.key for element in position.added],
            Columns.TITLE: [element.title for element in position.added],
            Columns.CATEGORY: "",
            Columns.PRICE: [element.price for element in position.added],
            Columns.IS_COLD: True,
            "picture": [element.picture for element in position.added],
        }
    )
    return pd.concat([own, added.astype({Columns.PRICE: float})], ignore_index=True)


def progress(browser: CaseBrowser, position: Position, me: Visitor, count: int) -> str:
    """How many cases were rated, and how the verdicts agree with the ranks.

    Args:
        browser: of the test cases.
        position, me: where the visitor is, and who.
        count: number of selected cases.
    """
    evaluation = browser.results.evaluation(position.key)
    own = median_ranks(evaluation.by_name[position.first].ranks.expected)
    found = browser.rating.verdicts(position, me)
    return views.progress(
        verdicts.summary(found, own),
        count,
        model_title(position.first),
        browser.rating.table(me) if found else None,
        browser.results.read_only,
    )


def body(browser: CaseBrowser, position: Position, me: Visitor, count: int) -> tuple[str, ...]:
    """The HTML of all parts: toolbar, case, ranks, lists, ranks of uploads, progress."""
    if position.number < 0:
        nothing = views.no_such_case(rule_words(position)[position.rule])
        return "", nothing, "", "", "", progress(browser, position, me, 0)
    own, others = browser.rating.on_case(position, me)
    toolbar = views.toolbar(
        position.index, count, position.number, own, others, browser.address(position)
    )
    return (
        toolbar,
        views.case_view(browser.case(position), browser.shop.catalogue.items),
        model_ranks(browser, position),
        lists(browser, position),
        upload_ranks(browser, position),
        progress(browser, position, me, count),
    )


def rule_words(position: Position) -> dict[str, str]:
    """The rules in words, with the names of the models."""
    first, second = model_title(position.first), model_title(position.second)
    return {name: text.format(first=first, second=second) for name, text in RULES.items()}


def _session(browser: CaseBrowser, position: Position) -> list[str]:
    """Item ids of the open case's session."""
    ids = browser.shop.catalogue.items[Columns.ITEM_ID]
    return [ids.iat[row] for row in browser.case(position).prefix]
