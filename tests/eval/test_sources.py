"""Embedding sets from files: what is appended before they are compared."""

from argparse import Namespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from eval.cli.sources import _extra
from eval.models.features import attribute_features, text_features
from tpad import ConfigError


@pytest.fixture
def given(shop, tmp_path):
    """Options that name a set of random vectors, and the vectors."""
    vectors = np.random.default_rng(0).standard_normal((len(shop), 7)).astype(np.float32)
    save_file({"features": vectors}, tmp_path / "net.safetensors")

    def options(*names, with_text=False):
        named = [f"{name}={tmp_path / 'net.safetensors'}" for name in names]
        return Namespace(embeddings=named, with_text=with_text)

    return options, vectors


def test_price_and_category_join_a_set_of_a_file_too(shop, given):
    options, vectors = given
    sets, parts = _extra(options("net"), shop)
    fields = attribute_features(shop)[:, 10:]
    assert list(sets) == ["net"]
    np.testing.assert_allclose(sets["net"], np.concatenate([vectors, fields], 1))
    assert parts == {"net": {"vectors": 7, "fields": fields.shape[1]}}


def test_with_text_a_set_is_also_compared_with_tfidf_appended(shop, given):
    options, vectors = given
    sets, parts = _extra(options("net", with_text=True), shop)
    assert list(sets) == ["net", "net_tfidf"]
    joined = np.concatenate([vectors, text_features(shop)], 1)
    np.testing.assert_allclose(sets["net_tfidf"], joined)
    assert list(parts["net_tfidf"]) == ["vectors", "tfidf", "fields"]


@pytest.mark.parametrize("names", [("net", "net"), ("net_tfidf", "net")])
def test_two_sets_of_one_name_are_refused(shop, given, names):
    options, _ = given
    with pytest.raises(ConfigError, match="different names"):
        _extra(options(*names, with_text=True), shop)
