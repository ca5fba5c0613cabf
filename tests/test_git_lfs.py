"""A pointer of Git LFS is named as such wherever a file is read."""

import shutil

import pytest

import tpad
from tpad.assets import DEMO_BUNDLE
from tpad.data.report import ReportBuilder
from tpad.data.tables import read_table
from tpad.data.vectors import VectorFile
from tpad.errors import BundleError, DataError, ModelError
from tpad.mllm.safety import check_checkpoint

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
NAMED = "is a Git LFS pointer, not the data itself"


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_table(tmp_path, name):
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(DataError, match=NAMED):
        read_table(tmp_path / name, ReportBuilder())


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.safetensors", "x.parquet"])
def test_vectors(tmp_path, name):
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(DataError, match=NAMED):
        VectorFile.read(tmp_path / name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_checkpoint(tmp_path, name):
    folder = shutil.copytree(DEMO_BUNDLE / "base", tmp_path / "base")
    (folder / name).write_text(POINTER)
    with pytest.raises(ModelError, match=f"{name} {NAMED}"):
        check_checkpoint(folder)


@pytest.mark.parametrize("name", ["bundle.json", "heads.safetensors", "images/item-0000.webp"])
def test_a_bundle(tmp_path, name):
    folder = shutil.copytree(DEMO_BUNDLE, tmp_path / "demo")
    (folder / name).write_text(POINTER)
    with pytest.raises(BundleError, match=NAMED):
        tpad.load(folder)
