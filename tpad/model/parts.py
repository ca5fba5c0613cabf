"""The parts of an embedding: which of its columns hold what.

An embedding set concatenates parts, such as `tau`, `nu` and `fields` for TPAD, or `vision` and `tfidf`. The
recommender compares items part by part, so that a part with more or larger numbers does not outweigh the
others (`tpad.model.session.content_space`).
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from tpad.errors import ConfigError

TAU, NU, FIELDS = "tau", "nu", "fields"
"""Names of TPAD's parts: transitional, intrinsic, and price and category."""

Parts = Mapping[str, int]
"""Name of each part -> number of its columns, in their order."""


def columns(parts: Parts) -> dict[str, slice]:
    """The columns of each part."""
    bounds = np.cumsum([0, *parts.values()]).tolist()
    return {name: slice(*ends) for name, ends in zip(parts, pairwise(bounds), strict=True)}


def sizes(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The parts whose columns are given: name -> (n, d)."""
    return {name: array.shape[1] for name, array in arrays.items()}


def compared(parts: Parts | None, width: int) -> dict[str, int]:
    """The parts that are compared on their own: name -> number of columns, in their order.

    Price and category are few numbers that many items share, so they are compared together with the part
    before them.

    Args:
        parts: of the embeddings; None for one part.
        width: number of columns of the embeddings.

    Raises:
        ConfigError: the parts have another number of columns.
    """
    if not parts:
        return {"": width}
    if sum(parts.values()) != width:
        raise ConfigError(
            f"The parts {dict(parts)} have {sum(parts.values())} columns, but the embeddings {width}."
        )
    result: dict[str, int] = {}
    for name, size in parts.items():
        if name == FIELDS and result:
            result[next(reversed(result))] += size
        elif size:
            result[name] = size
    return result
