"""The law of the demo shop: exact next-click probabilities of its shoppers.

The probability of the next item j after a session s = (i1 … in) is

    P(j | s) = noise · pop(j) + (1 − noise) · Σ_k w_k · T(j | i_k) · fresh(j, s)      (each renormalised)
    T(j | i) = (1 − partner_share) · A(j | i) + partner_share · B(j | i)

where `A(j | i)` is large for *complements* of i: the graph of types is directed, and the spec, colour,
emblem, pattern, price tier and occasion of j must match those of i; within a type it is proportional to the
popularity. `B(j | i)` is the weight of j among the *partners* of i, which no attribute shows. `w_k` is largest
for the last item and second largest for the first one, so that early items have a lasting effect; `fresh`
reduces the weight of types that the session already has. No item occurs twice in a session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tpad.settings import Share, Weight, settings
from tpad.world.attributes import (
    BRANDS,
    COLOURS,
    EMBLEMS,
    OCCASIONS,
    PATTERNS,
    SPECS,
    TIERS,
    Product,
)
from tpad.world.partners import Partners

COMPLEMENTS: dict[str, dict[str, float]] = {
    "phone": {"phone case": 0.5, "charger": 0.2, "headphones": 0.15, "smartwatch": 0.15},
    "phone case": {"charger": 0.45, "cable": 0.25, "power bank": 0.3},
    "charger": {"cable": 0.65, "power bank": 0.35},
    "cable": {"power bank": 0.5, "headphones": 0.3, "speaker": 0.2},
    "headphones": {"speaker": 0.5, "smartwatch": 0.3, "phone case": 0.2},
    "power bank": {"cable": 0.5, "speaker": 0.3, "headphones": 0.2},
    "smartwatch": {"charger": 0.5, "headphones": 0.5},
    "speaker": {"cable": 0.6, "phone": 0.4},
    "cereal": {"milk": 0.6, "juice": 0.2, "jam": 0.2},
    "milk": {"coffee": 0.5, "chocolate": 0.3, "cereal": 0.2},
    "jam": {"juice": 0.5, "coffee": 0.3, "cereal": 0.2},
    "coffee": {"chocolate": 0.5, "milk": 0.3, "ice cream": 0.2},
    "juice": {"ice cream": 0.5, "soup": 0.3, "chocolate": 0.2},
    "chocolate": {"ice cream": 0.6, "coffee": 0.4},
    "soup": {"juice": 0.6, "chocolate": 0.4},
    "ice cream": {"coffee": 0.5, "jam": 0.5},
    "jersey": {"shorts": 0.6, "cap": 0.2, "ball": 0.2},
    "shorts": {"shoe": 0.6, "sports bottle": 0.4},
    "shoe": {"backpack": 0.5, "cap": 0.3, "ball": 0.2},
    "cap": {"sports bottle": 0.5, "backpack": 0.5},
    "ball": {"shoe": 0.5, "jersey": 0.3, "sports bottle": 0.2},
    "racket": {"ball": 0.6, "backpack": 0.2, "cap": 0.2},
    "sports bottle": {"backpack": 0.6, "racket": 0.4},
    "backpack": {"sports bottle": 0.5, "racket": 0.3, "jersey": 0.2},
}

# Each colour matches itself and two others; the relation is directed (a red phone, then a black case).
COLOUR_GOES_WITH = {
    "red": ("red", "black", "white"),
    "orange": ("orange", "blue", "white"),
    "yellow": ("yellow", "purple", "black"),
    "green": ("green", "yellow", "white"),
    "teal": ("teal", "orange", "pink"),
    "blue": ("blue", "white", "orange"),
    "purple": ("purple", "yellow", "teal"),
    "pink": ("pink", "teal", "purple"),
    "black": ("black", "red", "green"),
    "white": ("white", "blue", "pink"),
}
PATTERN_GOES_WITH = {
    "plain": ("striped", "dotted"),
    "striped": ("striped", "plain"),
    "dotted": ("dotted", "checked"),
    "checked": ("checked", "zigzag"),
    "zigzag": ("zigzag", "plain"),
}
FLAVOUR_GOES_WITH = {
    "vanilla": ("vanilla", "strawberry"),
    "strawberry": ("strawberry", "mint"),
    "hazelnut": ("hazelnut", "caramel"),
    "mango": ("mango", "vanilla"),
    "mint": ("mint", "mango"),
    "caramel": ("caramel", "hazelnut"),
}


@settings
class LawConfig:
    """Parameters of the law; weights are relative to a perfect match, which has weight 1."""

    noise: Share = 0.05
    """Probability that a click follows popularity alone."""
    last: Weight = 0.65
    """Weight of the last item of the session; the first item and the others share the rest."""
    first: Weight = 0.25
    """Weight of the first item of the session."""
    other_spec: Weight = 0.08
    """Weight of an item whose series, flavour or size does not match that of the earlier item."""
    other_colour: Weight = 0.12
    """Weight of an item whose colour does not match that of the earlier item."""
    other_emblem: Weight = 0.12
    """Weight of an item with another emblem."""
    no_emblem: Weight = 0.4
    """Weight if either of the two items has no emblem."""
    other_pattern: Weight = 0.35
    """Weight of an item whose pattern does not match that of the earlier item."""
    other_tier: Weight = 0.5
    """Weight of an item of another price tier."""
    other_occasion: Weight = 0.2
    """Weight of an item for another occasion."""
    partner_share: Share = 0.25
    """Share of the transitions that follow from the two items and not from their attributes."""
    seen_type: Weight = 0.15
    """Weight of an item of a type that the session already has."""
    zipf: Weight = 3.0
    """Exponent z of the Zipf–Mandelbrot law: the r-th of n items has a popularity proportional to
    1 / (r + q n)^z."""
    zipf_shift: Weight = 0.08
    """Shift q of that law, as a share of the items. It flattens the top, so that no item has a large share
    of all clicks."""
    brand_spread: Weight = 3.0
    """Influence of the brand on the popularity order, in standard deviations of the random part."""


def popularity_weights(products: Sequence[Product], law: LawConfig, seed: int) -> np.ndarray:
    """Popularity (n_items,) by the Zipf–Mandelbrot law, summing to 1.

    The order depends on the brand (the first brand of a department is the most popular) and on chance,
    so the popularity of a new item can partly be predicted.
    """
    rng = np.random.default_rng([seed, 101])
    fame = np.array([-BRANDS[p.department].index(p.brand) for p in products], dtype=np.float64)
    fame *= law.brand_spread / 1.7  # six equally frequent brands have a standard deviation of 1.7
    order = np.argsort(-(fame + rng.standard_normal(len(products))), kind="stable")
    n = len(products)
    weights = np.empty(n)
    weights[order] = 1.0 / (np.arange(1, n + 1) + law.zipf_shift * n) ** law.zipf
    return weights / weights.sum()


def _codes(values: Sequence[str], names: Sequence[str]) -> np.ndarray:
    position = {name: i for i, name in enumerate(names)}
    return np.array([position[value] for value in values])


def _goes_with(
    table: Mapping[str, tuple[str, ...]], names: Sequence[str], other: float
) -> np.ndarray:
    matrix = np.full((len(names), len(names)), other)
    for i, name in enumerate(names):
        for partner in table[name]:
            matrix[i, names.index(partner)] = 1.0
    return matrix


def complement_matrix(
    products: Sequence[Product], popularity: np.ndarray, law: LawConfig
) -> np.ndarray:
    """`A[i, j]`, the probability that a complement of item i is item j: (n_items, n_items), rows sum to 1."""
    types = tuple(COMPLEMENTS)
    kind = _codes([p.look.type for p in products], types)
    colour = _codes([p.look.colour for p in products], COLOURS)
    pattern = _codes([p.look.pattern for p in products], PATTERNS)
    emblem = _codes([p.look.emblem for p in products], EMBLEMS)
    tier = _codes([p.tier for p in products], TIERS)
    specs = tuple(s for group in SPECS.values() for s in group)
    spec = _codes([p.spec for p in products], specs)
    occasions = (*OCCASIONS, "")
    occasion = _codes([p.occasion for p in products], occasions)

    same_spec = {s: FLAVOUR_GOES_WITH.get(s, (s,)) for s in specs}
    spec_fit = _goes_with(same_spec, specs, law.other_spec)
    colour_fit = _goes_with(COLOUR_GOES_WITH, COLOURS, law.other_colour)
    pattern_fit = _goes_with(PATTERN_GOES_WITH, PATTERNS, law.other_pattern)
    emblem_fit = np.full((len(EMBLEMS), len(EMBLEMS)), law.other_emblem)
    np.fill_diagonal(emblem_fit, 1.0)
    none = EMBLEMS.index("none")
    emblem_fit[none, :] = emblem_fit[:, none] = law.no_emblem
    tier_fit = np.full((len(TIERS), len(TIERS)), law.other_tier)
    np.fill_diagonal(tier_fit, 1.0)
    occasion_fit = np.full((len(occasions), len(occasions)), law.other_occasion)
    np.fill_diagonal(occasion_fit, 1.0)
    occasion_fit[-1, :] = occasion_fit[:, -1] = 1.0  # an item without an occasion suits all of them

    pair = np.ix_
    fit = (
        spec_fit[pair(spec, spec)]
        * colour_fit[pair(colour, colour)]
        * pattern_fit[pair(pattern, pattern)]
        * emblem_fit[pair(emblem, emblem)]
        * tier_fit[pair(tier, tier)]
        * occasion_fit[pair(occasion, occasion)]
        * popularity[None, :]
    )  # (n_items, n_items)
    follows = np.zeros((len(types), len(types)))
    for i, name in enumerate(types):
        for partner, weight in COMPLEMENTS[name].items():
            follows[i, types.index(partner)] = weight
    # Normalise within each type first: how often a case follows a phone must not depend on the number
    # of matching cases in the shop.
    result = np.zeros_like(fit)
    for t in range(len(types)):
        members = np.flatnonzero(kind == t)
        if len(members):
            block = fit[:, members]
            result[:, members] = follows[kind, t][:, None] * block / block.sum(1, keepdims=True)
    return result / result.sum(1, keepdims=True)


@dataclass(frozen=True)
class Law:
    """The law of one shop, from which exact next-item probabilities are computed.

    Attributes:
        config: its parameters.
        popularity: (n_items,), sums to 1.
        transition: (n_items, n_items), `T` above.
        kind: (n_items,) integer code of the type of each item.
    """

    config: LawConfig
    popularity: np.ndarray
    transition: np.ndarray
    kind: np.ndarray

    @classmethod
    def of(
        cls,
        products: Sequence[Product],
        popularity: np.ndarray,
        config: LawConfig,
        partners: Partners | None = None,
    ) -> "Law":
        """The law for products with the given popularity (n_items,); T is A if there are no partners."""
        kind = _codes([p.look.type for p in products], tuple(COMPLEMENTS))
        transition = complement_matrix(products, popularity, config)
        if partners is not None:
            share = config.partner_share
            transition = (1.0 - share) * transition + share * partners.matrix()
        return cls(config, popularity, transition, kind)

    def next_item(self, session: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
        """Exact probability of every next item.

        Args:
            session: (n,) item rows in time order; if empty, or if no allowed item follows any of them, the
                popularity decides.
            allowed: (n_items,) bool, items that exist at that time; all by default.

        Returns:
            (n_items,) float64, sums to 1.
        """
        chance = self.popularity.copy()
        if allowed is not None:
            chance[~allowed] = 0.0
        if len(session) == 0:
            return chance / chance.sum()
        chance[session] = 0.0
        mix = self._weights(len(session)) @ self.transition[session]  # (n_items,)
        mix[np.isin(self.kind, self.kind[session])] *= self.config.seen_type
        mix[session] = 0.0
        if allowed is not None:
            mix[~allowed] = 0.0
        if not mix.any():  # everything that may follow is in the session, or does not exist yet
            return chance / chance.sum()
        noise = self.config.noise
        return noise * chance / chance.sum() + (1.0 - noise) * mix / mix.sum()

    def _weights(self, length: int) -> np.ndarray:
        """Weights of the items of a session: (length,), sum to 1."""
        weights = np.zeros(length)
        weights[-1] += self.config.last
        weights[0] += self.config.first
        if length > 2:
            weights[1:-1] = (1.0 - self.config.last - self.config.first) / (length - 2)
        return weights / weights.sum()

    def as_json(self) -> dict:
        """The parameters as plain JSON values."""
        return asdict(self.config)
