"""The source of sessions and embedding sets: a bundle, a demo shop, or your own files."""

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
from eval.models.naming import VARIANT
from eval.models.ranked_lists import SEPARATOR
from eval.protocol import CASES, Protocol, RankingModel, TestCases
from eval.splits.leaks import assert_no_leaks
from eval.splits.split import Split, SplitConfig, make_split
from tpad import Bundle, Columns, ConfigError, DataError, Dataset
from tpad.cli.shared import add_data_files
from tpad.data.vectors import parse_named_file
from tpad.model.parts import FIELDS, Parts, sizes
from tpad.model.plain_features import field_table, text_table
from tpad.world.oracle import Oracle

WORLD_FILE = "world.json"
TABLE_OPTIONS = ("items", "test_interactions", "merge_repeats", "cold_fraction")
"""Options that belong to --interactions."""
TEXT = "_tfidf"  # suffix of a set that is concatenated with TF-IDF of the text


@dataclass(frozen=True, eq=False)
class Source:
    """What is evaluated.

    Attributes:
        name: shown in reports.
        dataset: items and sessions, divided by the split if there is one.
        embeddings: sets of the bundle.
        extra: sets from files and encoders, concatenated with price and category as in a bundle.
        oracle: the exact click model of a demo shop, if known.
        split: the split of `--split`, if any.
        proven: checks against leaks that passed, one clause each.
        ablations: sets written by `python -m tpad ablate`.
        parts: name of a model -> parts of its embedding set, see `tpad.model.parts`.
        bundle: the bundle, if the dataset is the one that it was trained on.
    """

    name: str
    dataset: Dataset
    embeddings: Mapping[str, np.ndarray]
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    oracle: RankingModel | None = None
    split: Split | None = None
    proven: Sequence[str] = ()
    ablations: Mapping[str, np.ndarray] = field(default_factory=dict)
    parts: Mapping[str, Parts] = field(default_factory=dict)
    bundle: Bundle | None = None


def add_source(parser: ArgumentParser, *, sets: bool = False) -> None:
    """Add the options that name a source; with `sets`, also those of further embedding sets."""
    source = parser.add_argument_group("source (give one of --bundle, --world, or --interactions)")
    source.add_argument("--bundle", type=Path, help="bundle written by `python -m tpad train`")
    source.add_argument("--world", type=Path, help="demo shop written by `python -m tpad world`")
    add_data_files(source)
    source.add_argument(
        "--merge-repeats",
        action="store_true",
        help="with --interactions: merge consecutive clicks on the same item into one",
    )
    source.add_argument(
        "--cold-fraction",
        type=float,
        default=0.0,
        help="with --interactions: share of the items to keep out of training (default: 0)",
    )
    source.add_argument(
        "--cold-seed",
        type=int,
        default=0,
        help="seed that draws these items, as `--seed` of `tpad train` (default: 0)",
    )
    source.add_argument(
        "--split",
        help="split the data again, for example few_shot:n=5,seed=1 or leave_one_out; see "
        "`splits --help`",
    )
    if sets:
        source.add_argument(
            "--embeddings",
            action="append",
            default=[],
            metavar="NAME=FILE",
            help="evaluate an embedding set from a safetensors, npz, npy or Parquet file; may be repeated",
        )
        source.add_argument(
            "--encoder",
            action="append",
            default=[],
            metavar="NAME=MODEL",
            help="evaluate the embeddings of a Hugging Face encoder, a folder or hub id; may be repeated",
        )
        source.add_argument(
            "--with-text",
            action="store_true",
            help="also evaluate each of these sets with TF-IDF of the text, as NAME_tfidf",
        )
        source.add_argument(
            "--ablations",
            type=Path,
            metavar="FOLDER",
            help="evaluate the sets that `python -m tpad ablate` made from the same data, as tpad-NAME",
        )


def add_protocol(parser: ArgumentParser) -> None:
    """Add the options of the evaluation protocol."""
    parser.add_argument(
        "--cases",
        choices=tuple(CASES),
        help="prefixes of a session to evaluate (default: every_prefix)",
    )
    parser.add_argument(
        "--keep-history", action="store_true", help="keep the session's items as candidates"
    )


def add_separator(parser: ArgumentParser) -> None:
    """Add the option that says how ids are joined in a table of lists."""
    parser.add_argument(
        "--separator", default=SEPARATOR, help="between item ids (default: %(default)s)"
    )


def add_database(parser: ArgumentParser) -> None:
    """Add the option that names the database."""
    parser.add_argument(
        "--database",
        help="results database: SQLite file or SQLAlchemy URL (default: TPAD_DATABASE_URL, else "
        "results.db)",
    )


def database_of(options: Namespace) -> str:
    """The file or URL of the database."""
    return options.database or default_target()


def protocol_of(options: Namespace) -> Protocol:
    """The protocol that the options name."""
    return Protocol(options.cases or "every_prefix", not options.keep_history)


def cases_of(options: Namespace, source: Source) -> TestCases:
    """The test cases of a source.

    Raises:
        DataError: there are none.
    """
    cases = TestCases.of(source.dataset, protocol_of(options))
    if not len(cases):
        raise DataError(
            f"{source.name} has no test session of two or more clicks; there is nothing to evaluate."
        )
    return cases


