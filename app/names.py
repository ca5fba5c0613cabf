"""What a person reads for each model of a results database."""

TITLES = {
    "popularity": "Popularity",
    "session_popularity": "Popularity in the session",
    "markov": "Markov chain",
    "item_knn": "Item-kNN",
    "vsknn": "V-SKNN",
    "gru4rec": "GRU4Rec",
    "narm": "NARM",
    "srgnn": "SR-GNN",
    "sasrec": "SASRec",
    "attributes": "True attributes",
    "oracle": "Oracle",
}
NEIGHBOURS = "_neighbours"
WITH_TEXT = "_tfidf"
VARIANT = "tpad-"


def model_title(name: str, sets: dict[str, str]) -> str:
    """A model's name in words.

    Args:
        name: as stored.
        sets: human names of the embedding sets.
    """
    if name in sets:
        return sets[name]
    if name in TITLES:
        return TITLES[name]
    if name.startswith(VARIANT):
        return "TPAD, " + name.removeprefix(VARIANT).replace("-", " ")
    if name.endswith(NEIGHBOURS):
        return model_title(name.removesuffix(NEIGHBOURS), sets) + ", neighbours"
    if name.endswith(WITH_TEXT):
        return model_title(name.removesuffix(WITH_TEXT), sets) + " + TF-IDF"
    return name
