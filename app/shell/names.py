"""What a person reads for each model of a results database."""

from eval.models.names import NEIGHBOURS, VARIANT
from tpad.model.embedding_sets import EMBEDDING_SETS
from tpad.training.ablations.definitions import ABLATIONS

WITH_TEXT = "_tfidf"
KNOWING = {"attributes": "True attributes", "oracle": "Oracle"}


def model_title(name: str) -> str:
    """A model's name in words; a name that is not known stays as it is."""
    from eval.baselines.registry import BASELINES  # brings torch, which the page starts without

    if name in BASELINES:
        return BASELINES[name].title
    if name in EMBEDDING_SETS:
        return EMBEDDING_SETS[name].title
    if name.endswith(NEIGHBOURS):
        return f"Neighbours, {model_title(name.removesuffix(NEIGHBOURS))}"
    if name.startswith(VARIANT):
        what = name.removeprefix(VARIANT)
        return f"TPAD, {ABLATIONS[what][0]}" if what in ABLATIONS else f"TPAD, {what}"
    if name.endswith(WITH_TEXT):
        return f"{model_title(name.removesuffix(WITH_TEXT))} + TF-IDF"
    return KNOWING.get(name, name)
