"""Bundles: written whole, checked when opened, never trusted."""

import json
import os
import shutil
import socket
import subprocess
import sys

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, contents, make_fake_bundle, make_fake_dataset

import tpad
from tpad import Bundle
from tpad.bundle import export_bundle, write_bundle
from tpad.bundle.card import model_card
from tpad.bundle.files import read_info, summarise
from tpad.errors import BundleError, ConfigError
from tpad.model.embedding_sets import as_stored


@pytest.fixture
def copy(fake_bundle, tmp_path):
    """A bundle that a test may damage."""
    return shutil.copytree(fake_bundle, tmp_path / "copy")


def load(folder, **options):
    return Bundle.load(folder, encoder=FakeEncoder(), **options)


def edit_info(folder, **changes):
    info = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(info | changes))


def sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith((".", ")."))
    return text


class TestLoad:
    def test_parts_are_those_that_were_written(self, fake_bundle):
        bundle = load(fake_bundle)
        shop = tpad.Dataset.from_world(fake_bundle.with_name(fake_bundle.name + "-shop"))
        assert bundle.sets == ("tpad", "vision_tfidf", "knowledge", "vision")
        assert bundle.config == {"preset": "fake", "seed": 0}
        assert bundle.info["seeds"] == [0]
        assert bundle.dataset.fingerprint == shop.fingerprint
        assert bundle.info["dataset"]["fingerprint"] == shop.fingerprint
        assert bundle.cold.sum() == bundle.info["dataset"]["n_cold"] == 6
        for name in bundle.sets:
            assert bundle.recommenders[name].n_items == len(bundle.embeddings[name]) == 60
        assert bundle.dataset.image(3).size == (64, 64)

    def test_embeddings_are_what_the_encoder_gives_for_the_pictures(self, fake_bundle):
        bundle = load(fake_bundle)
        again = bundle.encoder.encode(contents(bundle.dataset))
        for name in bundle.sets:
            np.testing.assert_allclose(bundle.embeddings[name], again[name], atol=1e-5, rtol=1e-3)

    def test_a_set_that_is_not_there(self, fake_bundle):
        bundle = load(fake_bundle)
        assert "transfer" not in bundle.embeddings and "tpad" in bundle.embeddings
        with pytest.raises(KeyError):
            bundle.embeddings["transfer"]

    def test_no_bundle(self, tmp_path):
        for path in (tmp_path, tmp_path / "nowhere", tmp_path / "a" / "b"):
            with pytest.raises(BundleError, match="give the folder of a bundle") as error:
                Bundle.load(path)
            assert str(path) in sentence(error)

    def test_a_folder_has_no_revision(self, fake_bundle):
        with pytest.raises(ConfigError, match="no revision 'v2'"):
            Bundle.load(fake_bundle, "v2")


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "data", "words"),
        [
            ("bundle.json", b"{", "cannot be read as JSON"),
            ("bundle.json", b"[]", "format version None"),
            ("embeddings/tpad.safetensors", None, "is missing"),
            ("images/item-0003.webp", None, "is missing"),
            ("images/item-0003.webp", b"short", "has 5 bytes"),
            ("items.parquet", b"PAR1", "has 4 bytes"),
        ],
    )
    def test_damaged_files(self, copy, name, data, words):
        (copy / name).unlink()
        if data is not None:
            (copy / name).write_bytes(data)
        with pytest.raises(BundleError, match=words) as error:
            load(copy)
        assert name in sentence(error)

    @pytest.mark.parametrize("name", ["recommenders/vision.safetensors", "encoder.json"])
    def test_a_changed_byte(self, copy, name):
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(BundleError, match="was changed") as error:
            load(copy)
        assert name in sentence(error)
        load(copy, verify="fast")

    def test_a_changed_picture_is_found_by_the_full_check(self, copy):
        path = copy / "images" / "item-0003.webp"
        path.write_bytes(bytes(path.stat().st_size))
        load(copy)
        with pytest.raises(BundleError, match=r"item-0003\.webp was changed"):
            load(copy, verify="full")

    def test_another_format_version(self, copy):
        edit_info(copy, format_version=2)
        with pytest.raises(BundleError, match=r"format version 2, .* reads 1") as error:
            load(copy)
        assert "install" in sentence(error)

    @pytest.mark.parametrize(
        "name", ["model.pkl", "base/pytorch_model.bin", "adapters/a/x.PT", "base/modeling.py"]
    )
    def test_what_could_run_code_is_refused(self, copy, name):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"\x80\x04.")
        with pytest.raises(BundleError, match="can run code") as error:
            load(copy, verify="fast")
        assert name in sentence(error)

    @pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../b", "c:\\x", "a\\b"])
    def test_a_name_that_leads_out(self, copy, name):
        info = read_info(copy)
        edit_info(
            copy,
            checksums=info["checksums"] | {name: "0" * 64},
            sizes=info["sizes"] | {name: 1},
        )
        with pytest.raises(BundleError, match="leads out") as error:
            load(copy)
        sentence(error)

    def test_a_set_name_that_leads_out(self, copy):
        edit_info(copy, sets=["tpad", "../../x"])
        with pytest.raises(BundleError, match="embedding sets"):
            load(copy)

    def test_a_link_that_leads_out(self, copy, tmp_path):
        target = tmp_path / "elsewhere"
        shutil.move(copy / "items.parquet", target)
        os.symlink(target, copy / "items.parquet")
        with pytest.raises(BundleError, match="link that leads out"):
            load(copy)

    def test_an_image_root_that_leads_out(self, copy):
        edit_info(copy, dataset=read_info(copy)["dataset"] | {"image_root": "../.."})
        with pytest.raises(BundleError, match="leads out"):
            load(copy).dataset  # noqa: B018

    @pytest.mark.parametrize("field", ["sets", "checksums", "sizes", "config", "dataset"])
    def test_a_field_that_is_missing(self, copy, field):
        edit_info(copy, **{field: None})
        with pytest.raises(BundleError, match=f"no usable field '{field}'"):
            load(copy)

    def test_a_part_that_is_not_listed(self, copy):
        info = read_info(copy)
        del info["checksums"]["recommenders/tpad.safetensors"]
        edit_info(copy, checksums=info["checksums"])
        with pytest.raises(BundleError, match="does not list recommenders/tpad"):
            load(copy)

    def test_embeddings_of_other_items(self, copy, fake_bundle):
        """Consistent checksums, but parts that do not belong together."""
        from safetensors.numpy import save_file

        save_file({"x": np.zeros((3, 24), np.float32)}, copy / "embeddings" / "tpad.safetensors")
        edit_info(copy, **summarise(copy))
        bundle = load(copy)
        with pytest.raises(BundleError, match=r"shape \(3, 24\), but there are 60 items"):
            bundle.embeddings["tpad"]

    def test_safetensors_that_are_none(self, copy):
        (copy / "embeddings" / "vision.safetensors").write_bytes(b"\x80\x04K\x01.")
        edit_info(copy, **summarise(copy))
        with pytest.raises(BundleError, match=r"vision.safetensors cannot be read"):
            load(copy).embeddings["vision"]

    def test_the_card_may_be_edited(self, copy):
        (copy / "README.md").write_text("edited on the hub")
        (copy / ".gitattributes").write_text("*.safetensors filter=lfs")
        load(copy, verify="full")

    def test_unknown_check(self, fake_bundle):
        with pytest.raises(ConfigError, match="standard, fast, full"):
            load(fake_bundle, verify="none")


