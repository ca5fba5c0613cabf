"""Loads the item encoder of a bundle from listed files, after checking each file."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tpad.bundle.contents import ListedFiles, read_json, reading

if TYPE_CHECKING:  # transformers and scikit-learn take seconds to import
    from tpad.model.item_encoder import ItemEncoder
    from tpad.model.vector_encoder import VectorEncoder


def load_encoder(
    folder: Path, *, device: str = "auto", listed: Collection[str] | None = None
) -> "ItemEncoder | VectorEncoder":
    """Load an encoder that its `save` wrote, and test it on a dummy item.

    Args:
        folder: folder of the bundle.
        device: device of the encoder.
        listed: files that may be opened; None for all files of the folder.

    Raises:
        BundleError: a part is missing, not listed, damaged, or does not match the others.
        ModelError: the base model cannot be downloaded from the hub.
        ConfigError: this machine has no such device, or none that supports 4 bits.
    """
    files = ListedFiles(Path(folder), listed)
    file = files.file("encoder.json")
    with reading(file):
        facts = read_json(file)
        if not isinstance(facts, dict):
            raise ValueError("it is not an object")
        categories = facts["categories"]
        if categories is not None and not all(isinstance(one, str) for one in list(categories)):
            raise ValueError("the categories are not a list of texts")
    if "base" not in facts:
        from tpad.bundle.vector_encoder import load_vector_encoder

        return load_vector_encoder(files, facts)
    from tpad.bundle.model_encoder import load_model_encoder

    return load_model_encoder(files, facts, device)
