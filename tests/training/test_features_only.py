"""`--features-only`: recommenders on given vectors or TF-IDF, without a base model."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from app_server import launched
from fake_bundle import make_fake_dataset
from gradio_client import Client
from gradio_client.exceptions import AppError
from safetensors.numpy import save_file

import tpad
from app.dashboard.families import suggested_models
from app.shell.results import open_results
from app.ui import build_app, open_shop
from eval.__main__ import main as evaluate
from tpad import Bundle, ConfigError, DataError, NewItem
from tpad.__main__ import main
from tpad.assets import EMBEDDED_BASE
from tpad.bundle.encoder import load_encoder
from tpad.data.vectors import ItemVectors
from tpad.errors import BundleError, TpadError
from tpad.mllm import MLLM
from tpad.training.base import Base
from tpad.training.config import preset
from tpad.training.pipeline import train

CLIP = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Folder of the tables of a small shop, with vectors of its items."""
    folder = tmp_path_factory.mktemp("shop")
    make_fake_dataset(folder)
    ids = [f"item-{row:04d}" for row in range(60)]
    save_file(dict(zip(ids, CLIP, strict=True)), folder / "clip.safetensors")
    save_file(dict(zip(ids[:50], CLIP, strict=False)), folder / "some.safetensors")
    return folder


def options(shop, *features: str) -> list[str]:
    """Options that train on the tables, in seconds."""
    given = [part for one in features for part in ("--features", one)]
    tables = ["--items", shop / "items.csv", "--interactions", shop / "interactions.csv"]
    return [*map(str, tables), "--preset", "smoke", "--features-only", *given]


@pytest.fixture(scope="module")
def folders(shop, tmp_path_factory):
    """Set of the bundle -> the folder of a bundle that was trained without any language model."""
    out = tmp_path_factory.mktemp("bundles")
    clip = f"clip={shop / 'clip.safetensors'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLLM, "load", None)
        for name, features in {
            "clip": [clip],
            "tfidf": ["tfidf"],
            "clip_tfidf": [clip, "tfidf"],
        }.items():
            assert main(["train", *options(shop, *features), "--out", str(out / name)]) == 0
    return {folder.name: folder for folder in out.iterdir() if not folder.name.endswith(".work")}


@pytest.mark.parametrize("name", ["clip", "tfidf", "clip_tfidf"])
def test_the_bundle_has_one_set_and_no_base_model(folders, name):
    bundle = Bundle.load(folders[name], verify="full")
    assert bundle.sets == (name,) and bundle.info["base"] == {}
    assert not (folders[name] / "base").exists() and not (folders[name] / "adapters").exists()
    assert (folders[name] / "text.json").exists() == ("tfidf" in name)
    recommender = tpad.Recommender(bundle)
    assert len(recommender.recommend(["item-0003"], k=5)) == 5
    assert recommender.compare(["item-0003"], k=2)["model"].tolist() == [name, name]
    assert "Base model: none" in (folders[name] / "README.md").read_text()


def test_embeddings_are_the_vectors_with_price_and_category(folders):
    bundle = Bundle.load(folders["clip"])
    x = bundle.embeddings["clip"]
    np.testing.assert_allclose(x[:, :6], CLIP, rtol=1e-3)
    items = bundle.dataset.items
    new = NewItem(vectors={"clip": CLIP[4]}, category=items.category[4], price=items.price[4])
    np.testing.assert_allclose(bundle.encoder.encode([new])["clip"][0], x[4], rtol=2e-3, atol=1e-4)
    text = Bundle.load(folders["tfidf"]).embeddings["tfidf"]
    both = Bundle.load(folders["clip_tfidf"]).embeddings["clip_tfidf"]
    np.testing.assert_array_equal(both, np.concatenate([x[:, :6], text], axis=1))


def test_new_items_bring_their_vectors(folders, shop, tmp_path):
    recommender = tpad.load(folders["clip"])
    new = NewItem(vectors={"clip": CLIP[5]}, title="red case")
    assert len(recommender.recommend([new], k=3)) == 3
    assert recommender.scores_of(["item-0003"], [new]).shape == (1,)
    rows = recommender.items.iloc[[3, 4]].assign(item_id=["new-1", "new-2"], image="")
    with pytest.raises(DataError, match=r"needs item vectors: clip \(6 numbers\)"):
        recommender.add_items(rows)
    file = tmp_path / "new.safetensors"
    save_file({"new-1": CLIP[3], "new-2": CLIP[4]}, file)
    assert recommender.add_items(rows, vectors={"clip": file}) == 2
    np.testing.assert_allclose(recommender.encode(["new-2"])[0, :6], CLIP[4], rtol=1e-3)
    for wrong in (None, {"clip": CLIP[5, :2]}, {"other": CLIP[5]}, {"clip": [float("nan")]}):
        with pytest.raises(TpadError):
            recommender.recommend([NewItem(title="red case", vectors=wrong)])


def test_texts_are_enough_with_tfidf(folders):
    recommender = tpad.load(folders["tfidf"])
    assert len(recommender.recommend([NewItem(title="red phone")], k=3)) == 3
    known = recommender.items.iloc[0]
    same = NewItem(title=known.title, category=known.category, price=known.price)
    np.testing.assert_allclose(
        recommender.encode([same]), recommender.encode([known.item_id]), atol=1e-3
    )
    assert recommender.add_items({"new": same}) == 1


