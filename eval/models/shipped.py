"""The recommenders of a bundle, which are evaluated as they are."""

from dataclasses import dataclass

from tpad import Bundle
from tpad.errors import BundleError
from tpad.model.session.fused import FusedModel
from tpad.training.fusion import FusionConfig, FusionTuning


@dataclass(frozen=True, eq=False)
class Shipped:
    """A bundle's recommender of one embedding set.

    Attributes:
        model: the recommender.
        tuning: the settings that `train` chose.
        checksum: sha256 (hex) of its file; it distinguishes runs of different bundles.
    """

    model: FusedModel
    tuning: FusionTuning
    checksum: str

    @property
    def seed(self) -> int:
        """Seed of the recommender."""
        return self.model.network.config.seed


def shipped_recommenders(bundle: Bundle) -> dict[str, Shipped]:
    """The recommenders of a bundle by embedding set.

    Raises:
        BundleError: the bundle does not say how they were tuned.
    """
    found = {}
    for name in bundle.sets:
        try:
            tuning = FusionTuning.from_json(bundle.info["tuned"][name])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{bundle.path} does not say how the recommender of {name!r} was tuned; train the "
                "bundle again."
            ) from error
        checksum = bundle.checksum_of_recommender(name)
        found[name] = Shipped(bundle.recommenders[name], tuning, checksum)
    return found


def config_of(bundle: Bundle) -> FusionConfig:
    """The settings with which a bundle's recommenders were tuned; the defaults if it has none."""
    values = bundle.config.get("recommender")
    if values is None:
        return FusionConfig()
    try:
        return FusionConfig.from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{bundle.path} has no usable settings of the recommender; train the bundle again."
        ) from error
