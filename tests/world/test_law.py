"""The law of the demo shop's shoppers, and the oracle that knows it."""

from dataclasses import replace

import numpy as np
import pytest

from tpad.errors import DataError
from tpad.world.attributes import ALL_TYPES, COLOURS, Look, Product
from tpad.world.build import World, WorldConfig
from tpad.world.law import COLOUR_GOES_WITH, COMPLEMENTS, Law, LawConfig, popularity_weights
from tpad.world.oracle import Oracle, products_of
from tpad.world.shoppers import MAX_LENGTH, MIN_LENGTH, draw_sessions

SMALL = WorldConfig(
    items=96, train_sessions=400, validation_sessions=60, test_sessions=80, arrivals=4
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL)


def phone_case(
    colour: str = "red", spec: str = "nova 5", kind: str = "phone case", **look
) -> Product:
    facts = {"type": kind, "colour": colour, "pattern": "striped", "emblem": "none"} | look
    return Product(Look(**facts), spec, "Kipo", "standard", "travel")


def test_probabilities_sum_to_one_and_never_repeat_an_item(world):
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 7, 12):
        session = rng.permutation(96)[:length]
        chance = world.law.next_item(session)
        assert chance.shape == (96,)
        assert chance.sum() == pytest.approx(1.0, abs=1e-12)
        assert (chance >= 0).all() and (chance[session] == 0).all()
        # The noise alone gives every other item a chance.
        assert (np.delete(chance, session) > 0).all()


def test_an_empty_session_follows_popularity(world):
    assert world.law.next_item(np.array([], np.int64)) == pytest.approx(world.law.popularity)


def test_items_that_do_not_exist_yet_have_no_chance(world):
    allowed = ~world.cold
    chance = world.law.next_item(np.flatnonzero(allowed)[:2], allowed)
    assert chance.sum() == pytest.approx(1.0)
    assert (chance[world.cold] == 0).all()
    assert (world.law.next_item(np.array([], np.int64), allowed)[world.cold] == 0).all()


def test_where_nothing_follows_popularity_decides(world):
    session = np.array([7])
    allowed = world.law.transition[7] == 0
    chance = world.law.next_item(session, allowed)
    likely = np.where(allowed, world.law.popularity, 0.0)
    likely[7] = 0.0
    assert chance == pytest.approx(likely / likely.sum())


def test_a_type_that_the_session_has_is_dampened(world):
    kinds = np.array([p.look.type for p in world.products])
    lively = Law(replace(world.law.config, seen_type=1.0), *_rest(world.law))
    session = np.array([np.flatnonzero(kinds == k)[0] for k in ("phone", "phone case", "charger")])
    seen = np.isin(kinds, ("phone", "phone case", "charger"))
    assert world.law.next_item(session)[seen].sum() < lively.next_item(session)[seen].sum()


def _rest(law: Law) -> tuple:
    return law.popularity, law.transition, law.kind


def test_what_follows_what_has_a_direction(world):
    """Without partners, the type of an item decides which types follow."""
    kinds = np.array([p.look.type for p in world.products])
    transition = Law.of(world.products, world.law.popularity, world.law.config).transition
    mass = np.zeros((len(ALL_TYPES), len(ALL_TYPES)))
    for i, first in enumerate(ALL_TYPES):
        for j, then in enumerate(ALL_TYPES):
            mass[i, j] = transition[np.ix_(kinds == first, kinds == then)].sum(1).mean()
            assert mass[i, j] == pytest.approx(COMPLEMENTS[first].get(then, 0.0), abs=1e-9)
    phone, case = ALL_TYPES.index("phone"), ALL_TYPES.index("phone case")
    assert mass[phone, case] == pytest.approx(0.5) and mass[case, phone] == 0


def test_every_type_leads_on_to_others_and_every_colour_goes_with_itself():
    assert set(COMPLEMENTS) == set(ALL_TYPES)
    for kind, partners in COMPLEMENTS.items():
        assert sum(partners.values()) == pytest.approx(1.0)
        assert kind not in partners and set(partners) <= set(ALL_TYPES)
    assert all(colour in COLOUR_GOES_WITH[colour] for colour in COLOURS)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("other_spec", phone_case(emblem="star", spec="orbit 7")),
        ("other_colour", phone_case(emblem="star", colour="green")),
        ("other_emblem", phone_case(emblem="heart")),
        ("no_emblem", phone_case()),
        ("other_pattern", phone_case(emblem="star", pattern="checked")),
        ("other_tier", replace(phone_case(emblem="star"), tier="premium")),
        ("other_occasion", replace(phone_case(emblem="star"), occasion="gift")),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")  # nothing follows a case in this tiny shop
def test_each_fact_must_go_with_the_earlier_items(name, other):
    """Against a case that fits in everything, one that differs in one fact has the law's weight."""
    phone, fitting = phone_case(kind="phone", emblem="star"), phone_case(emblem="star")
    config = LawConfig(noise=0.0)
    law = Law.of([phone, fitting, other], np.full(3, 1 / 3), config)
    chance = law.next_item(np.array([0]))
    assert chance[2] / chance[1] == pytest.approx(getattr(config, name))


