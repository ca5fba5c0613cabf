"""`python -m eval run`: fit and evaluate models, and store the rank of every case."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from tqdm import tqdm

from eval.cli.choosing import add_subject
from eval.cli.sources import (
    Source,
    add_database,
    add_protocol,
    add_source,
    cases_of,
    database_of,
    load_source,
    protocol_of,
    slices_of,
    store_split,
)
from eval.database.store import Store
from eval.models.entries import TRIES, Entry, all_entries, select, too_large_for
from eval.models.naming import subject_of
from eval.models.shipped import Shipped, config_of, shipped_recommenders
from eval.reports.report import ReportData
from eval.reports.writing import SUFFIXES, check_report, write_report
from eval.runs.runner import code_version, run_models
from tpad import ConfigError
from tpad.errors import check_seed
from tpad.model.session.fitted import EpochReport
from tpad.training.fusion import FusionConfig


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    add_source(parser, sets=True)
    add_protocol(parser)
    add_database(parser)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="seeds to fit with (default: that of the bundle and the next two, else 0 1 2)",
    )
    parser.add_argument(
        "--models", nargs="+", help="evaluate only these (default: all; see --list)"
    )
    parser.add_argument("--list", action="store_true", help="list the models and exit")
    parser.add_argument(
        "--epochs",
        type=int,
        help="epochs of every model that is trained in epochs; the recommenders of a bundle are then "
        "fitted again instead of being evaluated as they are",
    )
    parser.add_argument(
        "--tries",
        type=int,
        default=TRIES,
        help="settings to try for each baseline (default: %(default)s)",
    )
    add_subject(parser)
    parser.add_argument(
        "--report", type=Path, help=f"report to write; it must end in {' '.join(SUFFIXES)}"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def run(options: Namespace) -> None:
    """Run the command."""
    _check_options(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    source = load_source(options)
    cases = cases_of(options, source)
    entries, first_seed = _entries(options, source)
    if options.list:
        print("\n".join(f"{entry.name}\t{entry.role}" for entry in entries))
        return
    seeds = list(dict.fromkeys(options.seeds or range(first_seed, first_seed + 3)))
    if source.bundle is not None and first_seed not in seeds:
        print(
            f"The recommenders of the bundle have the seed {first_seed}, which is not in --seeds; they "
            "are not evaluated."
        )
    masks = slices_of(source, cases)
    with Store(database_of(options)) as store:
        store.add_slices(source.dataset, source.name, cases, masks)
        with tqdm(unit="epoch", disable=not sys.stderr.isatty(), file=sys.stderr) as bar:

            def progress(report: EpochReport) -> None:
                bar.set_postfix(loss=f"{report.loss:.3f}", validation=f"{report.validation:.3f}")
                bar.update()

            results = run_models(
                store,
                source.dataset,
                source.name,
                entries,
                seeds,
                protocol=protocol_of(options),
                split_id=store_split(store, source),
                say=lambda line: tqdm.write(line, file=sys.stdout),
                progress=progress,
            )
    package, commit = code_version()
    title = source.name if source.split is None else f"{source.name}, split {source.split.name}"
    notes = [
        f"Package version {package}, commit {commit or 'unknown'}.",
        f"Checked for leaks: {'; '.join(source.proven)}.",
    ]
    write_report(
        options.report,
        ReportData(
            results,
            cases,
            masks,
            title,
            notes=notes,
            subject=options.subject or subject_of({one.name: one.role for one in results}),
        ),
    )


def _check_options(options: Namespace) -> None:
    for name in ("threads", "epochs", "tries"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, not {value}.")
    for seed in options.seeds or ():
        check_seed(seed, "--seeds")
    if options.report:
        check_report(options.report)


def _entries(options: Namespace, source: Source) -> tuple[list[Entry], int]:
    """The models to evaluate, and the seed of the bundle's recommenders (0 without a bundle)."""
    shipped: dict[str, Shipped] = {}
    config = FusionConfig()
    if source.bundle is not None:  # all models get the budget of the shipped ones
        config = config_of(source.bundle)
        if options.epochs is None:
            shipped = shipped_recommenders(source.bundle)
    if options.epochs is not None:
        config = config.with_epochs(options.epochs)
    entries = all_entries(
        source.dataset,
        source.embeddings,
        config,
        source.oracle,
        extra=source.extra,
        ablations=source.ablations,
        parts=source.parts,
        shipped=shipped,
        tries=options.tries,
        protocol=protocol_of(options),
    )
    for name, most in too_large_for(source.dataset).items():
        print(f"{name} is skipped: it takes at most {most:,} training items.")
    seed = next(iter(shipped.values())).seed if shipped else 0
    return select(entries, options.models), seed
