"""Four named endpoints: recommend, compare, encode, leaderboard.

Their docstrings are the API's documentation: Gradio shows the first paragraphs and gives MCP clients
the whole text. It reads one line per parameter, however long.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from inspect import signature
from typing import TYPE_CHECKING, Any

import gradio as gr
import pandas as pd
from gradio import processing_utils
from gradio.context import Context
from gradio.exceptions import InvalidPathError

from app.api.inputs import (
    Item,
    read_count,
    read_elements,
    read_flag,
    read_model,
    read_share,
    read_text,
)
from app.shell.session import MAX_ELEMENTS
from app.shell.shop import Shop, with_item_facts
from app.shell.turns import QUICK, SLOW, in_turn
from tpad.data.columns import Columns
from tpad.errors import DataError, TpadError
from tpad.items import NewItem

if TYPE_CHECKING:
    from app.shell.results import CaseSet, Results

log = logging.getLogger("app")

MAX_ENCODED = 32  # items of one call of /encode
MAX_REQUEST = 64_000_000  # bytes of a whole call; a larger one is refused before it is read
ENDPOINTS = ("recommend", "compare", "encode", "leaderboard")


def add_api(shop: Shop) -> None:
    """Add the endpoints to the page; to be called inside its `gr.Blocks`.

    Args:
        shop: the open bundle, with its results database.
    """
    processing_utils.async_ssrf_protected_download = _refuse_download
    endpoints = (_recommend(shop), _compare(shop), _encode(shop), _leaderboard(shop))
    _explain_refusals(endpoints)
    for endpoint in endpoints:
        gr.api(
            _with_messages(endpoint),
            api_name=endpoint.__name__,
            concurrency_limit=None,  # what takes long waits for its turn, see `app.shell.turns`
        )


def _recommend(shop: Shop) -> Callable:
    def recommend(
        session: list[Item],
        model: str = shop.models[0],
        k: int = 20,
        exclude_seen: bool = True,
        exploration: float | None = None,
    ) -> list[dict[str, Any]]:
        """Rank what a shopper looks at next, given what was looked at before.

        An item is sent as its item_id, as a picture (a file, or text "data:image/png;base64,..."),
        or, if it is not in the catalogue, as a dictionary of some of image, title, description,
        category, price, and vectors (name to numbers) for a bundle that was trained with vectors.

        Args:
            session: The items that were looked at, oldest first, 1 to 24.
            model: Name of the embeddings used for ranking, one of the bundle's; the first is TPAD.
            k: How many items to return, 1 to 100.
            exclude_seen: Leave out items that the session names by id.
            exploration: Wanted share of items that nobody clicked in training, on average over sessions: 0 never shows them, 1 shows as many as possible; the share that was best in training if left out.

        Returns:
            The items, best first: item_id, title, score (comparable within one call), rank (from 1), is_cold (nobody clicked it in training).
        """
        elements = read_elements(shop, session, MAX_ELEMENTS)
        count, exclude, name = read_count(k), read_flag(exclude_seen), read_model(shop, model)
        share = read_share(exploration)
        with _turn_for(elements):
            found = shop.recommender.recommend(elements, count, exclude, name, share)
        return _recommended(shop, found)

    return recommend


def _compare(shop: Shop) -> Callable:
    def compare(
        session: list[Item],
        models: list[str] | None = None,
        k: int = 20,
        exclude_seen: bool = True,
        exploration: float | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """Rank what comes next with several embeddings, for the same session.

        Args:
            session: The items that were looked at, oldest first, 1 to 24, each as in recommend.
            models: Names of embeddings of the bundle; all of them if left out.
            k: How many items per list, 1 to 100.
            exclude_seen: Leave out items that the session names by id.
            exploration: Wanted share of items that nobody clicked in training, as in recommend.

        Returns:
            For each model its list, as recommend returns it.
        """
        elements = read_elements(shop, session, MAX_ELEMENTS)
        names = shop.models if models is None else models
        if not isinstance(names, (list, tuple)):
            raise DataError("models must be a list of names.")
        names = list(dict.fromkeys(read_model(shop, name) for name in names))
        count, exclude, share = read_count(k), read_flag(exclude_seen), read_share(exploration)
        with _turn_for(elements):
            table = shop.recommender.compare(elements, names, count, exclude, share)
        return {name: _recommended(shop, table[table["model"] == name]) for name in names}

    return compare


def _encode(shop: Shop) -> Callable:
    def encode(items: list[Item], model: str = shop.models[0]) -> list[list[float]]:
        """Embed items, in the catalogue or not; each is sent as in recommend.

        Args:
            items: The items, 1 to 32.
            model: Name of the embeddings, one of the bundle's; the first is TPAD.

        Returns:
            One vector per item, all of the same length.
        """
        elements = read_elements(shop, items, MAX_ENCODED)
        name = read_model(shop, model)
        with _turn_for(elements):
            return shop.recommender.encode(elements, name).tolist()

    return encode


def _leaderboard(shop: Shop) -> Callable:
    def leaderboard(
        dataset: str = "", split: str = "", slice: str = "all", metric: str = ""
    ) -> list[dict[str, Any]]:
        """Read the results of every model on one set of test cases of the results database.

        Args:
            dataset: Name of a dataset; the one of the latest run if left out.
            split: Name of a split of it; any if left out.
            slice: Which test cases: all, warm, cold, or another one of the database.
            metric: A metric such as "MRR@20", or all cut-offs of one, such as "MRR"; every metric if left out.

        Returns:
            One row per model and metric: dataset, split, model, role, slice, cases, metric, k, seeds, mean over seeds with deviation, 95 % interval low to high, of_oracle (share of the best possible value) with its interval.
        """
        if shop.results is None:
            raise DataError("This app has no results database; start it with --database.")
        cases = _case_set(shop.results, read_text(dataset, "dataset"), read_text(split, "split"))
        with in_turn(QUICK):
            evaluation = shop.results.evaluation(cases.key)
        part = read_text(slice, "slice") or "all"
        if part not in evaluation.masks:
            raise DataError(
                f"There is no slice {part!r}; choose from {', '.join(evaluation.masks)}."
            )
        frame = _of_metric(evaluation.frame(part), read_text(metric, "metric"))
        frame.insert(0, "split", cases.split)
        frame.insert(0, "dataset", cases.dataset)
        return _records(frame)

    return leaderboard


async def _refuse_download(url: str, cache_dir: str) -> str:
    """Replaces Gradio's own function, which downloads any file that a caller names, of any size."""
    raise gr.Error("Send the picture itself, not its address.", print_exception=False)


