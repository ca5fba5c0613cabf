"""Checks of what a database holds; invalid content is reported as damage, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from eval.metrics.ranks import Ranks
from tpad import DataError
from tpad.io.texts import half_character

CONTENT_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Raised when content has the wrong type, form or length."""

STATUSES = ("running", "done", "interrupted", "failed")


@contextmanager
def reporting_damage(name: str) -> Iterator[None]:
    """Turns errors caused by invalid content into a `DataError`.

    Args:
        name: of the database.

    Raises:
        DataError: the content is not what tpad writes.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} cannot hold a text with {half_character(error)}; remove it."
        ) from error
    except CONTENT_ERRORS as error:
        fault = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise DataError(f"{name} is damaged ({fault}); restore it from a copy.") from error


def decode_array(data: bytes, dtype: str, n: int, what: str) -> np.ndarray:
    """(n,) array from stored bytes.

    Args:
        data: the bytes.
        dtype: of the array.
        n: its length.
        what: what it is, for the error.

    Raises:
        ValueError: the number of bytes is wrong.
    """
    size = np.dtype(dtype).itemsize
    if len(data) != n * size:
        raise ValueError(f"{what} has {len(data):,} bytes instead of {n * size:,}")
    return np.frombuffer(data, dtype)


def decode_ranks(expected: bytes, ties: bytes, n: int, run_id: str) -> Ranks:
    """(n,) ranks of a run from stored bytes, see `schema.RankRow`.

    Raises:
        ValueError: there are not n of them, or a value is not a rank.
    """
    rank = decode_array(expected, "<f4", n, f"ranks of run {run_id}").astype(np.float64)
    if not (rank >= 1).all():  # False for NaN
        raise ValueError(f"a rank of run {run_id} is below 1")
    count = decode_array(ties, "<i4", n, f"ties of run {run_id}")
    above = np.where(count > 0, rank - (count + 1) / 2, 0)
    if (count < 0).any() or not ((above >= 0) & (above % 1 == 0)).all():
        raise ValueError(f"the ties of run {run_id} do not fit its ranks")
    return Ranks(above.astype(np.int32), count.astype(np.int32))


def decode_mask(data: bytes, n: int, name: str) -> np.ndarray:
    """(n,) bool of the slice `name`, from stored bits.

    Raises:
        ValueError: the number of bits is wrong.
    """
    bits = decode_array(data, "u1", (n + 7) // 8, f"slice {name!r}")
    return np.unpackbits(bits, count=n).astype(bool)


def check_config(config: Any, run_id: str) -> None:
    """Checks the parts of a run's config that reports read.

    Raises:
        ValueError: a part has another form.
    """
    imported, tuned = config.get("imported"), config.get("tuned")
    forms = [
        imported is None
        or (isinstance(imported, dict) and {"file", "longest_list"} <= set(imported)),
        not tuned or (isinstance(tuned, dict) and _is_complete(tuned)),
    ]
    if not all(forms):
        raise ValueError(f"the settings of run {run_id} are incomplete")


def _is_complete(tuned: dict) -> bool:
    if "weights" in tuned:  # of the fused recommender
        weights, network = tuned["weights"], tuned.get("network")
        if not (isinstance(weights, dict) and isinstance(network, dict)):
            return False
        printed = [
            weights.get(name) for name in ("network", "memory", "neighbours", "cosine", "offset")
        ]
        return all(isinstance(number, (int, float)) for number in [*printed, network.get("layers")])
    if "pca" in tuned:  # of the recommender of tpad 0.1.0
        return isinstance(tuned.get("cold_offset"), (int, float))
    return isinstance(tuned.get("settings"), dict)
