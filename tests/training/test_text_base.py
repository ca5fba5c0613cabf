"""A text-only base model, as a folder and as a GGUF file: from the tables to the app."""

import numpy as np
import pytest
from fake_bundle import make_fake_dataset, picture
from mllm_models import make_text, save
from safetensors.numpy import save_file

import tpad
from app.shell.actions import uploaded
from app.ui import open_shop
from tpad import Bundle, DataError, NewItem
from tpad.__main__ import main
from tpad.bundle import export_bundle
from tpad.bundle.card import model_card
from tpad.data.dataset import Dataset
from tpad.errors import ConfigError
from tpad.mllm.image_cache import ImageCache
from tpad.training.base import Base
from tpad.training.config import TrainingConfig, preset
from tpad.training.pipeline import train

CLIP = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
SMALL = {"alignment.steps": 3, "alignment.batch_size": 8, "alignment.width": 8}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Folder of the tables of a small shop with pictures, and of vectors of most of its items."""
    folder = tmp_path_factory.mktemp("shop")
    make_fake_dataset(folder)
    ids = [f"item-{row:04d}" for row in range(60)]
    save_file(dict(zip(ids[:50], CLIP, strict=False)), folder / "clip.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a language model."""
    return save(make_text("llama"), tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="module", params=["folder", "gguf"])
def base(request, model, tmp_path_factory):
    if request.param == "folder":
        return model
    pytest.importorskip("gguf", reason='needs pip install "tpad[gguf]"')
    from gguf_models import write_gguf

    return write_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


def options(shop, base, *more: str) -> list[str]:
    tables = ["--items", shop / "items.csv", "--interactions", shop / "interactions.csv"]
    settings = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    words = ["train", *tables, "--preset", "smoke", "--mllm", base, "--device", "cpu", *settings]
    return [*map(str, words), *more]


