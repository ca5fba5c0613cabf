"""What a database's content must be like; anything else is damage, and is told in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from eval.metrics.ranks import Ranks
from tpad import DataError
from tpad.io.texts import half_character

FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading content of a wrong type, form or length raises."""

STATUSES = ("running", "done", "interrupted", "failed")


@contextmanager
def telling_damage(name: str) -> Iterator[None]:
    """Turns faults of the content into a sentence.

    Args:
        name: of the database.

    Raises:
        DataError: the content is not what this package writes.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} holds no text with {half_character(error)}; leave it out."
        ) from error
    except FAULTS as error:
        what = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise DataError(f"{name} is damaged ({what}); restore it from a copy.") from error


def array(data: bytes, dtype: str, n: int, what: str) -> np.ndarray:
    """(n,) array of stored bytes.

    Raises:
        ValueError: there are more or fewer bytes.
    """
    size = np.dtype(dtype).itemsize
    if len(data) != n * size:
        raise ValueError(f"{what} has {len(data):,} bytes instead of {n * size:,}")
    return np.frombuffer(data, dtype)


def ranks_of(expected: bytes, ties: bytes | None, n: int, run_id: str) -> Ranks:
    """(n,) ranks of a run as they are stored, see `schema.RankRow`.

    Raises:
        ValueError: they are not n, or one of them is no rank.
    """
    place = array(expected, "<f4", n, f"ranks of run {run_id}").astype(np.float64)
    if not (place >= 1).all():  # NaN is not
        raise ValueError(f"a rank of run {run_id} is below 1")
    if ties is None:
        return Ranks.of(place)
    count = array(ties, "<i4", n, f"ties of run {run_id}")
    above = np.where(count > 0, place - (count + 1) / 2, 0)
    if (count < 0).any() or not ((above >= 0) & (above % 1 == 0)).all():
        raise ValueError(f"the ties of run {run_id} do not fit its ranks")
    return Ranks(above.astype(np.int32), count.astype(np.int32))


def mask_of(data: bytes, n: int, name: str) -> np.ndarray:
    """(n,) bool, a slice that is stored as bits.

    Raises:
        ValueError: there are more or fewer bits.
    """
    bits = array(data, "u1", (n + 7) // 8, f"slice {name!r}")
    return np.unpackbits(bits, count=n).astype(bool)


def check_config(config: Any, run_id: str) -> None:
    """Checks the parts of a run's settings that reports read.

    Raises:
        ValueError: one has another form.
    """
    imported, tuned = config.get("imported"), config.get("tuned")
    forms = [
        imported is None
        or (isinstance(imported, dict) and {"file", "longest_list"} <= set(imported)),
        not tuned or (isinstance(tuned, dict) and _is_settled(tuned)),
    ]
    if not all(forms):
        raise ValueError(f"the settings of run {run_id} are incomplete")


def _is_settled(tuned: dict) -> bool:
    if "pca" in tuned:
        return isinstance(tuned.get("cold_offset"), (int, float))
    return isinstance(tuned.get("settings"), dict)
