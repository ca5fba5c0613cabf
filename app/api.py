"""The app's API: four named endpoints for `gradio_client`, HTTP and, if asked for, MCP clients.

The docstrings of the endpoints are what callers read: Gradio shows their first paragraphs in the
API documentation and hands MCP clients all of it. It reads one line a parameter, however long.
"""

import base64
import binascii
import functools
import logging
from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import gradio as gr
import pandas as pd
from gradio import processing_utils
from gradio.context import Context
from gradio.exceptions import InvalidPathError
from gradio_client.utils import is_file_obj_with_meta

from app.shell.actions import MAX_TITLE, Shop, with_facts
from app.shell.pictures import reencode
from app.shell.state import MAX_ELEMENTS
from tpad.data.columns import Columns
from tpad.errors import ConfigError, DataError, TpadError
from tpad.io.texts import checked_text
from tpad.items import NewItem

if TYPE_CHECKING:
    from app.shell.results import Choice, Results

log = logging.getLogger("app")

CALLS = 16  # at once, of all callers; what is slow in them takes turns, see `app.shell.pictures`
MAX_K = 100  # items of a list
MAX_ENCODED = 32  # items of one call of /encode
MAX_TEXT = 4000  # characters of a description
MAX_PICTURE = 24_000_000  # bytes of a picture that is sent as base64, as of an uploaded file
MAX_REQUEST = 64_000_000  # bytes of a whole call; more is refused before it is read
ENDPOINTS = ("recommend", "compare", "encode", "leaderboard")
FIELDS = ("image", "title", "description", "category", "price", "vectors")

Item = str | dict[str, Any]
"""How an item is sent: its id, a picture, or a dictionary of some of `FIELDS`."""
_PICTURE_URL = "data:image/"


def add_api(shop: Shop) -> None:
    """Add the endpoints to the page; to be called inside its `gr.Blocks`.

    Args:
        shop: whose recommender and results are asked.
    """
    models = shop.models
    processing_utils.async_ssrf_protected_download = _fetches_nothing

    def recommend(
        session: list[Item], model: str = models[0], k: int = 20, exclude_seen: bool = True
    ) -> list[dict[str, Any]]:
        """Rank what a shopper looks at next, given what was looked at before.

        An item is sent as its item_id, as a picture (a file, or text "data:image/png;base64,..."),
        or, if it is in no catalogue, as a dictionary of some of image, title, description,
        category, price, and vectors (name to numbers) for a bundle that was trained with such.

        Args:
            session: The items that were looked at, oldest first, 1 to 24.
            model: Name of the embeddings that rank, one of the bundle's; the first is TPAD.
            k: How many items to return, 1 to 100.
            exclude_seen: Leave out items that the session names by id.

        Returns:
            The items, best first: item_id, title, score (comparable within one call), rank (from 1), is_cold (nobody clicked it in training).
        """
        elements = _elements(shop, session, MAX_ELEMENTS)
        found = shop.recommender.recommend(
            elements, _count(k), _flag(exclude_seen), _model(shop, model)
        )
        return _recommended(shop, found)

    def compare(
        session: list[Item],
        models: list[str] | None = None,
        k: int = 20,
        exclude_seen: bool = True,
    ) -> dict[str, list[dict[str, Any]]]:
        """Rank what comes next with several embeddings, for the same session.

        Args:
            session: The items that were looked at, oldest first, 1 to 24, each as in recommend.
            models: Names of embeddings of the bundle; all of them if left out.
            k: How many items of each list, 1 to 100.
            exclude_seen: Leave out items that the session names by id.

        Returns:
            For each model its list, as recommend returns it.
        """
        elements = _elements(shop, session, MAX_ELEMENTS)
        names = shop.models if models is None else models
        if not isinstance(names, (list, tuple)):
            raise DataError("models is a list of names.")
        names = list(dict.fromkeys(_model(shop, name) for name in names))
        table = shop.recommender.compare(elements, names, _count(k), _flag(exclude_seen))
        return {name: _recommended(shop, table[table["model"] == name]) for name in names}

    def encode(items: list[Item], model: str = models[0]) -> list[list[float]]:
        """Embed items, in the catalogue or not; each is sent as in recommend.

        Args:
            items: The items, 1 to 32.
            model: Name of the embeddings, one of the bundle's; the first is TPAD.

        Returns:
            One vector an item, all of the same length.
        """
        elements = _elements(shop, items, MAX_ENCODED)
        return shop.recommender.encode(elements, _model(shop, model)).tolist()

    def leaderboard(
        dataset: str = "", split: str = "", slice: str = "all", metric: str = ""
    ) -> list[dict[str, Any]]:
        """Read what was measured of every model on one set of test cases of the results database.

        Args:
            dataset: Name of a dataset; the one of the latest run if left out.
            split: Name of a split of it; any if left out.
            slice: Which test cases: all, warm, cold, or another that the database holds.
            metric: A metric as "MRR@20", or all cut-offs of one as "MRR"; every metric if left out.

        Returns:
            One row a model and metric: dataset, split, model, role, slice, cases, metric, k, seeds, mean over seeds with deviation, 95 % interval low to high, of_oracle (share of the best possible figure) with its interval.
        """
        if shop.results is None:
            raise DataError("This app has no results database; start it with --database.")
        choice = _choice(shop.results, _text(dataset, "dataset"), _text(split, "split"))
        outcome = shop.results.outcome(choice.key)
        part = _text(slice, "slice") or "all"
        if part not in outcome.masks:
            raise DataError(f"There is no slice {part!r}; choose from {', '.join(outcome.masks)}.")
        frame = _of_metric(outcome.frame(part), _text(metric, "metric"))
        frame.insert(0, "split", choice.split)
        frame.insert(0, "dataset", choice.dataset)
        return _records(frame)

    endpoints = (recommend, compare, encode, leaderboard)
    _tell_refusals(endpoints)
    for endpoint in endpoints:
        gr.api(
            _told(endpoint),
            api_name=endpoint.__name__,
            concurrency_limit=CALLS,
            concurrency_id="api",
        )


