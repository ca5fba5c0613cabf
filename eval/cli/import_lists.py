"""`python -m eval import`: the recommendations of an outside model, evaluated on the same cases."""

import hashlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from eval.baselines import BASELINES
from eval.cli.sources import (
    add_database,
    add_protocol,
    add_separator,
    add_source,
    cases_of,
    database_of,
    load_source,
    slices_of,
    store_split,
)
from eval.database.store import Store
from eval.models.naming import ENSEMBLES, NEIGHBOURS, SETS, SUBJECT, VARIANT
from eval.models.ranked_lists import read_ranked_lists
from eval.runs.runner import code_version
from tpad import ConfigError
from tpad.errors import check_seed


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Evaluate the recommendations of an outside model. The table has the columns case and items; "
        "or SessionId, Position and Recommendations, as session-rec writes them; or session_id, "
        "item_id and score (or rank), as RecBole's full_sort_topk gives them."
    )
    parser.add_argument("file", type=Path, help="CSV or Parquet table of ranked items")
    parser.add_argument("--model", required=True, help="name of the model in tables")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed that it was trained with (default: %(default)s)"
    )
    add_source(parser)
    add_protocol(parser)
    add_separator(parser)
    parser.add_argument(
        "--allow-missing", action="store_true", help="count cases without a list as not found"
    )
    add_database(parser)


def our_names(sets: Iterable[str] = ()) -> set[str]:
    """Names that are reserved, since a database identifies a model by its name.

    Args:
        sets: embedding sets of the bundle.
    """
    # All sets are reserved on any data: another run may add them to the database.
    names = {*SETS, *sets, SUBJECT, "attributes"}
    return {*BASELINES, *ENSEMBLES, *names, *(name + NEIGHBOURS for name in names), "oracle"}


def is_ours(name: str, sets: Iterable[str] = ()) -> bool:
    """Whether a name is one of `our_names` or that of an ablation."""
    return name in our_names(sets) or name.startswith(VARIANT)


def run(options: Namespace) -> None:
    """Run the command."""
    check_seed(options.seed, "--seed")
    source = load_source(options)
    if is_ours(options.model, source.embeddings):
        raise ConfigError(
            f"{options.model} is the name of a built-in model; choose another --model."
        )
    cases = cases_of(options, source)
    peer = read_ranked_lists(
        options.file,
        cases,
        source.dataset,
        separator=options.separator,
        allow_missing=options.allow_missing,
    )
    content = hashlib.sha256(options.file.read_bytes()).hexdigest()
    facts = {"file": options.file.name, "sha256": content, "longest_list": peer.longest}
    if peer.left_out:
        facts["left_out"] = peer.left_out
    parts = [options.model, str(options.seed), cases.fingerprint, content]
    if source.split is not None:
        parts.append(source.split.fingerprint)
    key = hashlib.sha256("/".join(parts).encode())
    with Store(database_of(options)) as store:
        if store.find(key.hexdigest()) is None:
            with store.run(
                source.dataset,
                source.name,
                cases,
                (options.model, "baseline"),
                options.seed,
                {"imported": facts},
                key.hexdigest(),
                code_version(),
                store_split(store, source),
            ) as stored:
                stored.finish(peer.ranks, 0.0, 0.0)
        store.add_slices(source.dataset, source.name, cases, slices_of(source, cases))
    found = int((peer.ranks <= 20).sum())
    print(
        f"{options.model}: {len(cases):,} cases, {found:,} found within 20; the longest list has "
        f"{peer.longest} items"
        + (f", {peer.unanswered:,} cases without a list" if peer.unanswered else "")
    )
    if peer.left_out:
        print(
            f"{peer.left_out:,} lists are skipped: their clicks are not test cases, as the item is in the "
            "session already or the protocol leaves them out."
        )