def test_serving_imports_no_transformers(folders):
    code = (
        "import sys\n"
        "import tpad\n"
        "shop = tpad.load(sys.argv[1])\n"
        "shop.recommend([tpad.NewItem(title='red phone')])\n"
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folders["tfidf"])], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_the_plan_has_no_stage_of_a_language_model(shop, folders, capsys):
    clip = f"clip={shop / 'clip.safetensors'}"

    def plan(out) -> list[str]:
        capsys.readouterr()
        assert main(["train", *options(shop, clip), "--out", str(out), "--plan"]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [" ".join(line.split()) for line in lines if " to run" in line or " cached" in line]

    assert plan(shop / "new") == ["embeddings to run"]
    assert plan(folders["clip"]) == [
        "embeddings cached",
        "tuning-clip cached",
        "recommender-clip cached after tuning-clip",
    ]


def test_eval_reports_on_the_main_set(folders, tmp_path, capsys):
    report, database = tmp_path / "report.md", tmp_path / "results.db"
    arguments = ["run", "--bundle", str(folders["clip"]), "--database", str(database)]
    arguments += ["--seeds", "0", "--models", "clip", "clip_neighbours", "popularity"]
    assert evaluate([*arguments, "--list"]) == 0
    roles = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert roles == {"clip": "tpad", "clip_neighbours": "baseline", "popularity": "baseline"}
    assert evaluate([*arguments, "--report", str(report)]) == 0
    assert "## clip compared with the best baseline" in report.read_text("utf-8")
    assert evaluate(["report", "--database", str(database), "--out", str(report)]) == 0
    assert "## clip compared with the best baseline" in report.read_text("utf-8")


def test_the_app_opens_the_bundle(folders, tmp_path):
    database = tmp_path / "results.db"
    arguments = ["run", "--bundle", str(folders["clip"]), "--database", str(database)]
    assert evaluate([*arguments, "--seeds", "0", "--models", "clip", "popularity"]) == 0
    results = open_results(database, read_only=True)
    recommender = tpad.load(folders["clip"])
    shown = open_shop(recommender, results)
    evaluation = shown.results.evaluation(shown.results.case_sets()[0].key)
    assert evaluation.subject == "clip" and suggested_models(evaluation)[0] == "clip"
    page = build_app(recommender, results)
    try:
        client = Client(launched(page), verbose=False)
        found = client.predict(["item-0003"], api_name="/recommend")
        expected = recommender.recommend(["item-0003"])["item_id"].tolist()
        assert [row["item_id"] for row in found] == expected
        with pytest.raises(AppError, match="needs item vectors: clip"):
            client.predict([{"title": "red phone"}], api_name="/recommend")
    finally:
        page.close()


@pytest.mark.parametrize(
    ("features", "more", "says"),
    [
        ([], [], "give --features NAME=FILE, or --features tfidf"),
        (["some=some"], [], "10 items, such as 'item-0050', have no vector"),
        (["tfidf"], ["--mllm", "model"], "leave out --mllm"),
        (["tfidf"], ["--ablation", "no-transfer"], "leave out --ablation"),
        (["tfidf"], ["--set", 'baselines=["random"]'], r"set baselines to \[\]"),
        (["tpad=clip"], [], "'tpad' is no usable name"),
        (["vision=clip"], [], "'vision' is no usable name"),
    ],
)
def test_errors_name_the_option(shop, tmp_path, capsys, features, more, says):
    files = [re.sub("=(.*)", rf"={shop}/\1.safetensors", one) for one in features]
    arguments = ["train", *options(shop, *files), *more, "--out", str(tmp_path / "bundle")]
    assert main(arguments) != 0
    assert re.search(says, capsys.readouterr().err)
    assert not (tmp_path / "bundle").exists()


def test_settings_and_base_model_must_fit(dataset, tmp_path):
    alone = preset("smoke").override("baselines", ()).override("features_only", True)
    config = alone.override("features", ("clip",))
    own = ItemVectors(np.ones((len(dataset), 2), np.float32), np.ones(len(dataset), bool))
    out = tmp_path / "bundle"
    with pytest.raises(ConfigError, match="uses no base model"):
        train(dataset, Base(str(EMBEDDED_BASE)), config, out, vectors={"clip": own}, quiet=True)
    with pytest.raises(ConfigError, match="There is no base model"):
        train(dataset, None, preset("smoke"), out, quiet=True)
    with pytest.raises(ConfigError, match="uses nothing but given vectors"):
        train(dataset, None, alone, out, quiet=True)


def test_a_damaged_encoder_is_refused(folders, tmp_path):
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    (copy / "vectors.safetensors").unlink()
    with pytest.raises(BundleError, match=r"vectors\.safetensors is missing"):
        load_encoder(copy)
    for means in (np.full(6, np.nan, np.float32), np.zeros(5, np.float32)):
        save_file({"given.clip": means}, copy / "vectors.safetensors")
        with pytest.raises(BundleError, match="the means of the given vectors"):
            load_encoder(copy)