async def _fetches_nothing(url: str, cache_dir: str) -> str:
    """In place of Gradio's own, which fetches a file that a caller names by its address, whatever
    its size."""
    raise gr.Error("Send the picture itself, not its address.", print_exception=False)


def _tell_refusals(endpoints: Sequence[Callable]) -> None:
    """Lets callers know why Gradio itself refuses what they send, which it keeps to its log.

    Arguments that a caller leaves out at the end get their defaults, over plain HTTP as well.
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

    async def told(block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> Any:
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
            sentence = "What was sent cannot be read; see the API's documentation for its form."
            raise gr.Error(sentence, print_exception=False) from error

    page.preprocess_data = told


def _told(endpoint: Callable) -> Callable:
    """The same, but an error reaches the caller as one sentence."""

    @functools.wraps(endpoint)
    def safe(*args: Any) -> Any:
        try:
            return endpoint(*args)
        except TpadError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Exception as error:
            log.exception("/%s failed", endpoint.__name__)
            sentence = "That did not work; the server's log says why."
            raise gr.Error(sentence, print_exception=False) from error

    return safe


def _elements(shop: Shop, sent: Any, most: int) -> list[str | NewItem]:
    """What a caller sent as elements of a session.

    `sent` is emptied: Gradio keeps it as long as the caller stays, and pictures are large.

    Raises:
        TpadError: an item cannot be used; the sentence says which one.
    """
    if not isinstance(sent, list) or not sent:
        raise DataError("Give a list of at least one item id, picture or new item.")
    items = list(sent)
    sent.clear()
    if len(items) > most:
        raise DataError(f"{len(items):,} items are too many; send at most {most} at once.")
    elements = []
    for place, item in enumerate(items, 1):
        try:
            elements.append(_element(shop, item))
        except TpadError as error:
            raise type(error)(f"Item {place}: {error}") from error
    return elements


def _element(shop: Shop, item: Any) -> str | NewItem:
    if isinstance(item, str) and not item.startswith(_PICTURE_URL):
        if item not in shop.catalogue.rows:
            raise DataError(f"There is no item {item[:80]!r} in the catalogue.")
        return item
    if isinstance(item, str) or is_file_obj_with_meta(item):
        item = {"image": item}
    if not isinstance(item, dict):
        raise DataError("An item is an id, a picture, or a dictionary that describes a new item.")
    unknown = [str(name)[:40] for name in item if name not in FIELDS]
    if unknown:
        raise DataError(
            f"A new item has no field {unknown[0]!r}; the fields are {', '.join(FIELDS)}."
        )
    price = item.get("price")
    if price is not None and (isinstance(price, bool) or not isinstance(price, (int, float))):
        raise DataError("price is a number.")
    new = NewItem(
        image=_picture(item.get("image")),
        title=_text(item.get("title"), "title", MAX_TITLE),
        description=_text(item.get("description"), "description", MAX_TEXT),
        category=_text(item.get("category"), "category", MAX_TITLE),
        price=price,
        vectors=item.get("vectors") or None,
    )
    if new.image is None and not (new.title or new.description or new.vectors):
        raise DataError("A new item needs an image, a title or a description.")
    return new


def _picture(sent: Any) -> Any:
    """A fresh picture of an uploaded file, a data URL or plain base64; None if there is none.

    Raises:
        TpadError: it is something else, too large, or no picture that can be used.
    """
    if sent is None or sent == "":
        return None
    if is_file_obj_with_meta(sent):  # Gradio has checked that it lies in its folder of uploads
        return reencode(str(sent["path"]))[0]
    if not isinstance(sent, str):
        raise DataError("image is a file (gradio_client's handle_file) or base64 text.")
    if len(sent) > MAX_PICTURE * 4 / 3:
        raise DataError(f"The picture is larger than {MAX_PICTURE / 1e6:g} MB; make it smaller.")
    text = sent.partition(",")[2] if sent.startswith("data:") else sent
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("The picture is not base64; send it whole.") from error
    return reencode(data)[0]


def _text(sent: Any, name: str, most: int = MAX_TITLE) -> str:
    if sent is None:
        return ""
    if not isinstance(sent, str):
        raise DataError(f"{name} is text.")
    if len(sent) > most:
        raise DataError(f"{name} has more than {most:,} characters; shorten it.")
    return " ".join(checked_text(sent, name).split())


def _count(k: Any) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, float)) or k != k // 1:
        raise ConfigError("k is a whole number.")
    if not 1 <= k <= MAX_K:
        raise ConfigError(f"k must be from 1 to {MAX_K}, not {k:g}.")
    return int(k)


def _flag(sent: Any) -> bool:
    if not isinstance(sent, bool):
        raise ConfigError("exclude_seen is true or false.")
    return sent


def _model(shop: Shop, name: Any) -> str:
    if name not in shop.models:
        raise ConfigError(
            f"There is no model {str(name)[:40]!r} here; choose from {', '.join(shop.models)}."
        )
    return name


def _recommended(shop: Shop, found: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [Columns.ITEM_ID, Columns.TITLE, Columns.SCORE, Columns.RANK, Columns.IS_COLD]
    return _records(with_facts(shop, found)[columns])


def _choice(results: "Results", dataset: str, split: str) -> "Choice":
    """The latest set of cases that the filters let through."""
    choices = results.choices()
    if not choices:
        raise DataError(
            "The results database holds no finished run on this bundle's dataset; "
            "run `python -m eval run` with both."
        )
    for choice in choices:
        if dataset in ("", choice.dataset) and split in ("", choice.split):
            return choice
    there = "; ".join(dict.fromkeys(_named(choice) for choice in choices))
    raise DataError(f"There are no results of that dataset and split; there are {there}.")


def _named(choice: "Choice") -> str:
    return f"{choice.dataset}, split {choice.split}" if choice.split else choice.dataset


def _of_metric(frame: pd.DataFrame, wanted: str) -> pd.DataFrame:
    """The rows of one metric, as "MRR@20" or "MRR"; a copy."""
    if not wanted:
        return frame.copy()
    names = frame["metric"] + "@" + frame["k"].astype(str)
    chosen = frame[(names == wanted) | (frame["metric"] == wanted)].copy()
    if chosen.empty:
        raise DataError(f"There is no metric {wanted!r}; choose from {', '.join(names.unique())}.")
    return chosen


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain numbers, texts and None, which JSON knows."""
    columns: Sequence[str] = list(frame.columns)
    values = [frame[column].astype(object).where(frame[column].notna(), None) for column in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