def _explain_refusals(endpoints: Sequence[Callable]) -> None:
    """Tell callers why Gradio itself refuses their input, instead of only logging it.

    Arguments that a caller leaves out at the end get their defaults, also over plain HTTP.
    """
    page: Any = Context.root_block
    defaults = {
        endpoint.__name__: [
            None if p.default is p.empty else p.default
            for p in signature(endpoint).parameters.values()
        ]
        for endpoint in endpoints
    }
    preprocess = page.preprocess_data

    async def explained(block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> Any:
        missing = defaults.get(block_fn.api_name)
        if missing is None:
            return await preprocess(block_fn, inputs, *args, **options)
        inputs = [*inputs, *missing[len(inputs) :]]
        try:
            return await preprocess(block_fn, inputs, *args, **options)
        except gr.Error:
            raise
        except InvalidPathError as error:
            sentence = (
                "Upload a file before naming it (gradio_client's handle_file), or send base64."
            )
            raise gr.Error(sentence, print_exception=False) from error
        except Exception as error:
            log.exception("/%s could not be read", block_fn.api_name)
            sentence = "The input cannot be read; see the API's documentation for its format."
            raise gr.Error(sentence, print_exception=False) from error

    page.preprocess_data = explained


def _with_messages(endpoint: Callable) -> Callable:
    """The same endpoint, whose errors reach the caller as one sentence."""

    @functools.wraps(endpoint)
    def safe(*args: Any) -> Any:
        try:
            return endpoint(*args)
        except TpadError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Exception as error:
            log.exception("/%s failed", endpoint.__name__)
            sentence = "Something went wrong; see the server's log."
            raise gr.Error(sentence, print_exception=False) from error

    return safe


def _turn_for(elements: Sequence[str | NewItem]) -> AbstractContextManager[None]:
    """New items have to be encoded."""
    return in_turn(QUICK if all(isinstance(each, str) for each in elements) else SLOW)


def _recommended(shop: Shop, found: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [Columns.ITEM_ID, Columns.TITLE, Columns.SCORE, Columns.RANK, Columns.IS_COLD]
    return _records(with_item_facts(shop, found)[columns])


def _case_set(results: "Results", dataset: str, split: str) -> "CaseSet":
    """The latest set of cases of a dataset and split."""
    found = results.case_sets()
    if not found:
        raise DataError(
            "The results database has no finished run on this bundle's dataset; "
            "run `python -m eval run` with both."
        )
    for cases in found:
        if dataset in ("", cases.dataset) and split in ("", cases.split):
            return cases
    names = "; ".join(dict.fromkeys(_name_of(cases) for cases in found))
    raise DataError(f"There are no results of that dataset and split; choose from {names}.")


def _name_of(cases: "CaseSet") -> str:
    return f"{cases.dataset}, split {cases.split}" if cases.split else cases.dataset


def _of_metric(frame: pd.DataFrame, wanted: str) -> pd.DataFrame:
    """A copy of the rows of one metric, given as "MRR@20" or "MRR"."""
    if not wanted:
        return frame.copy()
    names = frame["metric"] + "@" + frame["k"].astype(str)
    chosen = frame[(names == wanted) | (frame["metric"] == wanted)].copy()
    if chosen.empty:
        raise DataError(f"There is no metric {wanted!r}; choose from {', '.join(names.unique())}.")
    return chosen


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain numbers, texts and None, for JSON."""
    columns: Sequence[str] = list(frame.columns)
    values = [frame[column].astype(object).where(frame[column].notna(), None) for column in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
