"""Cold-start splits and session protocols, made by name and seed from any dataset.

A split gives a new dataset whose sessions are cut again, and says of every item what part it plays.
Items are drawn before anything is trained, so whatever is trained on the split's dataset has never
met them. Test sessions stay whole: a held-out item may also be part of what is predicted from.

Splits can be laid one over another: `make_split(make_split(d, temporal).dataset, cold_items)`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from json import dumps
from typing import Any

import numpy as np

from eval.protocol import Protocol
from eval.splits.kinds import CUTS, DRAWS, end_of_day
from tpad import Columns, ConfigError, DataError, Dataset
from tpad.errors import check_seed

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
"""Kinds of splits, with their parameters and what these are if not given."""


@dataclass(frozen=True)
class SplitConfig:
    """Which split to make. A parameter that its kind does not have must be left out.

    Raises:
        ConfigError: there is no such kind, or a parameter is out of range or not one of the kind's.
    """

    kind: str
    """"given": the dataset as it comes. "cold_items": held-out items are in no training or
    validation session. "few_shot": they are clicked at most n times in training. "new_category": a
    whole category is held out. "launch_date": items first seen after a day are held out, and all
    sessions after it test. "short_sessions": test sessions end early. "temporal": sessions are
    split by start. "leave_one_out": the last click of each session tests, the last but one
    validates; for sequences of whole users."""
    seed: int = 0
    """Of every draw."""
    draw: str | None = None
    """How items are drawn: "random"; "popularity": from each tenth of the items by training clicks
    alike; "category": from each category alike."""
    fraction: float | None = None
    """Share of the items with training clicks that is drawn, above 0 and below 1."""
    n: int | None = None
    """Most training clicks of a few-shot item; which ones are kept is drawn."""
    category: str | None = None
    """The category to hold out; drawn by the seed if not given."""
    day: str | None = None
    """Last day (UTC, YYYY-MM-DD) that may be trained on."""
    length: int | None = None
    """Longest prefix of a short test session."""
    validation_fraction: float | None = None
    """Share of the sessions (for "launch_date": of those up to the day) that validates."""
    test_fraction: float | None = None
    """Share of the sessions that tests."""

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
        if "draw" in params and params["draw"] not in DRAWS:
            raise ConfigError(
                f"There is no draw {params['draw']!r}; choose one of {', '.join(DRAWS)}."
            )
        if not 0 < params.get("fraction", 0.5) < 1:
            raise ConfigError(f"fraction must be above 0 and below 1, not {self.fraction}.")
        if params.get("n", 0) < 0:
            raise ConfigError(f"n must be 0 or more, not {self.n}.")
        if params.get("length", 1) < 1:
            raise ConfigError(f"length must be at least 1, not {self.length}.")
        if "day" in params:
            end_of_day(params["day"])
        shares = [params.get(name, 0.0) for name in ("validation_fraction", "test_fraction")]
        if not (min(shares) >= 0 and sum(shares) < 1):
            raise ConfigError(
                "validation_fraction and test_fraction must be 0 or more and sum up to less than "
                f"1, not {shares[0]} and {shares[1]}."
            )
        check_seed(self.seed)

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
        """One line that says it all, for instance "few_shot:draw=random,fraction=0.15,n=5,seed=0"."""
        values = {k: v for k, v in self.params.items() if v is not None} | {"seed": self.seed}
        return f"{self.kind}:" + ",".join(f"{key}={value}" for key, value in values.items())

    @classmethod
    def parse(cls, text: str) -> "SplitConfig":
        """Reads "kind", "kind:key=value,key=value" and whatever `name` gives.

        Raises:
            ConfigError: there is no such parameter, or its value is of the wrong kind.
        """
        kind, _, rest = text.partition(":")
        kinds: dict[str, type] = {"seed": int, "n": int, "length": int}
        kinds |= dict.fromkeys(("fraction", "validation_fraction", "test_fraction"), float)
        known = {field.name for field in fields(cls)[1:]}
        values: dict[str, Any] = {}
        # A category's name may hold commas.
        for part in re.split(r",(?=\w+=)", rest) if rest else ():
            key, equals, value = part.partition("=")
            if not equals or key not in known:
                raise ConfigError(
                    f"{part!r} is no parameter of a split; write {kind}:key=value with a key of "
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
    """A split that was made.

    Attributes:
        config: how; a category that was drawn is named.
        dataset: the items with their sessions cut again; train on this.
        roles: (n_items,) str object: "held_out", "few_shot", "warm" (in training sessions) or "cold" (in
            none, though not held out).
        source: fingerprint of the dataset that was split.
        info: counts of items by role, sessions, clicks, and test cases.
    """

    config: SplitConfig
    dataset: Dataset
    roles: np.ndarray
    source: str
    info: Mapping[str, int]

    @property
    def name(self) -> str:
        """One line that tells it from others."""
        return self.config.name

    @property
    def kind(self) -> str:
        """Name of its kind."""
        return self.config.kind

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return self.config.seed

    @property
    def params(self) -> dict[str, Any]:
        """Parameters as JSON values."""
        return self.config.params

    @property
    def held_out(self) -> np.ndarray:
        """(n_items,) bool, items that no training or validation session may hold."""
        return self.roles == HELD_OUT

    @property
    def few_shot(self) -> np.ndarray:
        """(n_items,) bool, items with at most n training clicks and no validation click."""
        return self.roles == FEW_SHOT

    @property
    def protocol(self) -> Protocol:
        """What to ask of its test sessions if nothing else is wished."""
        return Protocol("last_item" if self.kind == "leave_one_out" else "every_prefix")

    def rows(self) -> Iterator[tuple[str, str]]:
        """(item id, role) of every item, in the order of the items."""
        return zip(self.dataset.items[Columns.ITEM_ID].tolist(), self.roles.tolist(), strict=True)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex): equal for equal configs of equal datasets."""
        facts = [self.kind, self.seed, self.params, self.source, self.dataset.fingerprint]
        return sha256(dumps([*facts, self.roles.tolist()]).encode()).hexdigest()


