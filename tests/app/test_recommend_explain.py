"""Why this item: leave-one-out gains, occluded parts, neighbours, and the panel that shows them."""

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder
from test_app_views import HOSTILE, Reader

from app.recommend import explain_views
from app.recommend.explain import (
    Explanation,
    explain,
    leave_one_out,
    log_weight,
    nearest,
    network_gains,
    occlusion,
    part_cosines,
    shares,
)
from app.shell.session import Element, VisitorSession
from app.ui import open_shop
from tpad.bundle import Bundle
from tpad.bundle.card import LIMITS
from tpad.errors import ConfigError, DataError
from tpad.items import NewItem
from tpad.model.session.evidence import score_parts
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def shop(fake_bundle):
    return open_shop(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))


@pytest.fixture(scope="module")
def session(shop):
    session = VisitorSession()
    for item in ("item-0001", "item-0003", "item-0004"):
        session = session.add(shop.catalogue.element(item))
    return session


def test_a_weight_is_that_of_a_softmax_over_the_candidates():
    scores = np.log(np.array([1.0, 2.0, 3.0, 94.0]))
    candidates = np.array([True, True, True, False])
    assert np.exp(log_weight(scores, 2, candidates)) == pytest.approx(0.5)
    assert log_weight(scores + 7, 2, candidates) == pytest.approx(np.log(0.5))


def test_an_item_that_cannot_be_scored_does_not_compete():
    scores = np.array([0.0, 0.0, -np.inf])
    assert np.exp(log_weight(scores, 0, np.ones(3, bool))) == pytest.approx(0.5)


def test_gains_do_not_hang_on_the_constant_of_each_session():
    rng = np.random.default_rng(0)
    whole, other = rng.normal(size=(2, 9))
    everything = np.ones(9, bool)
    assert leave_one_out(whole, [whole + 3], 4, everything) == pytest.approx([0])
    one = leave_one_out(whole, [other], 4, everything)
    assert leave_one_out(whole, [other - 5], 4, everything) == pytest.approx(one)


def test_the_panel_holds_what_leaving_each_element_out_does(shop, session):
    item = shop.recommender.recommend(session.values, 3, True, "vision")["item_id"].iat[1]
    found = explain(shop, session, item, "vision")
    assert found.rank == 2
    assert found.parts is None
    assert len(found.elements) == 3
    row = shop.catalogue.rows[item]
    free = np.ones(len(shop.catalogue.items), bool)
    free[[shop.catalogue.rows[e.item_id] for e in session.elements]] = False
    logs = []
    for part in (session.values, [session.values[0], session.values[2]]):
        scores = shop.recommender.scores(part, "vision").astype(float)
        logs.append(scores[row] - np.log(np.exp(scores[free]).sum()))
    assert found.elements["gain"].iat[1] == pytest.approx(logs[0] - logs[1], abs=1e-5)
    assert found.weight == pytest.approx(np.exp(logs[0]), rel=1e-5)


def test_a_seen_item_and_a_session_of_one_are_explained_too(shop):
    session = VisitorSession().add(shop.catalogue.element("item-0001"))
    found = explain(shop, session, "item-0001", "tpad", exclude_seen=True)
    assert found.rank == 0
    assert np.isnan(found.elements["gain"]).all()
    html = explain_views.panel(found, "TPAD")
    assert "nan" not in html
    assert "nothing to compare with" in html


def test_faults_are_told_in_a_sentence(shop, session):
    with pytest.raises(DataError, match="reload"):
        explain(shop, session, "no such item", "tpad")
    with pytest.raises(ConfigError, match="empty"):
        explain(shop, VisitorSession(), "item-0001", "tpad")


def test_an_item_that_is_never_shown_is_not_explained(shop, session):
    cold = shop.catalogue.items.query("is_cold")["item_id"].iat[0]
    with pytest.raises(ConfigError, match="never shown"):
        explain(shop, session, cold, "tpad", exploration=0.0)
    assert explain(shop, session, cold, "tpad", exploration=1.0).rank > 0


def test_the_panel_follows_the_share_of_new_items(shop, session):
    cold = shop.catalogue.items.query("is_cold")["item_id"].iat[0]
    few, many = (explain(shop, session, cold, "tpad", exploration=s) for s in (0.1, 0.5))
    offsets = [{r.part: r.value for r in one.reasons}.get("offset", 0.0) for one in (few, many)]
    assert offsets == pytest.approx([0.0, 2.0])
    assert few.weight < many.weight
    assert few.elements["gain"].notna().all()


PARTS = {"nu": 10, "tau": 10, "fields": 4}


def test_a_part_is_put_at_the_mean_of_the_catalogue(shop):
    model, rows = shop.recommender.bundle.recommenders["tpad"], np.array([1, 3])
    features, none = model.network.features, np.zeros((0, 24), np.float32)
    table = occlusion(model, rows, none, 7, PARTS).set_index("part")
    changed = features[[7, 7]].copy()
    changed[1, 10:20] = features.mean(0)[10:20]
    one, other = model.scores_of_new(model.query(rows), changed)
    assert table["fall"]["tau"] == pytest.approx(one - other)
    assert list(table.index) == ["nu", "tau", "fields"]
    assert table["fall"].abs().min() > 0
    without = occlusion(model, rows, none, 7, {"tau": 10, "nu": 14})
    assert list(without["part"]) == ["tau", "nu"]


