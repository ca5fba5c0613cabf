"""Loads an item encoder that needs no base model."""

from typing import Any

from safetensors.numpy import load_file

from tpad.bundle.contents import ListedFiles, read_json, reading
from tpad.model.given_features import TFIDF, GivenFeatures
from tpad.model.plain_features import FieldFeatures, TextFeatures
from tpad.model.vector_encoder import ARRAYS, VectorEncoder


def load_vector_encoder(files: ListedFiles, facts: dict[str, Any]) -> VectorEncoder:
    """Load a `VectorEncoder` from the content of `encoder.json` and its other files; errors as in
    `tpad.bundle.encoder.load_encoder`."""
    file = files.file(ARRAYS)
    with reading(file):
        arrays = load_file(file)
    with reading(files.file("encoder.json")):
        [name] = facts["sets"]
        given = GivenFeatures.restore(facts["given"], arrays)
        text = read_text(files) if TFIDF in given.sizes else None
        fields = FieldFeatures.restore(facts["categories"], arrays)
        encoder = VectorEncoder(name, given, text, fields)
        encoder.check()
    return encoder


def read_text(files: ListedFiles) -> TextFeatures:
    """Load the TF-IDF features of a bundle."""
    file = files.file("text.json")
    with reading(file):
        vocabularies = read_json(file)
        return TextFeatures.restore(vocabularies, load_file(files.file("text.safetensors")))