def slices_of(source: Source, cases: TestCases) -> dict[str, np.ndarray]:
    """The slices of the cases, including those by the roles of the split."""
    roles = None if source.split is None else source.split.roles
    return slices(cases, source.dataset, roles=roles)


def load_source(options: Namespace, *, evaluates: bool = True) -> Source:
    """Read the source, and check that no held-out data has leaked into training.

    Args:
        options: the parsed options.
        evaluates: whether the embeddings of a bundle are evaluated; only then it matters what they
            were trained on.

    Raises:
        ConfigError: not exactly one source is given.
        DataError: the source is invalid.
    """
    name, dataset, bundle, folders = _read_data(options)
    embeddings = {} if bundle is None else bundle.embeddings
    parts = {} if bundle is None else dict(bundle.parts)
    split = None
    if options.split is not None:
        split = make_split(dataset, SplitConfig.parse(options.split))
        if split.dataset.fingerprint != dataset.fingerprint:
            bundle = None  # its recommenders were trained on other sessions
        dataset = split.dataset
    proven = assert_no_leaks(split or dataset, bundle=options.bundle if evaluates else None)
    ablations: dict[str, np.ndarray] = {}
    if getattr(options, "ablations", None) is not None:
        ids = dataset.items[Columns.ITEM_ID].tolist()
        ablations, found = load_ablations(options.ablations, ids, dataset.fingerprint)
        parts |= {VARIANT + name: one for name, one in found.items()}
        proven = [*proven, f"the ablations in {options.ablations.name} learned from this dataset"]
    extra, found = _extra(options, dataset)
    return Source(
        name,
        dataset,
        embeddings,
        extra,
        _oracle(dataset, folders),
        split,
        proven,
        ablations,
        parts | found,
        bundle,
    )


def _read_data(options: Namespace) -> tuple[str, Dataset, Bundle | None, list[Path]]:
    """The name of the source, its data, its bundle, and folders that may have the facts of a shop."""
    tables = [name for name in TABLE_OPTIONS if getattr(options, name)]
    given = (options.bundle, options.world, options.interactions)
    if sum(one is not None for one in given) != 1:
        if tables and options.interactions is None:
            raise ConfigError(
                f"--{tables[0].replace('_', '-')} needs --interactions; give your clicks."
            )
        raise ConfigError("Give one source: --bundle, --world, or --interactions.")
    if options.interactions is None and tables:
        raise ConfigError(
            f"--{tables[0].replace('_', '-')} needs --interactions; the sessions of a bundle are used "
            "as it was trained on them."
        )
    if options.bundle is not None:
        bundle = Bundle.load(options.bundle)
        folders = [bundle.path, bundle.dataset.image_root]
        return bundle.path.resolve().name, bundle.dataset, bundle, folders
    if options.world is not None:
        name = options.world.resolve().name
        return name, Dataset.from_world(options.world), None, [options.world]
    config = None if options.split is None else SplitConfig.parse(options.split)
    dataset = Dataset.load(
        options.items,
        options.interactions,
        test_interactions=options.test_interactions,
        # Users are whole only if the clicks are read as their sequences.
        split="leave_one_out" if config is not None and config.kind == "leave_one_out" else None,
        cold_fraction=options.cold_fraction,
        merge_repeats=options.merge_repeats,
        seed=options.cold_seed,
    )
    if dataset.report.findings:
        print(dataset.report, file=sys.stderr)
    folder = (options.items or options.interactions).resolve().parent
    return folder.name, dataset, None, []


def store_split(store: Store, source: Source) -> int | None:
    """Store the split of a source, unless it is stored already.

    Returns:
        Its number, for `Store.run`; None without a split.
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


def _extra(
    options: Namespace, dataset: Dataset
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """The sets that the options name, and their parts; with `--with-text`, also each with TF-IDF of the text."""
    ids = dataset.items[Columns.ITEM_ID].tolist()

    def load(path: Path) -> np.ndarray:
        return load_embeddings(
            path, ids, ~dataset.cold, say=lambda message: print(message, file=sys.stderr)
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
    parts: dict[str, dict[str, int]] = {}
    fields = field_table(dataset.items, ~dataset.cold)
    for text, read in given:
        name, path = parse_named_file(text)
        for one in [name, name + TEXT] if options.with_text else [name]:
            if one in sets:
                raise ConfigError(f"Two embedding sets are named {one}; give them different names.")
        own = {"vectors": read(path)}
        joined = {name: own}
        if options.with_text:
            joined[name + TEXT] = own | {"tfidf": text_table(dataset.items, ~dataset.cold)}
        for one, arrays in joined.items():
            arrays = arrays | {FIELDS: fields}  # which all compared sets have
            sets[one] = np.concatenate([*arrays.values()], axis=1)
            parts[one] = sizes(arrays)
    return sets, parts


def _oracle(dataset: Dataset, folders: Sequence[Path]) -> RankingModel | None:
    """The exact click model, if the data is a demo shop."""
    path = next((f / WORLD_FILE for f in map(Path, folders) if (f / WORLD_FILE).is_file()), None)
    return None if path is None else Oracle.load(dataset.items, path)
