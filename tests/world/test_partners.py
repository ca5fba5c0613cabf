"""The partners of the items, and their share of what shoppers do."""

import numpy as np
import pytest

from tpad.world.build import World, WorldConfig
from tpad.world.law import Law
from tpad.world.partners import Partners, draw_partners
from tpad.world.shoppers import draw_sessions


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(items=1200, train_sessions=400, test_sessions=4_000))


def test_partners_are_different_items_of_other_types_of_the_department(world):
    rows, weights = world.partners.rows, world.partners.weights
    assert rows.shape == (1200, 4) and weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) < 0).all()
    for product, own in zip(world.products, rows, strict=True):
        assert len(set(own)) == 4
        for row in own:
            partner = world.products[row]
            assert partner.department == product.department
            assert partner.look.type != product.look.type


def test_partners_do_not_depend_on_the_attributes(world):
    """Partners match in colour, spec, brand, tier and occasion as often as any two items do."""
    rows = world.partners.rows
    facts = {
        "colour": [p.look.colour for p in world.products],
        "spec": [p.spec for p in world.products],
        "brand": [p.brand for p in world.products],
        "tier": [p.tier for p in world.products],
        "occasion": [p.occasion for p in world.products],
    }
    departments = np.array([p.department for p in world.products])
    for name, values in facts.items():
        codes = np.unique(values, return_inverse=True)[1]
        match = (codes[rows] == codes[:, None]).mean()
        alike = codes[:, None] == codes[None, :]
        expected = alike[departments[:, None] == departments[None, :]].mean()
        assert match == pytest.approx(expected, abs=0.025), name


def test_new_items_have_partners_and_are_partners_like_any_other(world):
    cold, rows = world.cold, world.partners.rows
    assert cold[rows].mean() == pytest.approx(cold.mean(), abs=0.03)
    assert cold[rows[cold]].mean() == pytest.approx(cold.mean(), abs=0.06)


def test_a_quarter_of_the_transitions_leads_to_a_partner(world):
    """Of the exact law, and of what shoppers do after their first click."""
    law, rows = world.law, world.partners.rows
    config = law.config
    first = np.arange(0, 1200, 7)
    exact = np.array([law.next_item(np.array([i]))[rows[i]].sum() for i in first])
    # The rest of the probability seldom leads to a partner, too.
    assert exact.min() >= (1 - config.noise) * config.partner_share - 1e-12
    assert exact.mean() == pytest.approx((1 - config.noise) * config.partner_share, abs=0.02)
    pairs = np.array([s[:2] for s in world.sessions["test"]])
    chance = np.array([law.next_item(pair[:1])[rows[pair[0]]].sum() for pair in pairs])
    seen = (rows[pairs[:, 0]] == pairs[:, 1:]).any(1)
    error = np.sqrt((chance * (1 - chance)).sum()) / len(pairs)
    assert abs(seen.mean() - chance.mean()) < 4 * error


def test_each_partner_follows_as_often_as_its_weight_says(world):
    """The frequencies of 20,000 second clicks after one item against the exact law."""
    law, start = world.law, 5
    exact = law.transition[start]
    rest = Law.of(world.products, law.popularity, law.config).transition[start]
    share = law.config.partner_share
    own = world.partners.rows[start]
    assert exact[own] == pytest.approx((1 - share) * rest[own] + share * world.partners.weights)
    others = np.delete(np.arange(1200), own)
    assert exact[others] == pytest.approx((1 - share) * rest[others])

    class Started(Law):
        """The first click is given; the second is drawn as ever."""

        def next_item(self, session, allowed=None):
            if len(session) == 0:
                return np.eye(len(self.popularity))[start]
            return super().next_item(session[:1], allowed)

    started = Started(law.config, law.popularity, law.transition, law.kind)
    drawn = draw_sessions(started, 20_000, np.random.default_rng(5))
    counts = np.bincount([session[1] for session in drawn], minlength=1200)
    expected = law.next_item(np.array([start])) * 20_000
    assert abs(counts[own] - expected[own]).max() < 5 * np.sqrt(expected[own]).max()
    assert counts[own][0] > counts[own][3]


def test_partners_follow_from_the_seed(world):
    again = draw_partners(world.products, world.config.seed)
    assert np.array_equal(again.rows, world.partners.rows)
    other = draw_partners(world.products, world.config.seed + 1)
    assert (other.rows != again.rows).mean() > 0.9


def test_partners_survive_json(world):
    restored = Partners.from_json(world.partners.as_json())
    assert np.array_equal(restored.matrix(), world.partners.matrix())
    assert restored.matrix().sum(1) == pytest.approx(1.0)
