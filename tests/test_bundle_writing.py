"""Bundles: written whole, exported whole or in part, described by a card."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, load, make_fake_bundle
from safetensors.numpy import load_file

import tpad
from tpad.bundle import export_bundle, write_bundle
from tpad.bundle.card import model_card
from tpad.bundle.files import read_info
from tpad.errors import BundleError, ConfigError
from tpad.model.embedding_sets import as_stored
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours


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

    def test_a_failure_leaves_the_old_bundle(self, parts, bundle_copy):
        before = (bundle_copy / "bundle.json").read_bytes()

        class Broken(FakeEncoder):
            def save(self, folder):
                raise RuntimeError("disk full")

        with pytest.raises(RuntimeError, match="disk full"):
            write_bundle(bundle_copy, **parts | {"encoder": Broken()})
        assert (bundle_copy / "bundle.json").read_bytes() == before
        assert [path.name for path in bundle_copy.parent.iterdir()] == ["copy"]
        load(bundle_copy)

    def test_replaces_a_bundle_but_nothing_else(self, parts, bundle_copy, tmp_path):
        write_bundle(bundle_copy, **parts)
        assert load(bundle_copy).config == {"seed": 3}
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
        with pytest.raises(ConfigError, match="exists and is not a bundle"):
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

    def test_a_copy_without_sessions_has_no_session_neighbours(self, fake_bundle, tmp_path):
        """They are the training sessions."""
        bundle = load(fake_bundle)
        model = bundle.recommenders["tpad"]
        near = SessionNeighbours.fit(bundle.dataset.train, len(bundle.dataset), NeighboursConfig())
        model.neighbours, model.weights = near, replace(model.weights, neighbours=2.0)
        export_bundle(bundle, tmp_path / "out", sets=["tpad"], sessions=False)
        copy = load(tmp_path / "out", verify="full").recommenders["tpad"]
        assert copy.neighbours is None and copy.weights.neighbours == 0
        assert "neighbours.indices" not in load_file(
            tmp_path / "out" / "recommenders" / "tpad.safetensors"
        )

    def test_a_changed_picture_is_not_passed_on(self, bundle_copy, tmp_path):
        path = bundle_copy / "images" / "item-0003.webp"
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(BundleError, match="was changed"):
            export_bundle(load(bundle_copy), tmp_path / "out")
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
        assert "60 items, 6 of them cold (in no training session)" in card
        assert "not been evaluated" in card
        assert card.startswith("---\nlibrary_name: tpad\n")

    def test_a_table_of_metrics(self, fake_bundle):
        metrics = pd.DataFrame({"model": ["a|b", "tpad"], "P@20": [0.25, 0.5], "seeds": [3, 3]})
        info = read_info(fake_bundle) | {"base": {"hub_id": "org/m", "revision": "r1"}}
        card = model_card(info, metrics=metrics, metrics_note="On test sessions.")
        assert "| model | P@20 | seeds |\n| --- | --- | --- |\n| a\\|b | 0.250 | 3 |" in card
        assert "On test sessions." in card and "has not been evaluated" not in card
        assert "`org/m`, revision `r1`" in card
