"""Titles of the models in a results database."""

from eval.models.naming import NEIGHBOURS, VARIANT
from tpad.model.embedding_sets import EMBEDDING_SETS
from tpad.training.ablations.definitions import ABLATIONS

WITH_TEXT = "_tfidf"
REFERENCES = {"attributes": "True attributes", "oracle": "Oracle"}


def model_title(name: str) -> str:
    """A model's name in words; an unknown name is returned as it is."""
    from eval.baselines.registry import BASELINES  # imports torch, which the page starts without

    if name in BASELINES:
        return BASELINES[name].title
    if name in EMBEDDING_SETS:
        return EMBEDDING_SETS[name].title
    if name.endswith(NEIGHBOURS):
        return f"Neighbours, {model_title(name.removesuffix(NEIGHBOURS))}"
    if name.startswith(VARIANT):
        part = name.removeprefix(VARIANT)
        return f"TPAD, {ABLATIONS[part][0] if part in ABLATIONS else part}"
    if name.endswith(WITH_TEXT):
        return f"{model_title(name.removesuffix(WITH_TEXT))} + TF-IDF"
    return REFERENCES.get(name, name)
