"""`python -m eval run`: fits models on a source, and stores every rank."""

import sys
from argparse import Namespace, _SubParsersAction
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

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
from eval.models.naming import SUBJECT
from eval.models.shipped import Shipped, shipped_recommenders
from eval.reports.writing import SUFFIXES, check_report, write_report
from eval.runs.runner import code_version, run_models
from tpad import ConfigError
from tpad.errors import check_seed
from tpad.model.session.fitted import EpochReport
from tpad.model.session.network import PCA_SIZES, SessionModelConfig


def add_parser(commands: _SubParsersAction) -> None:
    """Adds the command."""
    parser = commands.add_parser("run", help="fit models over seeds and store their ranks")
    add_source(parser, sets=True)
    add_protocol(parser)
    add_database(parser)
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="(that of the bundle and the two that follow; 0 1 2)"
    )
    parser.add_argument("--models", nargs="+", help="only these; all by default, see --list")
    parser.add_argument("--list", action="store_true", help="list the models and stop")
    parser.add_argument(
        "--epochs",
        type=int,
        help="epochs of every model that is trained in epochs; a bundle's recommenders are then "
        "fitted anew instead of being evaluated as they are",
    )
    parser.add_argument(
        "--tries", type=int, default=TRIES, help="settings tried of each baseline (%(default)s)"
    )
    parser.add_argument("--subject", default=SUBJECT, help="model to test (%(default)s)")
    parser.add_argument("--report", type=Path, help=f"write a report, {' '.join(SUFFIXES)}")
    parser.add_argument("--threads", type=int, help="CPU threads; all cores by default")
    parser.set_defaults(act=act)


def act(options: Namespace) -> None:
    """Runs the command."""
    for name in ("threads", "epochs", "tries"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, not {value}.")
    for seed in options.seeds or ():
        check_seed(seed, "--seeds")
    if options.report:
        check_report(options.report)
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
            f"The bundle's recommenders have the seed {first_seed}, which is not among --seeds; they "
            "are not evaluated."
        )
    masks = slices_of(source, cases)
    store = Store(database_of(options))
    try:
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
                protocol=protocol_of(options, source.split),
                split_id=store_split(store, source),
                say=lambda line: tqdm.write(line, file=sys.stdout),
                progress=progress,
            )
    finally:
        store.close()
    package, commit = code_version()
    title = source.name if source.split is None else f"{source.name}, split {source.split.name}"
    write_report(
        options.report,
        results,
        cases,
        masks,
        title=title,
        subject=options.subject,
        notes=[
            f"Package version {package}, commit {commit or 'unknown'}.",
            f"Checked for leaks: {'; '.join(source.proven)}.",
        ],
    )


def _entries(options: Namespace, source: Source) -> tuple[list[Entry], int]:
    """The models that were asked for, and the seed of the bundle's recommenders (0 without any)."""
    shipped: dict[str, Shipped] = {}
    config, sizes = SessionModelConfig(), PCA_SIZES
    if source.bundle is not None and options.epochs is None:
        shipped = shipped_recommenders(source.bundle)
        sizes = tuple(source.bundle.config.get("pca_sizes", PCA_SIZES))
    if shipped:  # what is compared with them gets their budget
        config = replace(next(iter(shipped.values())).model.config, pca=None, cold_offset=0.0)
    if options.epochs is not None:
        config = replace(config, epochs=options.epochs)
    entries = all_entries(
        source.dataset,
        source.embeddings,
        config,
        source.oracle,
        extra=source.extra,
        ablations=source.ablations,
        shipped=shipped,
        sizes=sizes,
        tries=options.tries,
        protocol=protocol_of(options, source.split),
    )
    for name, most in too_large_for(source.dataset).items():
        print(f"{name} is left out: it takes at most {most:,} training items.")
    return select(entries, options.models), config.seed