@pytest.fixture(scope="module")
def folder(shop, base, tmp_path_factory):
    """A bundle, trained without opening a picture once the tables are read."""
    out = tmp_path_factory.mktemp("run") / "bundle"
    clip = ["--features", f"clip={shop / 'clip.safetensors'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "image", lambda *_: pytest.fail("a picture was opened"))
        assert main([*options(shop, base, *clip), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def recommender(folder):
    return tpad.load(folder, device="cpu")


def test_the_bundle_has_no_set_of_a_vision_tower(folder, base):
    bundle = Bundle.load(folder, verify="full", device="cpu")
    assert bundle.sets == ("tpad", "knowledge")
    assert bundle.info["config"]["inputs"] == "text"
    assert bundle.info["base"] == {
        "path": "base",
        "name": base.name,
        "family": "llama",
        "sees": False,
    }
    files = sorted(path.name for path in (folder / "base").iterdir())
    assert "model.safetensors" in files and not [name for name in files if name.endswith(".gguf")]
    [cache] = folder.with_name("bundle.work").glob("pictures*/images.safetensors")
    assert len(ImageCache.load(cache)) == 60 and not ImageCache.load(cache).has_image.any()
    card = (folder / "README.md").read_text("utf-8")
    assert (
        f"- Base model: `{base.name}`, in the folder `base`, a model of the family `llama`, "
        in card
    )
    assert "which reads no pictures" in card and "from the items' texts," in card
    assert "from the items' pictures and texts," in model_card(bundle.info | {"base": {}})


def test_the_stored_embeddings_are_those_of_the_encoder(recommender, folder):
    bundle = recommender.bundle
    row = bundle.dataset.items.iloc[3]
    same = NewItem(None, row.title, "", row.category, row.price, {"clip": CLIP[3]})
    for name, vectors in bundle.embeddings.items():
        np.testing.assert_allclose(
            bundle.encoder.encode([same], [name])[name][0], vectors[3], rtol=1e-2, atol=2e-3
        )


def test_pictures_of_new_items_are_ignored(recommender):
    plain, shown = NewItem(title="red case"), NewItem(picture("red", 0), "red case")
    assert (recommender.encode([plain]) == recommender.encode([shown])).all()
    assert len(recommender.recommend(["item-0003", shown], k=5)) == 5
    with_vectors = NewItem(picture("red", 0), vectors={"clip": CLIP[3]})
    assert len(recommender.recommend([with_vectors], k=3)) == 3
    for element in (picture("red", 0), NewItem(picture("red", 0), category="Phones")):
        with pytest.raises(DataError, match="reads no pictures; give the new item a title or"):
            recommender.recommend(["item-0003", element])


def test_items_can_be_added(folder, shop):
    recommender = tpad.load(folder, device="cpu")
    rows = recommender.items.iloc[[3, 4]].assign(item_id=["new-1", "new-2"])
    assert recommender.add_items(rows, image_root=shop) == 2
    with pytest.raises(DataError, match="reads no pictures"):
        recommender.add_items(rows.assign(item_id=["new-3", "new-4"], title=""), image_root=shop)
    assert "new-3" not in recommender.items["item_id"].tolist()


def test_an_export_is_the_same_model(recommender, folder, tmp_path):
    export_bundle(recommender.bundle, tmp_path / "copy", sets=["tpad"])
    copy = tpad.load(tmp_path / "copy", device="cpu")
    new = NewItem(title="red case")
    np.testing.assert_array_equal(copy.encode([new]), recommender.encode([new]))


def test_an_upload_needs_a_title(recommender, tmp_path):
    shown = open_shop(recommender, None)
    picture("red", 0).save(tmp_path / "upload.png")
    assert uploaded(shown, str(tmp_path / "upload.png"), "red case", "").title == "red case"
    with pytest.raises(DataError, match="give the new item a title"):
        uploaded(shown, str(tmp_path / "upload.png"), "", "")


def test_a_base_is_identified_by_its_content(base, tmp_path):
    first = Base.find(str(base))
    assert first.record == {"path": "base"} and not first.may_see and not first.is_hub
    assert first.fingerprint == Base.find(str(base)).fingerprint
    if base.is_file():
        other = tmp_path / "other.gguf"
        other.write_bytes(base.read_bytes())
        assert Base.find(str(other)).fingerprint == first.fingerprint
        other.write_bytes(base.read_bytes() + b"\0")
        assert Base.find(str(other)).fingerprint != first.fingerprint
    with pytest.raises(ConfigError, match="has no revision 'main'"):
        Base.find(str(base), "main")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--set", 'baselines=["vision"]'], "'vision' needs a vision tower"),
        (["--set", 'baselines=["tfidf","vision_tfidf"]'], "'vision_tfidf' needs a vision tower"),
        (["--set", "inputs=image"], "text-only, so it cannot read pictures"),
        (["--ablation", "image-only"], "text-only, so it cannot read pictures"),
        (["--visual-tokens", "16"], "is text-only; leave out visual_tokens"),
    ],
)
def test_what_needs_pictures_is_refused(shop, model, tmp_path, capsys, more, says):
    arguments = [*options(shop, model, *more), "--out", str(tmp_path / "bundle")]
    assert main(arguments) != 0
    assert says in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_from_python_the_sets_must_fit(model, dataset, tmp_path):
    with pytest.raises(ConfigError, match="'vision_tfidf' needs a vision tower"):
        train(dataset, Base(str(model)), preset("smoke"), tmp_path / "bundle", quiet=True)
    fitted = TrainingConfig().without_pictures()
    assert fitted.baselines == ("knowledge", "tfidf", "random")
    assert (fitted.inputs, fitted.imagined.per_item) == ("text", 0)
    fitted.check_without_pictures()


def test_no_ablation_needs_pictures(shop, model, tmp_path, capsys):
    arguments = ["ablate", *options(shop, model)[1:], "--out", str(tmp_path / "sets")]
    assert main([*arguments, "--only", "text-only", "no-fields"]) == 0
    written = sorted(path.stem for path in (tmp_path / "sets").iterdir() if path.is_file())
    assert written == ["full", "no-fields"]
    assert "text-only: skipped" in capsys.readouterr().out


def test_a_bundle_without_k_tau_reads_items_with_the_frozen_model(shop, model, tmp_path):
    arguments = [*options(shop, model), "--set", "alignment.steps=0", "--set", "baselines=[]"]
    assert main([*arguments, "--out", str(tmp_path / "bundle")]) == 0
    recommender = tpad.load(tmp_path / "bundle", device="cpu")
    bundle = recommender.bundle
    assert list(bundle.parts["tpad"]) == ["nu", "fields"]
    assert not list((tmp_path / "bundle" / "adapters").glob("*"))
    row = bundle.dataset.items.iloc[3]
    same = NewItem(None, row.title, "", row.category, row.price)
    read = bundle.encoder.encode([same])["tpad"][0]
    np.testing.assert_allclose(read, bundle.embeddings["tpad"][3], rtol=1e-2, atol=2e-3)
    assert len(recommender.recommend(["item-0003", same], k=5)) == 5


def test_by_default_there_is_no_k_tau_to_leave_out(shop, model, tmp_path, capsys):
    assert TrainingConfig().has_tau and not TrainingConfig().without_pictures().has_tau
    arguments = ["ablate", *options(shop, model)[1:], "--set", "alignment.steps=0"]
    arguments += ["--out", str(tmp_path / "sets"), "--only", "no-tau", "whole-stand-ins"]
    assert main(arguments) == 0
    assert [path.stem for path in (tmp_path / "sets").glob("*.safetensors")] == ["full"]
    said = capsys.readouterr().out
    assert "no-tau: skipped" in said and "whole-stand-ins: skipped" in said
