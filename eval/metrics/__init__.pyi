from .averaging import MEANS as MEANS, averaged as averaged, concentration as concentration
from .calibration import (
    Calibration as Calibration,
    Reliability as Reliability,
    fit_temperature as fit_temperature,
    reliability as reliability,
    temperature_of as temperature_of,
    validation_cases as validation_cases,
)
from .frontier import (
    Frontier as Frontier,
    KindScores as KindScores,
    frontier_of as frontier_of,
    mean_curve as mean_curve,
)
from .lists import (
    catalogue_coverage as catalogue_coverage,
    diversity_values as diversity_values,
    gini as gini,
    list_metrics as list_metrics,
    popularity_percentile as popularity_percentile,
    self_information as self_information,
)
from .ranking import Ranking as Ranking, rank_all as rank_all, top_items as top_items
from .ranks import (
    CUTOFFS as CUTOFFS,
    METRICS as METRICS,
    Ranks as Ranks,
    all_case_values as all_case_values,
    case_values as case_values,
    metric_names as metric_names,
    oracle_ratio as oracle_ratio,
    parse_metric as parse_metric,
    target_ranks as target_ranks,
)
from .significance import (
    bootstrap_interval as bootstrap_interval,
    holm as holm,
    over_seeds as over_seeds,
    paired_permutation_test as paired_permutation_test,
    ratio_interval as ratio_interval,
)
from .slice_metrics import MetricValue as MetricValue, slice_metrics as slice_metrics
from .slices import by_length as by_length, informative as informative, kind_of as kind_of
