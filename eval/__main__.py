"""`python -m eval`: holds TPAD against baselines on the test sessions of a bundle or a shop."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from eval.models import SUBJECT, all_entries, select
from eval.protocol import RankingModel, TestCases
from eval.report import markdown
from eval.runner import code_version, run_models
from eval.store import Store
from tpad import Bundle, DataError, Dataset, EpochReport, Oracle, SessionModelConfig, TpadError

INTERRUPTED = 130  # the shell's code for Ctrl-C
WORLD_FILE = "world.json"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m eval",
        description="Holds TPAD against baselines on the test sessions of a bundle.",
    )
    source = result.add_mutually_exclusive_group(required=True)
    source.add_argument("--bundle", help="bundle, made by `python -m tpad train`")
    source.add_argument(
        "--world",
        type=Path,
        help="demo-shop folder, made by `python -m tpad world`: baselines only",
    )
    result.add_argument(
        "--database", default="results.db", help="SQLite file or SQLAlchemy URL (%(default)s)"
    )
    result.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (%(default)s)"
    )
    result.add_argument("--models", nargs="+", help="only these models; all by default")
    result.add_argument("--report", type=Path, help="write the Markdown report to this file")
    result.add_argument("--subject", default=SUBJECT, help="model to test (%(default)s)")
    result.add_argument("--epochs", type=int, help="epochs of the session recommender")
    result.add_argument("--list", action="store_true", help="list the models and stop")
    result.add_argument("--threads", type=int, help="CPU threads; all cores by default")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except TpadError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; finished runs are kept, the same command continues.", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset, embeddings, oracle, name = _load(options)
    config = SessionModelConfig()
    if options.epochs is not None:
        config = replace(config, epochs=options.epochs)
    cases = TestCases.of(dataset)
    if not len(cases):
        raise DataError(f"{name} has no test session of two clicks; there is nothing to measure.")
    entries = select(all_entries(dataset, embeddings, config, oracle), options.models)
    if options.list:
        print("\n".join(f"{entry.name}\t{entry.role}" for entry in entries))
        return 0
    if options.report and not options.report.resolve().parent.is_dir():
        raise DataError(f"The folder of {options.report} does not exist; name another --report.")
    store = Store(options.database)
    quiet = not sys.stderr.isatty()
    with tqdm(unit="epoch", disable=quiet, file=sys.stderr) as bar:

        def progress(report: EpochReport) -> None:
            bar.set_postfix(loss=f"{report.loss:.3f}", validation=f"{report.validation:.3f}")
            bar.update()

        try:
            results = run_models(
                store,
                dataset,
                name,
                entries,
                list(dict.fromkeys(options.seeds)),
                config,
                cases=cases,
                say=lambda line: tqdm.write(line, file=sys.stdout),
                progress=progress,
            )
        finally:
            store.close()
    package, commit = code_version()
    text = markdown(
        results,
        cases,
        title=name,
        notes=[f"Package version {package}, commit {commit or 'unknown'}."],
        subject=options.subject,
    )
    if options.report:
        beside = options.report.with_name(options.report.name + ".part")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, options.report)
        print(f"Report: {options.report}")
    else:
        print(text)
    return 0


def _load(
    options: argparse.Namespace,
) -> tuple[Dataset, Mapping[str, np.ndarray], RankingModel | None, str]:
    """Dataset, embedding sets, oracle if there is one, and a name."""
    if options.world is not None:
        dataset = Dataset.from_world(options.world)
        return dataset, {}, _oracle(dataset, [options.world]), options.world.resolve().name
    bundle = Bundle.load(options.bundle)
    oracle = _oracle(bundle.dataset, [bundle.path, bundle.dataset.image_root])
    return bundle.dataset, bundle.embeddings, oracle, bundle.path.resolve().name


def _oracle(dataset: Dataset, folders: Sequence[Path]) -> RankingModel | None:
    """The exact law, if the data is the demo shop's."""
    path = next((f / WORLD_FILE for f in map(Path, folders) if (f / WORLD_FILE).is_file()), None)
    if path is None:
        return None
    return Oracle.load(dataset.items, path)


if __name__ == "__main__":
    sys.exit(main())
