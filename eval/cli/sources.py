"""Where the sessions and embedding sets come from: a bundle, a demo shop, or two tables."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.database.connection import default_target
from eval.database.store import Store
from eval.metrics.slices import slices
from eval.models.embeddings import load_ablations, load_embeddings
from eval.models.encoders import encode_items
from eval.models.features import with_fields, with_text
from eval.protocol import CASES, Protocol, RankingModel, TestCases
from eval.splits.leaks import assert_no_leaks
from eval.splits.split import Split, SplitConfig, make_split
from tpad import Bundle, Columns, ConfigError, DataError, Dataset
from tpad.data.vectors import parse_named_file
from tpad.world.oracle import Oracle

WORLD_FILE = "world.json"
TEXT = "_tfidf"  # ends the name of a set that is joined with the text


@dataclass(frozen=True, eq=False)
class Source:
    """What is evaluated.

    Attributes:
        name: for people.
        dataset: items and sessions, cut by the split if there is one.
        embeddings: sets of a bundle.
        extra: sets from files and encoders, joined with price and category like a bundle's.
        oracle: the exact law, where it is known.
        split: the split, if one was asked for.
        proven: what is proven of leaks, a sentence each.
        ablations: sets of `python -m tpad ablate`.
        bundle: the bundle, where the dataset is the one that it was trained on.
    """

    name: str
    dataset: Dataset
    embeddings: Mapping[str, np.ndarray]
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    oracle: RankingModel | None = None
    split: Split | None = None
    proven: Sequence[str] = ()
    ablations: Mapping[str, np.ndarray] = field(default_factory=dict)
    bundle: Bundle | None = None


def add_source(parser: ArgumentParser, *, sets: bool = False) -> None:
    """The options that name a source; with `sets`, also those of further embedding sets."""
    source = parser.add_argument_group("what is evaluated (one of the first three)")
    source.add_argument("--bundle", type=Path, help="bundle, made by `python -m tpad train`")
    source.add_argument("--world", type=Path, help="demo shop, made by `python -m tpad world`")
    source.add_argument("--items", type=Path, help="table of items, with --interactions")
    source.add_argument("--interactions", type=Path, help="table of clicks, with --items")
    source.add_argument(
        "--merge-repeats",
        action="store_true",
        help="with --items: keep one of several clicks in a row on the same item",
    )
    source.add_argument(
        "--split", help="cut the sessions again, as in few_shot:n=5,seed=1; see `splits --help`"
    )
    if sets:
        source.add_argument(
            "--embeddings",
            action="append",
            default=[],
            metavar="NAME=FILE",
            help="a further embedding set: safetensors, npz, npy or Parquet; may be repeated",
        )
        source.add_argument(
            "--encoder",
            action="append",
            default=[],
            metavar="NAME=MODEL",
            help="an embedding set by a Hugging Face encoder, folder or hub id; may be repeated",
        )
        source.add_argument(
            "--with-text",
            action="store_true",
            help="each of these sets also joined with TF-IDF of the text, as NAME_tfidf",
        )
        source.add_argument(
            "--ablations",
            type=Path,
            metavar="FOLDER",
            help="sets that `python -m tpad ablate` made of this very data, as tpad-NAME",
        )


def add_protocol(parser: ArgumentParser) -> None:
    """The options that say what is asked of a session."""
    parser.add_argument(
        "--cases", choices=tuple(CASES), help="prefixes that are asked (every_prefix; the split's)"
    )
    parser.add_argument(
        "--keep-history", action="store_true", help="items of the session stay candidates"
    )


def add_database(parser: ArgumentParser) -> None:
    """The option that names the database."""
    parser.add_argument(
        "--database",
        help="SQLite file or SQLAlchemy URL (TPAD_DATABASE_URL, else results.db)",
    )


def database_of(options: Namespace) -> str:
    """The database that is meant."""
    return options.database or default_target()


def protocol_of(options: Namespace, split: Split | None) -> Protocol:
    """What is asked; a split has its own cases unless others are wished."""
    cases = options.cases or (split.protocol.cases if split else "every_prefix")
    return Protocol(cases, not options.keep_history)


def cases_of(options: Namespace, source: Source) -> TestCases:
    """The cases of a source.

    Raises:
        DataError: there are none.
    """
    cases = TestCases.of(source.dataset, protocol_of(options, source.split))
    if not len(cases):
        raise DataError(
            f"{source.name} has no test session of two clicks; there is nothing to measure."
        )
    return cases


def slices_of(source: Source, cases: TestCases) -> dict[str, np.ndarray]:
    """The slices of a source's cases, those by the roles of its split among them."""
    roles = None if source.split is None else source.split.roles
    return slices(cases, source.dataset, roles=roles)


