"""Bundles: checked when opened, never trusted."""

import json
import os
import shutil
import socket

import huggingface_hub
import numpy as np
import pytest
from fake_bundle import FakeEncoder, contents, load, make_fake_dataset

import tpad
from tpad import Bundle
from tpad.bundle.files import read_info, summarise
from tpad.errors import BundleError, ConfigError


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
    def test_damaged_files(self, bundle_copy, name, data, words):
        (bundle_copy / name).unlink()
        if data is not None:
            (bundle_copy / name).write_bytes(data)
        with pytest.raises(BundleError, match=words) as error:
            load(bundle_copy)
        assert name in sentence(error)

    @pytest.mark.parametrize("name", ["recommenders/vision.safetensors", "encoder.json"])
    def test_a_changed_byte(self, bundle_copy, name):
        data = bytearray((bundle_copy / name).read_bytes())
        data[-2] ^= 1
        (bundle_copy / name).write_bytes(data)
        with pytest.raises(BundleError, match="was changed") as error:
            load(bundle_copy)
        assert name in sentence(error)
        load(bundle_copy, verify="fast")

    def test_a_changed_picture_is_found_by_the_full_check(self, bundle_copy):
        path = bundle_copy / "images" / "item-0003.webp"
        path.write_bytes(bytes(path.stat().st_size))
        load(bundle_copy)
        with pytest.raises(BundleError, match=r"item-0003\.webp was changed"):
            load(bundle_copy, verify="full")

    def test_another_format_version(self, bundle_copy):
        edit_info(bundle_copy, format_version=1)
        with pytest.raises(BundleError, match=r"format version 1, .* reads 3") as error:
            load(bundle_copy)
        assert "install" in sentence(error)

    @pytest.mark.parametrize(
        "name", ["model.pkl", "base/pytorch_model.bin", "adapters/a/x.PT", "base/modeling.py"]
    )
    def test_what_could_run_code_is_refused(self, bundle_copy, name):
        (bundle_copy / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle_copy / name).write_bytes(b"\x80\x04.")
        with pytest.raises(BundleError, match="can run code") as error:
            load(bundle_copy, verify="fast")
        assert name in sentence(error)

    @pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../b", "c:\\x", "a\\b"])
    def test_a_name_that_leads_out(self, bundle_copy, name):
        info = read_info(bundle_copy)
        edit_info(
            bundle_copy,
            checksums=info["checksums"] | {name: "0" * 64},
            sizes=info["sizes"] | {name: 1},
        )
        with pytest.raises(BundleError, match="leads out") as error:
            load(bundle_copy)
        sentence(error)

    def test_a_set_name_that_leads_out(self, bundle_copy):
        edit_info(bundle_copy, sets=["tpad", "../../x"])
        with pytest.raises(BundleError, match="embedding sets"):
            load(bundle_copy)

    def test_a_link_that_leads_out(self, bundle_copy, tmp_path):
        target = tmp_path / "elsewhere"
        shutil.move(bundle_copy / "items.parquet", target)
        os.symlink(target, bundle_copy / "items.parquet")
        with pytest.raises(BundleError, match="link that leads out"):
            load(bundle_copy)

    def test_an_image_root_that_leads_out(self, bundle_copy):
        edit_info(bundle_copy, dataset=read_info(bundle_copy)["dataset"] | {"image_root": "../.."})
        with pytest.raises(BundleError, match="leads out"):
            load(bundle_copy).dataset  # noqa: B018

    @pytest.mark.parametrize("field", ["sets", "checksums", "sizes", "config", "dataset"])
    def test_a_field_that_is_missing(self, bundle_copy, field):
        edit_info(bundle_copy, **{field: None})
        with pytest.raises(BundleError, match=f"no usable field '{field}'"):
            load(bundle_copy)

    def test_a_part_that_is_not_listed(self, bundle_copy):
        info = read_info(bundle_copy)
        del info["checksums"]["recommenders/tpad.safetensors"]
        edit_info(bundle_copy, checksums=info["checksums"])
        with pytest.raises(BundleError, match="does not list recommenders/tpad"):
            load(bundle_copy)

    def test_embeddings_of_other_items(self, bundle_copy, fake_bundle):
        """Consistent checksums, but parts that do not belong together."""
        from safetensors.numpy import save_file

        save_file(
            {"x": np.zeros((3, 24), np.float32)}, bundle_copy / "embeddings" / "tpad.safetensors"
        )
        edit_info(bundle_copy, **summarise(bundle_copy))
        bundle = load(bundle_copy)
        with pytest.raises(BundleError, match=r"shape \(3, 24\), but there are 60 items"):
            bundle.embeddings["tpad"]

    def test_safetensors_that_are_none(self, bundle_copy):
        (bundle_copy / "embeddings" / "vision.safetensors").write_bytes(b"\x80\x04K\x01.")
        edit_info(bundle_copy, **summarise(bundle_copy))
        with pytest.raises(BundleError, match=r"vision.safetensors cannot be read"):
            load(bundle_copy).embeddings["vision"]

    def test_the_card_may_be_edited(self, bundle_copy):
        (bundle_copy / "README.md").write_text("edited on the hub")
        (bundle_copy / ".gitattributes").write_text("*.safetensors filter=lfs")
        load(bundle_copy, verify="full")

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
        with pytest.raises(
            BundleError, match="cannot be downloaded from the Hugging Face hub"
        ) as error:
            Bundle.load("shop/tpad-demo")
        assert "no folder shop/tpad-demo" in sentence(error)

    def test_a_repository_that_is_no_bundle(self, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
        with pytest.raises(BundleError, match=r"holds no bundle\.json"):
            Bundle.load("shop/other")


def test_fake_dataset_is_the_same_each_time(tmp_path):
    first, second = (make_fake_dataset(tmp_path / name) for name in "ab")
    assert first.fingerprint == second.fingerprint