def test_the_network_gains_by_what_leaving_an_element_out_does(shop):
    model, rows = shop.recommender.bundle.recommenders["tpad"], np.array([1, 3, 4])
    none = np.zeros((0, 24), np.float32)
    gains = network_gains(model, rows, none, 7)
    whole, without = (score_parts(model, r, 7).network for r in (rows, np.array([1, 4])))
    assert gains[1] == pytest.approx(whole - without, abs=1e-5)
    assert network_gains(model, rows[:1], none, 7).tolist() == [0]


def test_shares_are_those_of_the_parts_that_speak_for_the_item():
    assert shares(np.array([3.0, 1.0, -2.0])) == pytest.approx([0.75, 0.25, np.nan], nan_ok=True)
    assert np.isnan(shares(np.array([-1.0, 0.0]))).all()


def test_parts_are_compared_around_the_mean():
    features = np.array([[10.0, 1, 0], [10, 0, 1], [10, -1, -1], [10, 0, 0]])
    parts = {"nu": 1, "tau": 2}
    found = part_cosines(features, features[0], 2 * features[0], parts)
    assert found["tau"] == pytest.approx(1)
    assert part_cosines(features, features[0], features[0], parts)["nu"] == 0  # it never differs


def test_neighbours_leave_the_item_out_and_come_nearest_first(shop):
    fitted = shop.recommender.bundle.recommenders["vision"].network
    rows, cosines = nearest(fitted, 4, 5)
    assert 4 not in rows
    assert (np.diff(cosines) <= 0).all()
    scaled = fitted.standardised(fitted.features)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    assert cosines[0] == pytest.approx(np.delete(scaled @ scaled[4], 4).max(), abs=1e-5)


def test_parts_of_a_representation_with_the_session_of_an_upload(shop, session, monkeypatch):
    monkeypatch.setitem(shop.recommender.bundle.info, "parts", {"tpad": PARTS})
    upload = Element("", "mine", content=NewItem(title="red case"), key="upload:1")
    mixed = session.add(upload).add(shop.catalogue.element("item-0009"))
    found = explain(shop, mixed, "item-0020", "tpad")
    model, places = shop.recommender.bundle.recommenders["tpad"], np.array([1, 3, 4, 60, 9])
    expected = occlusion(model, places, shop.recommender.encode([upload.value]), 20, PARTS)
    np.testing.assert_allclose(found.parts["fall"], expected["fall"], atol=1e-3)
    assert set(found.similarity) == {"tau", "nu"}
    assert explain(shop, mixed, "item-0020", "vision").parts is None
    assert "Transitional" in explain_views.panel(found, "TPAD")


def test_the_demo_bundle_names_its_parts():
    bundle = Bundle.load("assets/demo", verify="fast")
    assert list(bundle.parts["tpad"]) == ["tau", "nu", "fields"]
    for name in bundle.sets:
        assert sum(bundle.parts[name].values()) == bundle.embeddings[name].shape[1]


def explanation(**changes) -> Explanation:
    facts = {
        "item": pd.Series({"title": HOSTILE, "picture": "", "is_cold": True}),
        "model": "tpad",
        "rank": 3,
        "weight": 0.02,
        "even": 0.001,
        "reasons": [],
        "elements": pd.DataFrame(
            {"title": [HOSTILE, "b", "c"], "picture": "", "gain": np.log([4.0, 0.5, 1.01])}
        ),
        "parts": pd.DataFrame({"part": ["tau", "nu"], "fall": [2.0, -0.5], "share": [1.0, np.nan]}),
        "similarity": {"tau": -0.25, "nu": 0.5},
        "neighbours": pd.DataFrame({"title": [HOSTILE], "picture": "", "cosine": [0.9]}),
    } | changes
    return Explanation(**facts)


def test_the_panel_in_words():
    page = Reader(explain_views.panel(explanation(), "TPAD"))
    text = " ".join(page.text.split())
    for said in (
        "rank 3 with TPAD",
        "2.0% of the model’s weight, 20× an equal share",
        "not probabilities",
        "4.0× the weight without it",
        "0.50× the weight without it",
        "hardly matters",
        "100% of the match",
        "lowers the score",
        "score rises by 0.50 without it",
        "transitional −0.25, look-alike 0.50",
    ):
        assert said in text
    assert "script" not in [tag for tag, _ in page.tags]
    widths = [a["style"] for _, a in page.tags if a.get("class") in ("tp-for", "tp-against")]
    assert widths[:2] == ["width:50.0%", "width:25.0%"]


def test_a_model_without_parts_shows_no_section_of_parts():
    assert "How it matches" not in explain_views.panel(explanation(parts=None), "Vision")


def test_nothing_is_called_likely_as_scores_are_no_probabilities():
    page = explain_views.panel(explanation(), "TPAD")
    assert "likely" not in page
    assert any("not probabilities" in limit for limit in LIMITS)
