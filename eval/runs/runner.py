"""Runs models over seeds into the store, skipping what is there already."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from eval.database.store import Store
from eval.metrics.calibration import validation_cases
from eval.models.entries import Entry, ScoringModel
from eval.models.features import text_features
from eval.protocol import Protocol, TestCases
from eval.runs.evaluation import measure
from eval.runs.results import Result
from eval.runs.selection import result_of
from tpad import Dataset
from tpad.errors import check_seed
from tpad.model.session.fitted import EpochReport


def run_models(
    store: Store,
    dataset: Dataset,
    name: str,
    entries: Sequence[Entry],
    seeds: Sequence[int],
    *,
    protocol: Protocol | None = None,
    split_id: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[EpochReport], None] | None = None,
) -> list[Result]:
    """Fits and evaluates every model with every seed.

    A finished run of the same model, data, settings, seed and commit is taken from the store, so an
    interrupted evaluation continues where it was. What is searched on validation sessions is
    settled once, with the first seed.

    Args:
        store: where runs go.
        dataset, name: the data and what to call it.
        entries: models; those that no seed changes are run once.
        seeds: at least one.
        protocol: what to ask; by default every prefix of the test sessions, history masked.
        split_id: number of the stored split that the dataset is, if it is one.
        say: called with one line per run.
        progress: called after each epoch.

    Returns:
        One result a model, in order.
    """
    for seed in seeds:
        check_seed(seed)
    protocol = protocol or Protocol()
    cases = TestCases.of(dataset, protocol)
    validation = cache(lambda: validation_cases(dataset, protocol))  # what temperature follows from
    texts = cache(lambda: text_features(dataset))  # what diversity is measured by
    stamp = code_version()
    results = []
    for entry in entries:
        run_ids, tuned = [], None
        for seed in seeds if entry.seeded else seeds[:1]:
            # The search follows from the first seed, so that seed is part of the key.
            facts = {
                "model": entry.name,
                "cases": cases.fingerprint,
                "seed": seed,
                "tuning_seed": seeds[0],
                "features": entry.digest(seed),
                "settings": dict(entry.settings),
                "version": stamp,
            }
            key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
            known = None if stamp[1].endswith("-dirty") else store.find(key)
            if known is None:
                settings = {k: facts[k] for k in ("features", "settings", "tuning_seed")}
                with store.run(
                    dataset,
                    name,
                    cases,
                    (entry.name, entry.role),
                    seed,
                    settings,
                    key,
                    stamp,
                    split_id,
                ) as run:
                    begin = time.perf_counter()
                    if tuned is None:
                        tuned = entry.tune(dataset, seeds[0], progress)
                    model = entry.make(seed, tuned, progress).fit(dataset)
                    fitted = time.perf_counter()
                    found = measure(model, dataset, cases, validation(), texts())
                    record = {"tuned": tuned}
                    seconds = None if isinstance(model, ScoringModel) else fitted - begin
                    run.finish(found.ranks, seconds, found.seconds, record, found.figures)
                known = run.id
            else:
                tuned = store.get(known).config["tuned"]
            run_ids.append(known)
            say(_line(store, known, entry.name, seed))
        runs = [store.get(run_id) for run_id in run_ids]
        results.append(result_of(store, entry.name, entry.role, runs))
    return results


def code_version() -> tuple[str, str]:
    """Package version and git commit, "-dirty" if files were changed, "" outside a checkout."""
    try:
        package = version("tpad")
    except PackageNotFoundError:
        package = "0"
    folder = Path(__file__).resolve().parents[2]
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", "tpad", "eval")
    except (OSError, subprocess.CalledProcessError):
        return package, ""
    return package, commit + ("-dirty" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _line(store: Store, run_id: str, name: str, seed: int) -> str:
    values = {(m.slice, m.name, m.k): m.value for m in store.metrics(run_id)}
    shown = [
        f"{part} P@20 {values[part, 'P', 20]:.3f} MRR@20 {values[part, 'MRR', 20]:.3f}"
        for part in ("all", "warm", "cold")
        if (part, "P", 20) in values
    ]
    return f"{name} (seed {seed}): " + ", ".join(shown)
