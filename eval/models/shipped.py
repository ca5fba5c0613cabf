"""The recommenders of a bundle, which are evaluated as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from tpad import Bundle
from tpad.model.session.fitted import FittedSessionModel
from tpad.model.session.tuned import SessionTuning


@dataclass(frozen=True, eq=False)
class Shipped:
    """A bundle's recommender of one embedding set.

    Attributes:
        model: the recommender.
        tuning: the settings that `train` chose.
        checksum: sha256 (hex) of its file; it distinguishes runs of different bundles.
    """

    model: FittedSessionModel
    tuning: SessionTuning
    checksum: str


def shipped_recommenders(bundle: Bundle) -> dict[str, Shipped]:
    """The recommenders of a bundle by embedding set."""
    found = {}
    for name in bundle.sets:
        model = bundle.recommenders[name]
        record: Mapping = bundle.info.get("tuned", {}).get(name, {})
        tuning = SessionTuning(model.config.pca, model.config.cold_offset, record.get("values", {}))
        found[name] = Shipped(model, tuning, bundle.checksum_of_recommender(name))
    return found
