"""Runs models over seeds into the store, skipping runs that are already stored."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from eval.database.store import Store
from eval.metrics.calibration import validation_cases
from eval.models.entries import Entry, Progress, Tuned
from eval.models.features import text_features
from eval.models.session_recommender import ScoringModel
from eval.protocol import SLICES, Protocol, TestCases
from eval.runs.evaluation import evaluate
from eval.runs.results import Result
from eval.runs.selection import result_of
from tpad import Dataset
from tpad.errors import check_seed


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
    progress: Progress = None,
) -> list[Result]:
    """Fits and evaluates every model with every seed.

    A finished run of the same model, data, settings, seed and commit is taken from the store, so an
    interrupted evaluation can be continued. Settings are tuned on validation sessions once per model,
    with the first seed.

    Args:
        store: where the runs are stored.
        dataset, name: the dataset and its name for people.
        entries: the models; one that does not depend on the seed is run once.
        seeds: at least one.
        protocol: which cases are evaluated; by default every prefix of the test sessions, with the
            history masked.
        split_id: id of the stored split, if the dataset is one.
        say: called with one line per run.
        progress: called after each epoch.

    Returns:
        One result per model, in the same order.
    """
    for seed in seeds:
        check_seed(seed)
    task = _Task(store, dataset, name, protocol or Protocol(), split_id, seeds[0], progress)
    results = []
    for entry in entries:
        run_ids, tuned = [], None
        for seed in seeds if entry.seeded else seeds[:1]:
            run_id, tuned = task.run(entry, seed, tuned)
            run_ids.append(run_id)
            say(_line(store, run_id, entry.name, seed, task.cases))
        runs = [store.get(run_id) for run_id in run_ids]
        results.append(result_of(store, entry.name, entry.role, runs))
    return results


@dataclass(frozen=True)
class _Task:
    """What all runs of one call have in common; see `run_models`."""

    store: Store
    dataset: Dataset
    name: str
    protocol: Protocol
    split_id: int | None
    tuning_seed: int
    progress: Progress

    @cached_property
    def cases(self) -> TestCases:
        return TestCases.of(self.dataset, self.protocol)

    @cached_property
    def validation(self) -> TestCases:
        """The cases on which temperatures are fitted."""
        return validation_cases(self.dataset, self.protocol)

    @cached_property
    def texts(self) -> np.ndarray:
        """The features (n_items, d) used to compute diversity."""
        return text_features(self.dataset)

    @cached_property
    def version(self) -> tuple[str, str]:
        return code_version()

    def run(self, entry: Entry, seed: int, tuned: Tuned | None) -> tuple[str, Tuned | None]:
        """Runs a model with one seed, unless that run is stored.

        Args:
            entry: the model.
            seed: its seed.
            tuned: settings that were tuned for an earlier seed.

        Returns:
            Id of the run, and its tuned settings.
        """
        facts = {
            "model": entry.name,
            "cases": self.cases.fingerprint,
            "seed": seed,
            "tuning_seed": self.tuning_seed,  # tuned settings depend on it
            "features": entry.digest(seed),
            "settings": dict(entry.settings),
            "version": self.version,
        }
        key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        known = None if self.version[1].endswith("-dirty") else self.store.find(key)
        if known is not None:
            return known, self.store.get(known).config["tuned"]
        with self.store.run(
            self.dataset,
            self.name,
            self.cases,
            (entry.name, entry.role),
            seed,
            {k: facts[k] for k in ("features", "settings", "tuning_seed")},
            key,
            self.version,
            self.split_id,
        ) as run:
            begin = time.perf_counter()
            if tuned is None:
                tuned = entry.tune(self.dataset, self.tuning_seed, self.progress)
            model = entry.make(seed, tuned, self.progress).fit(self.dataset)
            fitted = time.perf_counter()
            found = evaluate(model, self.dataset, self.cases, self.validation, self.texts)
            seconds = None if isinstance(model, ScoringModel) else fitted - begin
            run.finish(
                found.ranks,
                seconds,
                found.seconds,
                {"tuned": tuned},
                found.metrics,
                found.frontier,
            )
        return run.id, tuned


def code_version() -> tuple[str, str]:
    """Package version and git commit; it ends in "-dirty" if files have changed, "" outside a checkout."""
    try:
        package = version("tpad")
    except PackageNotFoundError:
        package = "0"
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():  # an installed package may lie in another project's checkout
        return package, ""
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


def _line(store: Store, run_id: str, name: str, seed: int, cases: TestCases) -> str:
    values = {(m.slice, m.name, m.k): m.value for m in store.metrics(run_id)}
    shown = []
    for part in SLICES:
        if (part, "P", 20) not in values:
            continue
        text = f"{part} P@20 {values[part, 'P', 20]:.3f} MRR@20 {values[part, 'MRR', 20]:.3f}"
        if cases.one_per_session:
            text += f" HR@10 {values[part, 'P', 10]:.4f} NDCG@10 {values[part, 'NDCG', 10]:.4f}"
        shown.append(text)
    return f"{name} (seed {seed}): " + ", ".join(shown)
