"""`python -m eval export` and `import`: the cases for others to answer, and their answers."""

import hashlib
from argparse import Namespace, _SubParsersAction
from collections.abc import Iterable
from pathlib import Path

from eval.baselines import BASELINES
from eval.cli.choosing import add_selection, selection
from eval.cli.sources import (
    add_database,
    add_protocol,
    add_source,
    cases_of,
    database_of,
    load_source,
    slices_of,
    store_split,
)
from eval.database.store import Store
from eval.models.naming import NEIGHBOURS, SETS, SUBJECT, VARIANT
from eval.models.ranked_lists import SEPARATOR, cases_frame, read_ranked_lists
from eval.reports.writing import write_text
from eval.runs.runner import code_version
from tpad import ConfigError, DataError
from tpad.errors import check_seed
from tpad.io.csv_files import csv_text

WHAT = ("cases", "ranks", "figures")


def add_parser(commands: _SubParsersAction) -> None:
    """Adds both commands."""
    parser = commands.add_parser(
        "export",
        help="write the cases, or the stored ranks or figures, as CSV",
        description="cases: what an outside model is to rank (needs a source). ranks: the rank of "
        "every case by every stored run, with its ties. figures: every stored figure with its interval.",
    )
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    add_source(parser)
    parser.add_argument("--keep-history", action="store_true", help="history stays candidate")
    parser.add_argument("--targets", action="store_true", help="with cases: tell the answers too")
    parser.add_argument("--separator", default=SEPARATOR, help="between item ids (%(default)s)")
    add_database(parser)
    parser.add_argument("--models", nargs="+", help="only these")
    add_selection(parser, beside_source=True)
    parser.set_defaults(act=export)

    parser = commands.add_parser(
        "import",
        help="let an outside model's lists stand in the same table",
        description="The table has the columns case and items; or SessionId, Position and "
        "Recommendations, as session-rec saves them; or session_id, item_id and score (or rank), "
        "as RecBole's full_sort_topk written out.",
    )
    parser.add_argument("file", type=Path, help="CSV or Parquet table of ranked items")
    parser.add_argument("--model", required=True, help="name of the model in tables")
    parser.add_argument("--seed", type=int, default=0, help="seed it was trained with (0)")
    add_source(parser)
    add_protocol(parser)
    parser.add_argument("--separator", default=SEPARATOR, help="between item ids (%(default)s)")
    parser.add_argument(
        "--allow-missing", action="store_true", help="cases without a list count as not found"
    )
    add_database(parser)
    parser.set_defaults(act=import_lists)


def export(options: Namespace) -> None:
    """Runs `export`."""
    if not options.out.resolve().parent.is_dir():
        raise DataError(f"The folder of {options.out} does not exist; name another --out.")
    if options.what == "cases":
        source = load_source(options)
        cases = cases_of(options, source)
        frame = cases_frame(
            cases, source.dataset, separator=options.separator, targets=options.targets
        )
    else:
        store = Store(database_of(options), read_only=True)
        try:
            chosen = selection(store, options, options.models)
            runs = [run for some in chosen.runs.values() for run in some]
            if options.what == "figures":
                frame = store.figures([run.id for run in runs])
            else:
                first = chosen.runs[next(iter(chosen.runs))][0].id
                frame = store.side_by_side(first, first).drop(columns=["first", "second"])
                ranks = store.rank_matrix([run.id for run in runs])
                for place, run in enumerate(runs):
                    frame[f"{run.model}/{run.seed}"] = ranks[place].expected
                    frame[f"{run.model}/{run.seed} ties"] = ranks[place].ties
        finally:
            store.close()
    write_text(options.out, csv_text(frame))
    print(f"{len(frame):,} rows: {options.out}")


def our_names(sets: Iterable[str] = ()) -> set[str]:
    """Names that an outside model cannot have, since a database knows a model by its name.

    Args:
        sets: embedding sets of the bundle.
    """
    # Sets and what knows more are ours on any data: another run may add them to the database.
    names = {*SETS, *sets, SUBJECT, "attributes"}
    return {*BASELINES, *names, *(name + NEIGHBOURS for name in names), "oracle"}


def is_ours(name: str, sets: Iterable[str] = ()) -> bool:
    """Whether a name is one of `our_names`, or that of an ablation."""
    return name in our_names(sets) or name.startswith(VARIANT)


def import_lists(options: Namespace) -> None:
    """Runs `import`."""
    check_seed(options.seed, "--seed")
    source = load_source(options)
    if is_ours(options.model, source.embeddings):
        raise ConfigError(f"{options.model} is a model of ours; choose another --model.")
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
        # An early version stored such lists without their split; given again, they get it.
        parts.append(source.split.fingerprint)
    key = hashlib.sha256("/".join(parts).encode())
    store = Store(database_of(options))
    try:
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
            ) as run:
                run.finish(peer.ranks, 0.0, 0.0)
        store.add_slices(source.dataset, source.name, cases, slices_of(source, cases))
    finally:
        store.close()
    found = int((peer.ranks <= 20).sum())
    print(
        f"{options.model}: {len(cases):,} cases, {found:,} found within 20; the longest list has "
        f"{peer.longest} items"
        + (f", {peer.unanswered:,} cases unanswered" if peer.unanswered else "")
    )
    if peer.left_out:
        print(
            f"{peer.left_out:,} lists answer clicks that are no cases, as their item is in the session "
            "already or the protocol does not ask for them; they are left out."
        )
