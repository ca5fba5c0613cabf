"""The bundle that ships: it is whole, small enough for a Space, and made by its own weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tpad
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import case_values
from eval.protocol import TestCases
from tpad.bundle import Bundle
from tpad.model.session.fused import FusionWeights
from tpad.training.fusion import FusionTuning
from tpad.training.inputs import contents

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "assets" / "demo"
pytestmark = pytest.mark.skipif(
    not (DEMO / "bundle.json").is_file(), reason="there is no demo bundle in assets/demo"
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(DEMO, verify="full")


def test_no_file_is_over_ten_megabytes():
    assert [f.name for f in DEMO.rglob("*") if f.is_file() and f.stat().st_size > 10_000_000] == []


def test_its_embeddings_are_what_its_weights_make_of_its_pictures(bundle):
    rows = np.random.default_rng(0).permutation(len(bundle.dataset))[:24]
    items = contents(bundle.dataset)
    shown = [replace(items[row], image=bundle.dataset.image(row)) for row in rows]
    made = bundle.encoder.encode(shown)
    for name in bundle.sets:
        # Stored embeddings come from pictures read in other batches.
        np.testing.assert_allclose(made[name], bundle.embeddings[name][rows], atol=2e-2, rtol=1e-2)


def test_a_cold_item_is_recommended_and_a_new_one_can_begin_a_session(bundle):
    shop = tpad.Recommender(bundle)
    cold = bundle.dataset.items["item_id"][bundle.cold]
    first = bundle.dataset.items["item_id"][int(np.flatnonzero(~bundle.cold)[0])]
    shown = shop.recommend([first], k=len(bundle.dataset))
    assert set(cold) <= set(shown["item_id"])
    new = tpad.NewItem(image=bundle.dataset.image(0), title="something nobody has seen")
    assert len(shop.recommend([new, first], k=5)) == 5


README_TITLES = {"tpad": "TPAD", "vision_tfidf": "vision tower + TF-IDF"}


def figures(page: Path, model: str) -> list[float]:
    """The first figures of a model's first row in a Markdown page: P@20 and MRR@20 of all, warm and
    cold targets."""
    lines = page.read_text("utf-8").splitlines()
    row = next(line for line in lines if line.startswith(f"| {model} |"))
    cells = [cell.strip().replace("*", "").partition(" ")[0] for cell in row.split("|")[2:8]]
    return [float(cell) for cell in cells]


@pytest.mark.parametrize("model", ["tpad", "vision_tfidf"])
def test_documentation_and_model_card_say_what_the_bundle_itself_reaches(bundle, model):
    cases = TestCases.of(bundle.dataset)
    ranks = rank_all(bundle.recommenders[model], cases, len(bundle.dataset), k=20).ranks
    own = [
        case_values(ranks[cases.slice(part)], metric, 20).mean()
        for part in ("all", "warm", "cold")
        for metric in ("P", "MRR")
    ]
    assert figures(DEMO / "README.md", model) == pytest.approx(own, abs=6e-4)
    # The documentation gives means over three seeds of the recommender; the bundle's is one.
    documented = figures(ROOT / "docs" / "results" / "demo.md", model)
    assert documented == pytest.approx(own, abs=0.02)
    assert figures(ROOT / "README.md", README_TITLES[model]) == documented


def test_every_recommender_is_tuned(bundle):
    for name in bundle.sets:
        model, tuning = (
            bundle.recommenders[name],
            FusionTuning.from_json(bundle.info["tuned"][name]),
        )
        assert (model.network.config, model.memory.config) == (tuning.network, tuning.memory)
        assert model.weights == tuning.weights != FusionWeights()
        assert model.exploration == tuning.exploration is not None