def load_source(options: Namespace, *, evaluates: bool = True) -> Source:
    """Reads what the options name, and proves that nothing held out has leaked into training.

    Args:
        options: of the command line.
        evaluates: whether a bundle's embeddings are to be judged, so that what they have learned
            from matters; its sessions can be split otherwise.

    Raises:
        ConfigError: not exactly one source is named.
        DataError: it cannot be used.
    """
    tables = options.items is not None or options.interactions is not None
    if (options.bundle is not None) + (options.world is not None) + tables != 1:
        raise ConfigError("Name one source: --bundle, --world, or --items with --interactions.")
    merges = getattr(options, "merge_repeats", False)
    if merges and not tables:
        raise ConfigError(
            "--merge-repeats goes with --items and --interactions; the sessions of a bundle are as it "
            "was trained on them."
        )
    embeddings: Mapping[str, np.ndarray] = {}
    folders: list[Path] = []
    bundle = None
    if options.bundle is not None:
        bundle = Bundle.load(options.bundle)
        dataset, embeddings = bundle.dataset, bundle.embeddings
        name, folders = bundle.path.resolve().name, [bundle.path, dataset.image_root]
    elif options.world is not None:
        dataset, name = Dataset.from_world(options.world), options.world.resolve().name
        folders = [options.world]
    else:
        if options.items is None or options.interactions is None:
            raise ConfigError("--items and --interactions go together; give both.")
        dataset = Dataset.load(options.items, options.interactions, merge_repeats=merges)
        if dataset.report.findings:
            print(dataset.report, file=sys.stderr)
        name = options.items.resolve().parent.name
    split = None
    if options.split is not None:
        split = make_split(dataset, SplitConfig.parse(options.split))
        if split.dataset.fingerprint != dataset.fingerprint:
            bundle = None  # its recommenders learned from other sessions
        dataset = split.dataset
    proven = assert_no_leaks(split or dataset, bundle=options.bundle if evaluates else None)
    ablations = {}
    if getattr(options, "ablations", None) is not None:
        ids = dataset.items[Columns.ITEM_ID].tolist()
        ablations = load_ablations(options.ablations, ids, dataset.fingerprint, ~dataset.cold)
        proven = [*proven, f"the ablations in {options.ablations.name} learned from this dataset"]
    return Source(
        name,
        dataset,
        embeddings,
        _extra(options, dataset),
        _oracle(dataset, folders),
        split,
        proven,
        ablations,
        bundle,
    )


def store_split(store: Store, source: Source) -> int | None:
    """Stores the split of a source, once.

    Returns:
        Its number, for `Store.run`; None where the sessions are taken as they are.
    """
    split = source.split
    if split is None:
        return None
    return store.add_split(
        source.dataset,
        source.name,
        name=split.name,
        kind=split.kind,
        seed=split.seed,
        params=split.params,
        fingerprint=split.fingerprint,
        rows=split.rows(),
    )


def _extra(options: Namespace, dataset: Dataset) -> dict[str, np.ndarray]:
    """The sets that the options name; with `--with-text` each also joined with the text."""
    ids = dataset.items[Columns.ITEM_ID].tolist()

    def load(path: Path) -> np.ndarray:
        return load_embeddings(
            path, ids, ~dataset.cold, say=lambda told: print(told, file=sys.stderr)
        )

    def encode(path: Path) -> np.ndarray:
        return encode_items(
            str(path),
            dataset,
            bar=lambda steps, total, what: tqdm(steps, total=total, desc=what, leave=False),
        )

    given = [(text, load) for text in getattr(options, "embeddings", [])]
    given += [(text, encode) for text in getattr(options, "encoder", [])]
    sets: dict[str, np.ndarray] = {}
    for text, read in given:
        name, path = parse_named_file(text)
        for one in [name, name + TEXT] if options.with_text else [name]:
            if one in sets:
                raise ConfigError(
                    f"Two embedding sets are called {one}; give them different names."
                )
        values = read(path)
        sets[name] = with_fields(dataset, values)
        if options.with_text:
            sets[name + TEXT] = with_fields(dataset, with_text(dataset, values))
    return sets


def _oracle(dataset: Dataset, folders: Sequence[Path]) -> RankingModel | None:
    """The exact law, if the data is the demo shop's."""
    path = next((f / WORLD_FILE for f in map(Path, folders) if (f / WORLD_FILE).is_file()), None)
    return None if path is None else Oracle.load(dataset.items, path)
