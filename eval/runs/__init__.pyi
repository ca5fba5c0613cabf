from .comparison import Comparison as Comparison, compare_runs as compare_runs
from .evaluation import Evaluation as Evaluation, evaluate as evaluate
from .results import Result as Result
from .runner import code_version as code_version, run_models as run_models
from .selection import Selection as Selection, results_of as results_of, select_runs as select_runs
from .slice_comparison import (
    SliceComparison as SliceComparison,
    best_baseline as best_baseline,
    compare_with_ablations as compare_with_ablations,
    compare_with_best_baseline as compare_with_best_baseline,
)
