"""The features of a bundle's items after each stage, for probes."""

import numpy as np

from tpad.bundle import Bundle
from tpad.mllm.features import encode_images
from tpad.model.item_encoder import STUDENT, TRANSFER, ItemEncoder
from tpad.model.parts import NU, TAU, columns
from tpad.training.inputs import contents


def probed_features(bundle: Bundle) -> dict[tuple[str, str], np.ndarray]:
    """Features of all items after each stage: (stage, name of the features) -> (n_items, d).

    A bundle without a base model has only embeddings.
    """
    dataset, encoder = bundle.dataset, bundle.encoder
    if not isinstance(encoder, ItemEncoder):
        return {("embedding", name): values for name, values in bundle.embeddings.items()}
    items = contents(dataset)
    hidden = encoder.reading.inputs == "text"
    images = encode_images(
        encoder.mllm, (None if hidden else dataset.image(row) for row in range(len(dataset)))
    )
    found: dict[tuple[str, str], np.ndarray] = {}
    passes = {"knowledge": (encoder.reading.knowledge_adapter, False)}
    passes |= {
        name: (name, name == TRANSFER)
        for name in (TRANSFER, STUDENT)
        if name in encoder.reading.adapters
    }
    for stage, (adapter, in_session) in passes.items():
        features = encoder.read(items, images, adapter, in_session)
        for name, values in features.items():
            if name == "vision" and stage != "knowledge":
                continue  # the vision tower is frozen, so these are equal in all stages
            found[stage, name] = values
    encoded = encoder.encode(items, images=images)
    for part, at in columns(encoder.parts["tpad"]).items():
        if part in (TAU, NU):
            found["heads", f"k_{part}"] = encoded["tpad"][:, at]
    for name, values in encoded.items():
        found["embedding", name] = values
    return found
