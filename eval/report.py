"""Results as a Markdown page: what was measured, how sure it is, and who won."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.database.records import CaseTable
from eval.metrics import all_case_values, metric_names
from eval.models import SUBJECT
from eval.protocol import SLICES, TestCases
from eval.significance import bootstrap_interval, holm, paired_permutation_test

HEADLINES = (("P", 20), ("MRR", 20))
ROLE_NOTE = {
    "reference": "knows the true attributes",
    "oracle": "knows the law of the shop",
}


@dataclass(frozen=True, eq=False)
class Result:
    """All finished runs of one model on one set of cases.

    Attributes:
        name: the model.
        role: the part it plays, see `eval.models.Entry`.
        seeds: seeds of the runs.
        ranks: (n_seeds, n_cases).
        tuned: what was settled on validation sessions; None for a model that has nothing to tune.
        fit_seconds, score_seconds: means over runs.
        further: figures of lists and calibration by name, means over runs.
    """

    name: str
    role: str
    seeds: tuple[int, ...]
    ranks: np.ndarray
    tuned: dict | None = None
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    further: Mapping[str, float] = field(default_factory=dict)

    def values(self, mask: np.ndarray) -> np.ndarray:
        """Metrics of the cases of a slice: (n_seeds, n, n_metrics)."""
        return all_case_values(self.ranks[:, mask])


@dataclass(frozen=True)
class Comparison:
    """TPAD against the best baseline, on one slice by one metric."""

    slice: str
    metric: str
    k: int
    subject: float
    baseline: float
    baseline_name: str
    low: float
    high: float
    p_value: float


def best_baseline(results: Sequence[Result], mask: np.ndarray, column: int) -> Result | None:
    """The baseline with the highest mean over seeds."""
    baselines = [result for result in results if result.role == "baseline"]
    return max(baselines, key=lambda r: r.values(mask)[..., column].mean(), default=None)


def compare(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    subject: str = SUBJECT,
) -> list[Comparison]:
    """Tests the subject against the best baseline of each slice and headline metric.

    The values of a case are averaged over seeds first. The best baseline is picked on the very
    cases of the test, which favours the baseline.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool.
        subject: name of the model that is tested.
    """
    chosen = next((result for result in results if result.name == subject), None)
    if chosen is None:
        return []
    found = []
    for name, mask in masks.items():
        for metric, k in HEADLINES if mask.any() else ():
            column = metric_names().index((metric, k))
            rival = best_baseline(results, mask, column)
            if rival is None:
                continue
            ours = chosen.values(mask)[..., column].mean(0)  # (n,)
            theirs = rival.values(mask)[..., column].mean(0)  # (n,)
            own = sessions[mask]
            low, high = bootstrap_interval(ours - theirs, own)
            found.append(
                Comparison(
                    name,
                    metric,
                    k,
                    float(ours.mean()),
                    float(theirs.mean()),
                    rival.name,
                    float(low),
                    float(high),
                    paired_permutation_test(ours, theirs, own),
                )
            )
    return found


def markdown(
    results: Sequence[Result],
    cases: TestCases | CaseTable,
    masks: Mapping[str, np.ndarray],
    *,
    title: str,
    notes: Sequence[str] = (),
    subject: str = SUBJECT,
) -> str:
    """The whole report.

    Args:
        results: in the order of the tables.
        cases: what was asked.
        masks: slice -> (n_cases,) bool, in the order of the report.
        title: name of the dataset.
        notes: lines that say how it was made (command, versions).
        subject: name of the model that is tested against the best baseline.
    """
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    counts = ", ".join(f"{int(mask.sum()):,} {name}" for name, mask in masks.items())
    sessions = len(np.unique(cases.session))
    lines = [f"# Results on {title}", ""]
    lines += [
        f"{len(cases):,} cases from {sessions:,} test sessions ({counts}); {cases.protocol}; "
        f"{cases.left_out} cases left out since the session already holds the next item. "
        "Mean ± standard deviation over seeds; intervals: 95 %, bootstrap over sessions, of the "
        "mean over seeds; ties get their expected rank; an item a model cannot score is not found. "
        "Best of each column in bold, models that know what no model can apart.",
        "",
        *notes,
    ]
    for name, mask in masks.items():
        heading = f"{name} targets" if name in SLICES else name
        table = _table(results, cases.session, mask)
        lines += ["", f"## {heading[0].upper()}{heading[1:]}", "", *table]
    tests = compare(results, cases.session, masks, subject)
    if tests:
        lines += ["", f"## {subject} against the best baseline", "", *_tests(tests)]
    if any(result.further for result in results):
        lines += ["", "## What is shown, and how far scores can be trusted", "", *_further(results)]
    lines += ["", "## Runs", "", *_runs(results), ""]
    return "\n".join(lines)


def _table(results: Sequence[Result], sessions: np.ndarray, mask: np.ndarray) -> list[str]:
    names = metric_names()
    values = [result.values(mask).mean(1) for result in results]  # each (n_seeds, n_metrics)
    means = np.array([value.mean(0) for value in values])  # (n_models, n_metrics)
    real = np.array([result.role not in ROLE_NOTE for result in results])
    best = means[real].max(0) if real.any() else np.full(len(names), np.inf)
    oracle = next((i for i, result in enumerate(results) if result.role == "oracle"), None)
    heads = ["model", *(f"{metric}@{k}" for metric, k in names)]
    heads += [f"{metric}@{k} interval" for metric, k in HEADLINES]
    if oracle is not None:
        heads += [f"{metric}@{k} of oracle" for metric, k in HEADLINES]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    headline_columns = [names.index(headline) for headline in HEADLINES]
    for i, result in enumerate(results):
        row = [result.name]
        for column in range(len(names)):
            text = f"{means[i, column]:.3f}"
            if real[i] and means[i, column] == best[column] and best[column] > 0:
                text = f"**{text}**"
            if len(result.seeds) > 1:
                text += f" ± {values[i][:, column].std(ddof=1):.3f}"
            row.append(text)
        per_case = result.values(mask)[..., headline_columns].mean(0)  # (n, n_headlines)
        bounds = bootstrap_interval(per_case, sessions[mask])  # (n_headlines, 2)
        row += [f"{low:.3f}–{high:.3f}" for low, high in bounds]
        if oracle is not None:
            row += [_ratio(means[i, c], means[oracle, c]) for c in headline_columns]
        rows.append(row)
    return ["| " + " | ".join(row) + " |" for row in rows]


def _tests(tests: Sequence[Comparison]) -> list[str]:
    lines = [
        "| slice | metric | ours | best baseline | difference | interval | p | Holm |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    corrected = holm([test.p_value for test in tests])
    for test, p_corrected in zip(tests, corrected, strict=True):
        lines.append(
            f"| {test.slice} | {test.metric}@{test.k} | {test.subject:.3f} | "
            f"{test.baseline_name} {test.baseline:.3f} | {test.subject - test.baseline:+.3f} | "
            f"{test.low:+.3f} – {test.high:+.3f} | {test.p_value:.4f} | {p_corrected:.4f} |"
        )
    note = "Paired permutation test over sessions, two-sided, on means over seeds; Holm: corrected "
    return [*lines, "", note + "for all rows of this table."]


FURTHER = {
    "coverage": ("coverage", ".3f"),
    "gini": ("Gini", ".3f"),
    "popularity": ("popularity", ".1f"),
    "novelty": ("novelty (bits)", ".2f"),
    "diversity": ("diversity", ".3f"),
    "ece": ("ECE", ".3f"),
    "brier": ("Brier", ".3f"),
    "log_likelihood": ("log-likelihood", ".2f"),
    "impossible": ("impossible", ".3f"),
    "temperature": ("temperature", ".2f"),
}


def _further(results: Sequence[Result]) -> list[str]:
    lines = [
        "Lists of 20: share of the catalogue shown, inequality of exposure, mean training clicks, "
        "self-information, and mean cosine distance of the items' TF-IDF texts. Calibration: expected "
        "calibration error of the first item, Brier score, mean log-likelihood of the target where it "
        "is possible and the share where it is not; scores are divided by a temperature fitted on "
        "validation sessions unless they are log-probabilities.",
        "",
        "| model | " + " | ".join(title for title, _ in FURTHER.values()) + " |",
        "| --- |" + " ---: |" * len(FURTHER),
    ]
    for result in results:
        cells = [
            format(result.further[name], form) if name in result.further else "–"
            for name, (_, form) in FURTHER.items()
        ]
        lines.append(f"| {result.name} | {' | '.join(cells)} |")
    return lines


def _runs(results: Sequence[Result]) -> list[str]:
    lines = ["| model | seeds | settled on validation | fit (s) | scoring (s) | note |"]
    lines.append("| --- | --- | --- | ---: | ---: | --- |")
    for result in results:
        seeds = " ".join(map(str, result.seeds))
        lines.append(
            f"| {result.name} | {seeds} | {_settled(result.tuned)} | {result.fit_seconds:.1f} | "
            f"{result.score_seconds:.1f} | {ROLE_NOTE.get(result.role, '')} |"
        )
    return lines


def _settled(tuned: dict | None) -> str:
    if not tuned:
        return "–"
    if "pca" in tuned:
        return f"PCA {tuned['pca'] or 'all'}, cold offset {tuned['cold_offset']:+.2f}"
    return ", ".join(f"{name} {value}" for name, value in tuned["settings"].items())


def _ratio(value: float, of: float) -> str:
    return f"{100 * value / of:.0f} %" if of > 0 else "–"
