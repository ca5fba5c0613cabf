"""Cold-start splits of any dataset, defined by a name and a seed.

A split is a new dataset with other training, validation and test sessions, and a role for every item. Items
are held out before anything is trained, so a model trained on the split's dataset has never seen them. Test
sessions stay whole: a held-out item may also be in the history of a case.

Splits can be combined: `make_split(make_split(dataset, temporal).dataset, cold_items)`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from json import dumps
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from eval.splits.kinds import CUTS, end_of_day
from tpad import Columns, ConfigError, DataError, Dataset
from tpad.settings import Count, CountOrZero, Share, settings

HELD_OUT, FEW_SHOT, WARM, COLD = "held_out", "few_shot", "warm", "cold"

DEFAULTS: dict[str, dict[str, Any]] = {
    "given": {},
    "cold_items": {"draw": "random", "fraction": 0.15},
    "few_shot": {"draw": "random", "fraction": 0.15, "n": 5},
    "new_category": {"category": None},
    "launch_date": {"day": None, "validation_fraction": 0.1},
    "short_sessions": {"length": 1},
    "temporal": {"validation_fraction": 0.1, "test_fraction": 0.1},
    "leave_one_out": {},
}
"""Kinds of splits, with their parameters and defaults."""
Draw = Literal["random", "popularity", "category"]


@settings
class SplitConfig:
    """Which split to make; only the parameters of its kind may be given.

    Raises:
        ConfigError: the kind or a parameter is unknown, or a parameter is out of range.
    """

    kind: str
    """"given": the dataset unchanged. "cold_items": held-out items are in no training or validation
    session. "few_shot": chosen items have at most n training clicks. "new_category": a whole category
    is held out. "launch_date": items first clicked after a day are held out, and sessions after it are
    test sessions. "short_sessions": test sessions are cut. "temporal": sessions are split by start.
    "leave_one_out": the last click of each session is for testing, the second last for validation;
    for sequences of whole users."""
    seed: CountOrZero = 0
    """Seed of all draws."""
    draw: Draw | None = None
    """How items are drawn: "random"; "popularity": the same share of each decile of training clicks;
    "category": the same share of each category."""
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the items with training clicks to draw, above 0 and below 1."""
    n: CountOrZero | None = None
    """Maximum number of training clicks of a few-shot item; those kept are drawn."""
    category: str | None = None
    """The category to hold out; drawn if not given."""
    day: str | None = None
    """Last day of training (UTC, YYYY-MM-DD)."""
    length: Count | None = None
    """Maximum prefix length of a test session."""
    validation_fraction: Share | None = None
    """Share of validation sessions (for "launch_date": of the sessions up to the day)."""
    test_fraction: Share | None = None
    """Share of test sessions."""

    def __post_init__(self) -> None:
        if self.kind not in DEFAULTS:
            raise ConfigError(
                f"There is no split {self.kind!r}; choose one of {', '.join(DEFAULTS)}."
            )
        known = DEFAULTS[self.kind]
        for field in fields(self)[2:]:
            if getattr(self, field.name) is not None and field.name not in known:
                raise ConfigError(
                    f"The split {self.kind} has no parameter {field.name}; "
                    f"it has {', '.join(known) or 'none'}."
                )
        params = self.params
        if "day" in params:
            end_of_day(params["day"])
        shares = [params.get(name, 0.0) for name in ("validation_fraction", "test_fraction")]
        if sum(shares) >= 1:
            raise ConfigError(
                "validation_fraction and test_fraction must sum to less than 1, not "
                f"{shares[0]} and {shares[1]}."
            )

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the kind, as JSON values."""
        defaults = DEFAULTS[self.kind]
        return {
            name: default if getattr(self, name) is None else getattr(self, name)
            for name, default in defaults.items()
        }

    @property
    def name(self) -> str:
        """All parameters in one line, such as "few_shot:draw=random,fraction=0.15,n=5,seed=0"."""
        values = {k: v for k, v in self.params.items() if v is not None} | {"seed": self.seed}
        return f"{self.kind}:" + ",".join(f"{key}={value}" for key, value in values.items())

    @classmethod
    def parse(cls, text: str) -> "SplitConfig":
        """Reads "kind", "kind:key=value,key=value" and any `name`.

        Raises:
            ConfigError: a parameter is unknown, or its value has the wrong type.
        """
        kind, _, rest = text.partition(":")
        kind = kind.replace("-", "_")
        kinds: dict[str, type] = {"seed": int, "n": int, "length": int}
        kinds |= dict.fromkeys(("fraction", "validation_fraction", "test_fraction"), float)
        known = {field.name for field in fields(cls)[1:]}
        values: dict[str, Any] = {}
        # The name of a category may contain commas.
        for part in re.split(r",(?=\w+=)", rest) if rest else ():
            key, equals, value = part.partition("=")
            if not equals or key not in known:
                raise ConfigError(
                    f"{part!r} is not a parameter of a split; write {kind}:key=value with a key of "
                    f"{', '.join(['seed', *DEFAULTS.get(kind, {})])}."
                )
            try:
                values[key] = kinds.get(key, str)(value)
            except ValueError:
                raise ConfigError(
                    f"{key} of the split {kind} must be a number, not {value!r}."
                ) from None
        return cls(kind, **values)


@dataclass(frozen=True, eq=False)
class Split:
    """A split of a dataset.

    Attributes:
        config: how it was made; includes a category that was drawn.
        dataset: the new dataset, to train and evaluate on.
        roles: (n_items,) object: "held_out", "few_shot", "warm" (in training sessions) or "cold" (not in
            training sessions, but not held out).
        source: fingerprint of the original dataset.
        info: numbers of items by role, sessions, clicks, and test cases.
    """

    config: SplitConfig
    dataset: Dataset
    roles: np.ndarray
    source: str
    info: Mapping[str, int]

    @property
    def name(self) -> str:
        """All parameters in one line, see `SplitConfig.name`."""
        return self.config.name

    @property
    def kind(self) -> str:
        """The kind of split."""
        return self.config.kind

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return self.config.seed

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, as JSON values."""
        return self.config.params

    @property
    def held_out(self) -> np.ndarray:
        """(n_items,) bool, items that must not be in training or validation sessions."""
        return self.roles == HELD_OUT

    @property
    def few_shot(self) -> np.ndarray:
        """(n_items,) bool, items with at most n training clicks and no validation clicks."""
        return self.roles == FEW_SHOT

    def rows(self) -> Iterator[tuple[str, str]]:
        """(item id, role) of every item, in the order of the items."""
        return zip(self.dataset.items[Columns.ITEM_ID].tolist(), self.roles.tolist(), strict=True)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex); equal for equal splits of equal datasets."""
        facts = [self.kind, self.seed, self.params, self.source, self.dataset.fingerprint]
        return sha256(dumps([*facts, self.roles.tolist()]).encode()).hexdigest()


def make_split(dataset: Dataset, config: SplitConfig) -> Split:
    """Makes a split.

    Args:
        dataset: any dataset; it is not changed.
        config: which split to make.

    Raises:
        ConfigError: a parameter does not fit the dataset, such as an unknown category.
        DataError: the dataset has no categories or times that the split needs, or no training or
            test sessions would be left.
    """
    rng = np.random.default_rng(config.seed)
    cut, chosen = CUTS[config.kind](dataset, config.params, rng)
    if config.kind == "new_category":  # record a category that was drawn
        config = replace(config, category=dataset.items[Columns.CATEGORY][chosen].iat[0])
    roles = np.where(cut.cold, COLD, WARM).astype(object)
    roles[chosen] = FEW_SHOT if config.kind == "few_shot" else HELD_OUT
    targets = cut.test.prefixes().targets
    if not (cut.train.lengths > 1).any():
        raise DataError(
            f"The split {config.name} leaves no training session of two clicks; hold out less, or "
            "use more sessions."
        )
    if not len(targets):
        raise DataError(
            f"The split {config.name} leaves no test session with a click to predict; "
            "use more sessions."
        )
    if chosen.any() and not chosen[targets].any():
        raise DataError(
            f"No target of a test session is one of the {chosen.sum():,} items that the split "
            f"{config.name} holds out; hold out more, or choose another seed."
        )
    info = {name: int((roles == name).sum()) for name in (HELD_OUT, FEW_SHOT, WARM, COLD)}
    for part in ("train", "validation", "test"):
        sessions = getattr(cut, part)
        info |= {f"{part}_sessions": len(sessions), f"{part}_clicks": int(sessions.lengths.sum())}
    info |= {"cases": len(targets), "chosen_cases": int(chosen[targets].sum())}
    return Split(config, cut, roles, dataset.fingerprint, info)
