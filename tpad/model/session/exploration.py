"""How many new items a shop wants to show: the offset for each share, and what it costs."""

import math
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np

from tpad.errors import ConfigError


@dataclass(frozen=True)
class Exploration:
    """The share of new items in the lists at each offset, measured on validation sessions.

    New items are those without training clicks; in validation, pseudo-cold items stand for them. All
    tuples have the same length; offsets and shares rise.

    Attributes:
        offset: added to the scores of new items.
        share: of new items in the first 20 places.
        known: P@20 on clicked targets.
        new: P@20 on new targets.
        clicked: share of new items among the targets: as often as shoppers click on them.
    """

    offset: tuple[float, ...]
    share: tuple[float, ...]
    known: tuple[float, ...]
    new: tuple[float, ...]
    clicked: float

    def __post_init__(self) -> None:
        columns = [getattr(self, field.name) for field in fields(self)[:-1]]
        check_share(self.clicked)
        if not self.offset or any(len(column) != len(self.offset) for column in columns):
            raise ConfigError("The exploration needs as many shares and gains as offsets.")
        for column in columns:
            if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in column):
                raise ConfigError("The exploration must consist of finite numbers.")
        if any(np.diff(self.offset) <= 0) or any(np.diff(self.share) < 0):
            raise ConfigError("Offsets and shares of the exploration must rise.")

    def offset_for(self, share: float) -> float:
        """The offset at which new items take a share of the first 20 places.

        Args:
            share: from 0 to 1. 0 means that new items are never shown, and gives −inf; 1 gives the
                largest offset. Shares outside the measured ones give the offset of the nearest one.

        Raises:
            ConfigError: the share is not between 0 and 1.
        """
        check_share(share)
        if share in (0.0, 1.0):
            return self.offset[-1] if share else -math.inf
        # Of several offsets with the same share, the one next to the other shares.
        shares, first = np.unique(self.share, return_index=True)
        last = len(self.share) - 1 - np.unique(self.share[::-1], return_index=True)[1]
        place = np.where(shares < share, last, first)
        return float(np.interp(share, shares, np.asarray(self.offset)[place]))


def check_share(share: float) -> None:
    """Raise a `ConfigError` if this is not a share of new items."""
    if not isinstance(share, Real) or not 0.0 <= share <= 1.0:  # False for NaN
        raise ConfigError(f"exploration is a share from 0 to 1, not {share!r}.")