def test_an_early_item_still_matters(world):
    kinds = [p.look.type for p in world.products]
    row = {kind: kinds.index(kind) for kind in ("phone", "soup", "milk", "jam")}
    cases = [i for i, kind in enumerate(kinds) if kind == "phone case"]
    after_phone = world.law.next_item(np.array([row["phone"], row["soup"], row["milk"]]))
    after_jam = world.law.next_item(np.array([row["jam"], row["soup"], row["milk"]]))
    assert after_phone[cases].sum() > 3 * after_jam[cases].sum()
    # And the first item counts for more than one in the middle.
    middle = world.law.next_item(np.array([row["jam"], row["phone"], row["soup"], row["milk"]]))
    first = world.law.next_item(np.array([row["phone"], row["jam"], row["soup"], row["milk"]]))
    assert first[cases].sum() > middle[cases].sum()


def test_popularity_follows_the_zipf_mandelbrot_law_and_favours_famous_brands(world):
    weights = popularity_weights(world.products, world.law.config, 7)
    assert weights.sum() == pytest.approx(1.0)
    ranked = np.sort(weights)[::-1]
    ranks = np.arange(1, 97) + 96 * world.law.config.zipf_shift
    slope = np.polyfit(np.log(ranks), np.log(ranked), 1)[0]
    assert slope == pytest.approx(-world.law.config.zipf, abs=1e-6)
    # The favourite brand of each department is clicked more than the last one.
    big = World(WorldConfig(items=1200))
    weights = big.law.popularity
    famous = np.array([p.brand in ("Voltera", "Hofgut", "Stride") for p in big.products])
    unknown = np.array([p.brand in ("Omni", "Grove", "Rally") for p in big.products])
    assert weights[famous].mean() > 2 * weights[unknown].mean()


def test_sessions_have_two_to_twelve_items_and_no_repeats(world):
    sessions = list(draw_sessions(world.law, 500, np.random.default_rng(1)))
    lengths = np.array([len(s) for s in sessions])
    assert lengths.min() == MIN_LENGTH and lengths.max() <= MAX_LENGTH
    assert 3.2 < lengths.mean() < 4.2
    assert all(len(set(s.tolist())) == len(s) for s in sessions)


@pytest.mark.parametrize("allowed", [False, True])
def test_shoppers_follow_the_law_of_the_oracle(world, allowed):
    """Frequencies of many continuations of one session against the exact probabilities."""
    may = ~world.cold if allowed else None
    rng = np.random.default_rng(2)
    start = np.flatnonzero(~world.cold)[[3, 40]]
    exact = world.law.next_item(start, may)

    class Forced(Law):
        """The first two clicks are given; the rest is drawn as ever."""

        def next_item(self, session, allowed=None):
            if len(session) < 2:
                chance = np.zeros(len(self.popularity))
                chance[start[len(session)]] = 1.0
                return chance
            return super().next_item(session, allowed)

    forced = Forced(world.law.config, *_rest(world.law))
    drawn = [s[2] for s in draw_sessions(forced, 6000, rng, may) if len(s) > 2]
    n = len(drawn)
    counts = np.bincount(drawn, minlength=96)
    assert (counts[exact == 0] == 0).all()
    often = exact * n >= 5
    expected = np.append(exact[often], exact[~often].sum()) * n
    seen = np.append(counts[often], counts[~often].sum())
    statistic = ((seen - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    freedom = len(seen) - 1
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)  # five standard deviations
    # The bound can fail: popularity alone is far outside of it.
    wrong = np.append(world.law.popularity[often], world.law.popularity[~often].sum()) * n
    assert ((seen - wrong) ** 2 / wrong).sum() > freedom + 50 * np.sqrt(2 * freedom)


def test_the_oracle_scores_log_probabilities(world):
    sessions = [np.array([3]), np.array([5, 9, 17])]
    scores = Oracle(world.law).scores(sessions)
    assert scores.shape == (2, 96) and scores.dtype == np.float32
    for row, session in zip(scores, sessions, strict=True):
        assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)
        assert np.isneginf(row[session]).all()
        assert np.allclose(np.exp(row), world.law.next_item(session), atol=1e-7)


def test_the_oracle_reads_a_table_only_with_the_true_attributes(world):
    table = world.item_table()
    assert products_of(table) == world.products
    with pytest.raises(DataError, match="attr_colour"):
        products_of(table.drop(columns="attr_colour"))


def test_no_disturbed_ranking_beats_the_oracle(world):
    sessions = list(draw_sessions(world.law, 400, np.random.default_rng(3)))
    prefixes, targets = [s[:-1] for s in sessions], np.array([s[-1] for s in sessions])
    scores = Oracle(world.law).scores(prefixes)
    noisy = scores + 2 * np.random.default_rng(4).normal(size=scores.shape)

    def hits(of: np.ndarray) -> float:
        own = of[np.arange(len(targets)), targets][:, None]
        return float(((of > own).sum(1) < 5).mean())

    assert hits(scores) > hits(noisy) + 0.1