class TestHub:
    def test_downloads_to_a_folder_of_its_own(self, fake_bundle, tmp_path, monkeypatch):
        def download(hub_id, *, revision, local_dir):
            assert (hub_id, revision) == ("shop/tpad-demo", "v1")
            shutil.copytree(fake_bundle, local_dir)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
        bundle = Bundle.load("shop/tpad-demo", "v1", encoder=FakeEncoder())
        assert bundle.path == tmp_path / "tpad" / "shop--tpad-demo@v1"
        assert bundle.dataset.image(0) is not None

    def test_without_network(self, tmp_path, monkeypatch):
        def refuse(*args, **kwargs):
            raise OSError("no network in tests")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(BundleError, match="cannot be got from the Hugging Face hub") as error:
            Bundle.load("shop/tpad-demo")
        assert "no folder shop/tpad-demo" in sentence(error)

    def test_a_repository_that_is_no_bundle(self, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
        with pytest.raises(BundleError, match=r"holds no bundle\.json"):
            Bundle.load("shop/other")


class TestWrite:
    @pytest.fixture
    def parts(self, fake_bundle):
        bundle = load(fake_bundle)
        return {
            "dataset": bundle.dataset,
            "encoder": FakeEncoder(),
            "embeddings": dict(bundle.embeddings),
            "recommenders": dict(bundle.recommenders),
            "config": {"seed": 3},
        }

    def test_extra_files_base_and_card(self, parts, tmp_path):
        (tmp_path / "arrivals").mkdir()
        (tmp_path / "arrivals" / "arrivals.csv").write_text("item_id\n")
        (tmp_path / "w.json").write_text("{}")
        write_bundle(
            tmp_path / "b",
            **parts,
            base={"hub_id": "org/model", "revision": "abc"},
            extra_files={"arrivals": tmp_path / "arrivals", "world.json": tmp_path / "w.json"},
            card="# Mine",
        )
        bundle = load(tmp_path / "b", verify="full")
        assert {"arrivals/arrivals.csv", "world.json"} <= bundle.info["checksums"].keys()
        assert bundle.info["base"] == {"hub_id": "org/model", "revision": "abc"}
        assert bundle.info["seeds"] == [3]
        assert (tmp_path / "b" / "README.md").read_text() == "# Mine"

    def test_embeddings_come_back_as_they_were_stored(self, parts, tmp_path):
        """In half of the bytes; what was rounded before is not changed by storing."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=parts["embeddings"]["tpad"].shape).astype(np.float32)
        x[0, :3] = [1e6, -1e6, 1e-9]
        embeddings = parts["embeddings"] | {"tpad": x}
        write_bundle(tmp_path / "b", **parts | {"embeddings": embeddings})
        read = load(tmp_path / "b").embeddings["tpad"]
        assert read.dtype == np.float32 and np.isfinite(read).all()
        np.testing.assert_array_equal(read, as_stored("tpad", x))
        np.testing.assert_array_equal(read, as_stored("tpad", read))
        np.testing.assert_allclose(read[1:], x[1:], rtol=1e-3, atol=1e-7)
        assert read[0, :3].tolist() == [65504, -65504, 0]
        file = tmp_path / "b" / "embeddings" / "tpad.safetensors"
        assert file.stat().st_size < 2 * x.size + 200

    def test_everybody_may_read_the_files(self, parts, tmp_path):
        (tmp_path / "private").mkdir()
        (tmp_path / "private" / "note.txt").write_text("arrivals")
        (tmp_path / "private" / "note.txt").chmod(0o600)
        (tmp_path / "private").chmod(0o700)
        write_bundle(tmp_path / "b", **parts, extra_files={"arrivals": tmp_path / "private"})
        export_bundle(load(tmp_path / "b"), tmp_path / "out")
        for folder in (tmp_path / "b", tmp_path / "out"):
            for path in [folder, *folder.rglob("*")]:
                expected = 0o755 if path.is_dir() else 0o644
                assert path.stat().st_mode & 0o777 == expected, path

    def test_a_failure_leaves_the_old_bundle(self, parts, copy):
        before = (copy / "bundle.json").read_bytes()

        class Broken(FakeEncoder):
            def save(self, folder):
                raise RuntimeError("disk full")

        with pytest.raises(RuntimeError, match="disk full"):
            write_bundle(copy, **parts | {"encoder": Broken()})
        assert (copy / "bundle.json").read_bytes() == before
        assert [path.name for path in copy.parent.iterdir()] == ["copy"]
        load(copy)

    def test_replaces_a_bundle_but_nothing_else(self, parts, copy, tmp_path):
        write_bundle(copy, **parts)
        assert load(copy).config == {"seed": 3}
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
        with pytest.raises(ConfigError, match="exists and is no bundle"):
            write_bundle(tmp_path / "thesis", **parts)
        assert (tmp_path / "thesis" / "chapter.txt").exists()

    def test_pictures_that_lie_elsewhere(self, parts, tmp_path):
        """The names in the table, and so the fingerprint, stay as they are."""
        dataset = parts["dataset"]
        shop = tmp_path / "shop"
        shutil.copytree(dataset.image_root / "images", shop / "posters" / "big")
        items = dataset.items.copy()
        items["image"] = items["image"].str.replace("images/", "posters/./big/")
        items.loc[4, "image"] = "posters/gone.webp"
        items.loc[5, "image"] = "../outside.webp"
        moved = tpad.Dataset(
            items, shop, dataset.train, dataset.validation, dataset.test, dataset.report
        )
        write_bundle(tmp_path / "b", **parts | {"dataset": moved})
        bundle = load(tmp_path / "b")
        assert bundle.dataset.fingerprint == moved.fingerprint
        assert (tmp_path / "b" / "images" / "posters" / "big" / "item-0000.webp").is_file()
        assert bundle.dataset.image(0).tobytes() == dataset.image(0).tobytes()
        assert bundle.dataset.image(4) is None and bundle.dataset.image(5) is None

    def test_parts_must_fit(self, parts, tmp_path):
        wrong = {"tpad": np.zeros((3, 24), np.float32)}
        with pytest.raises(BundleError, match="there are 60 items"):
            write_bundle(tmp_path / "b", **parts | {"embeddings": wrong})
        with pytest.raises(BundleError, match="needs its recommender"):
            write_bundle(tmp_path / "b", **parts | {"recommenders": {}})
        nan = {"tpad": np.full((60, 24), np.nan, np.float32)}
        with pytest.raises(BundleError, match="NaN"):
            write_bundle(tmp_path / "b", **parts | {"embeddings": nan})
        assert not (tmp_path / "b").exists()

    def test_without_pictures(self, tmp_path):
        path = make_fake_bundle(tmp_path / "plain", n_items=20, with_images=False, sets=("tpad",))
        bundle = load(path)
        assert bundle.dataset.image(0) is None
        assert not (path / "images").exists()


class TestExport:
    def test_the_copy_is_whole(self, fake_bundle, tmp_path):
        export_bundle(load(fake_bundle), tmp_path / "out")
        copy = load(tmp_path / "out", verify="full")
        assert copy.info == load(fake_bundle).info
        assert (tmp_path / "out" / "README.md").is_file()

    def test_without_sessions_it_recommends_the_same(self, fake_bundle, tmp_path):
        bundle = load(fake_bundle)
        export_bundle(bundle, tmp_path / "out", sets=["vision", "tpad"], sessions=False)
        copy = load(tmp_path / "out", verify="full")
        assert copy.sets == ("tpad", "vision")
        assert not (tmp_path / "out" / "recommenders" / "knowledge.safetensors").exists()
        assert [len(s) for s in (copy.dataset.train, copy.dataset.test)] == [0, 0]
        assert copy.popularity.tolist() == bundle.popularity.tolist()
        for model in copy.sets:
            pd.testing.assert_frame_equal(
                *(tpad.Recommender(b).recommend(["item-0001"], model=model) for b in (bundle, copy))
            )
        # A copy of the copy still knows the clicks.
        export_bundle(copy, tmp_path / "again", sessions=False)
        assert load(tmp_path / "again").popularity.tolist() == bundle.popularity.tolist()

    def test_a_changed_picture_is_not_passed_on(self, copy, tmp_path):
        path = copy / "images" / "item-0003.webp"
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(BundleError, match="was changed"):
            export_bundle(load(copy), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_what_cannot_be_exported(self, fake_bundle, tmp_path):
        bundle = load(fake_bundle)
        with pytest.raises(ConfigError, match="no embedding set nonsense"):
            export_bundle(bundle, tmp_path / "out", sets=["tpad", "nonsense"])
        with pytest.raises(ConfigError, match="is the bundle itself"):
            export_bundle(bundle, fake_bundle)


class TestCard:
    def test_states_the_data_and_that_nothing_was_measured(self, fake_bundle):
        info = read_info(fake_bundle)
        card = (fake_bundle / "README.md").read_text()
        assert info["dataset"]["fingerprint"] in card
        assert "60 items, 6 of them in no training session" in card
        assert "Nothing has been measured" in card
        assert card.startswith("---\nlibrary_name: tpad\n")

    def test_a_table_of_metrics(self, fake_bundle):
        metrics = pd.DataFrame({"model": ["a|b", "tpad"], "P@20": [0.25, 0.5], "seeds": [3, 3]})
        info = read_info(fake_bundle) | {"base": {"hub_id": "org/m", "revision": "r1"}}
        card = model_card(info, metrics=metrics, metrics_note="On test sessions.")
        assert "| model | P@20 | seeds |\n| --- | --- | --- |\n| a\\|b | 0.250 | 3 |" in card
        assert "On test sessions." in card and "Nothing has been measured" not in card
        assert "`org/m`, revision `r1`" in card


def test_importing_tpad_imports_nothing_slow():
    code = "import tpad, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "tpad" in loaded
    assert not {"torch", "pandas", "numpy", "PIL", "transformers"} & set(loaded)


def test_recommending_from_the_catalogue_imports_no_language_model(fake_bundle):
    code = (
        "import sys, tpad; shop = tpad.load(sys.argv[1]); shop.recommend(['item-0001'], 5); "
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    found = subprocess.check_output([sys.executable, "-c", code, str(fake_bundle)], text=True)
    assert "torch" in found.split()
    assert not {"transformers", "peft", "accelerate", "bitsandbytes"} & set(found.split())


def test_public_names_resolve():
    for name in tpad.__all__:
        assert getattr(tpad, name) is not None
    assert set(tpad.__all__) <= set(dir(tpad))
    with pytest.raises(AttributeError):
        tpad.nonsense  # noqa: B018


def test_fake_dataset_is_the_same_each_time(tmp_path):
    first, second = (make_fake_dataset(tmp_path / name) for name in "ab")
    assert first.fingerprint == second.fingerprint
