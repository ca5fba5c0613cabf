"""TPAD: recommends the next item of a session from pictures and texts, also of unclicked items.

    import tpad
    recommender = tpad.load("assets/demo")
    recommender.recommend(["item-0001", "item-0044"], k=10)

Names are imported when they are first used, as PyTorch takes seconds to start. The package
itself imports none of its modules; see `tpad.lazy`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tpad.bundle import Bundle
    from tpad.cards import model_card
    from tpad.data import Cases, Dataset, Sessions
    from tpad.data.columns import Columns
    from tpad.data.ids import to_ids
    from tpad.data.parquet_table import read_parquet
    from tpad.data.splits import assert_no_leak, split_by_time
    from tpad.data.tables import to_text
    from tpad.data.vectors import ItemVectors, VectorFile, load_vectors, parse_named_file
    from tpad.errors import (
        BundleError,
        ConfigError,
        DataError,
        ImageError,
        ModelError,
        TpadError,
        check_seed,
        shown,
    )
    from tpad.items import NewItem
    from tpad.recommender import Recommender, load
    from tpad.training.batching import PADDING, pad_sessions, shuffled_batches
    from tpad.training.cases import mask_history
    from tpad.training.encoders import RANDOM_SIZE
    from tpad.training.fitted_session_model import EpochReport, FittedSessionModel
    from tpad.training.negatives import sample_items
    from tpad.training.optimisation import adamw, warm_up_cosine
    from tpad.training.plain_features import field_table, text_table
    from tpad.training.session_model import fit_session_model
    from tpad.training.session_network import PCA_SIZES, SessionModelConfig
    from tpad.training.session_tuning import (
        SessionTuning,
        hold_out,
        pseudo_cold,
        tune_session_model,
    )
    from tpad.version import __version__
    from tpad.world.attributes import Look
    from tpad.world.oracle import Oracle, attribute_table

_LAZY = {
    "Bundle": "tpad.bundle",
    "BundleError": "tpad.errors",
    "Cases": "tpad.data",
    "Columns": "tpad.data.columns",
    "ConfigError": "tpad.errors",
    "DataError": "tpad.errors",
    "Dataset": "tpad.data",
    "EpochReport": "tpad.training.fitted_session_model",
    "FittedSessionModel": "tpad.training.fitted_session_model",
    "ImageError": "tpad.errors",
    "ItemVectors": "tpad.data.vectors",
    "Look": "tpad.world.attributes",
    "ModelError": "tpad.errors",
    "NewItem": "tpad.items",
    "Oracle": "tpad.world.oracle",
    "PADDING": "tpad.training.batching",
    "PCA_SIZES": "tpad.training.session_network",
    "RANDOM_SIZE": "tpad.training.encoders",
    "Recommender": "tpad.recommender",
    "SessionModelConfig": "tpad.training.session_network",
    "SessionTuning": "tpad.training.session_tuning",
    "Sessions": "tpad.data",
    "TpadError": "tpad.errors",
    "VectorFile": "tpad.data.vectors",
    "__version__": "tpad.version",
    "adamw": "tpad.training.optimisation",
    "assert_no_leak": "tpad.data.splits",
    "attribute_table": "tpad.world.oracle",
    "check_seed": "tpad.errors",
    "field_table": "tpad.training.plain_features",
    "fit_session_model": "tpad.training.session_model",
    "hold_out": "tpad.training.session_tuning",
    "load": "tpad.recommender",
    "load_vectors": "tpad.data.vectors",
    "mask_history": "tpad.training.cases",
    "model_card": "tpad.cards",
    "pad_sessions": "tpad.training.batching",
    "parse_named_file": "tpad.data.vectors",
    "pseudo_cold": "tpad.training.session_tuning",
    "read_parquet": "tpad.data.parquet_table",
    "sample_items": "tpad.training.negatives",
    "shown": "tpad.errors",
    "shuffled_batches": "tpad.training.batching",
    "split_by_time": "tpad.data.splits",
    "text_table": "tpad.training.plain_features",
    "to_ids": "tpad.data.ids",
    "to_text": "tpad.data.tables",
    "tune_session_model": "tpad.training.session_tuning",
    "warm_up_cosine": "tpad.training.optimisation",
}

__all__ = [
    "PADDING",
    "PCA_SIZES",
    "RANDOM_SIZE",
    "Bundle",
    "BundleError",
    "Cases",
    "Columns",
    "ConfigError",
    "DataError",
    "Dataset",
    "EpochReport",
    "FittedSessionModel",
    "ImageError",
    "ItemVectors",
    "Look",
    "ModelError",
    "NewItem",
    "Oracle",
    "Recommender",
    "SessionModelConfig",
    "SessionTuning",
    "Sessions",
    "TpadError",
    "VectorFile",
    "__version__",
    "adamw",
    "assert_no_leak",
    "attribute_table",
    "check_seed",
    "field_table",
    "fit_session_model",
    "hold_out",
    "load",
    "load_vectors",
    "mask_history",
    "model_card",
    "pad_sessions",
    "parse_named_file",
    "pseudo_cold",
    "read_parquet",
    "sample_items",
    "shown",
    "shuffled_batches",
    "split_by_time",
    "text_table",
    "to_ids",
    "to_text",
    "tune_session_model",
    "warm_up_cosine",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
