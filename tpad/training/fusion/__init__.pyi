from .config import (
    CONTENT_NETWORK as CONTENT_NETWORK,
    ID_NETWORK as ID_NETWORK,
    FusionConfig as FusionConfig,
    FusionTuning as FusionTuning,
    TuningStore as TuningStore,
)
from .tuning import fit_tuned as fit_tuned, tune_fused as tune_fused
