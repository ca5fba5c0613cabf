"""Families of models, by which plots and tables group them, and which models are shown."""

import numpy as np

from app.shell.evaluation import Evaluation
from eval.models.naming import VARIANT
from eval.runs.slice_comparison import best_baseline

IDS, CONTENT, OURS, ABLATION, REFERENCE, ORACLE = (
    "baseline, item IDs",
    "baseline, content",
    "TPAD",
    "ablation",
    "reference",
    "oracle",
)
FAMILIES = (IDS, CONTENT, OURS, ABLATION, REFERENCE, ORACLE)
"""Families in the order of a legend."""
EXTRAS = (ABLATION, REFERENCE)
"""Families that are shown on request only."""
MAX_MODELS = 6
"""Models that one plot compares at most."""


def family(name: str, role: str) -> str:
    """Which of `FAMILIES` a model belongs to."""
    if role == "baseline":
        return IDS if _uses_ids(name) else CONTENT
    if role == "tpad":
        return ABLATION if name.startswith(VARIANT) else OURS
    return REFERENCE if role == "reference" else ORACLE


def shown_models(evaluation: Evaluation, extras: bool) -> list[str]:
    """Names of the models of a table, with or without `EXTRAS`."""
    return [r.name for r in evaluation.results if extras or family(r.name, r.role) not in EXTRAS]


def suggested_models(evaluation: Evaluation) -> list[str]:
    """Models to compare by default: TPAD, the best baseline with and without IDs, the oracle."""
    everything = np.ones(len(evaluation.selection.cases), bool)
    by_id = [r for r in evaluation.results if _uses_ids(r.name)]
    others = [r for r in evaluation.results if not _uses_ids(r.name)]
    best = [best_baseline(some, everything, "MRR", 20) for some in (others, by_id)]
    names = [evaluation.subject, *(r.name for r in best if r is not None), "oracle"]
    chosen = [name for name in names if name in evaluation.by_name]
    return chosen or list(evaluation.by_name)[:MAX_MODELS]


def _uses_ids(name: str) -> bool:
    from eval.baselines.registry import BASELINES  # imports torch, which the page starts without

    return name in BASELINES