def make_split(dataset: Dataset, config: SplitConfig) -> Split:
    """Makes a split.

    Args:
        dataset: any; it stays as it is.
        config: which split, and its seed.

    Raises:
        ConfigError: a parameter does not fit the dataset, such as a category that it does not have.
        DataError: the dataset lacks what the split needs (categories, times), or nothing would be
            left to train or test on.
    """
    rng = np.random.default_rng(config.seed)
    cut, chosen = CUTS[config.kind](dataset, config.params, rng)
    if config.kind == "new_category":  # one that was drawn belongs to the record
        config = replace(config, category=dataset.items[Columns.CATEGORY][chosen].iat[0])
    roles = np.where(cut.cold, COLD, WARM).astype(object)
    roles[chosen] = FEW_SHOT if config.kind == "few_shot" else HELD_OUT
    targets = cut.test.prefixes().targets
    if not (cut.train.lengths > 1).any():
        raise DataError(
            f"The split {config.name} leaves no training session of two clicks; hold out less, or "
            "give more sessions."
        )
    if not len(targets):
        raise DataError(
            f"The split {config.name} leaves no test session with a click to predict; "
            "give more sessions."
        )
    if chosen.any() and not chosen[targets].any():
        raise DataError(
            f"No test session asks for one of the {chosen.sum():,} items that the split "
            f"{config.name} holds out; hold out more, or take another seed."
        )
    info = {name: int((roles == name).sum()) for name in (HELD_OUT, FEW_SHOT, WARM, COLD)}
    for part in ("train", "validation", "test"):
        sessions = getattr(cut, part)
        info |= {f"{part}_sessions": len(sessions), f"{part}_clicks": int(sessions.lengths.sum())}
    info |= {"cases": len(targets), "chosen_cases": int(chosen[targets].sum())}
    return Split(config, cut, roles, dataset.fingerprint, info)
