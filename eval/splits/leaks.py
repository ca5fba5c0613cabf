"""Checks before a run that nothing held out was used for training.

Models of this package are trained on the training sessions of one dataset and the items in them, and tuned
on its validation sessions: candidates, negatives, training captions, scalers and vocabularies all come from
training items, and cached stages are named after the fingerprint of the dataset. So an item that is in no
training or validation session has not leaked, and it is enough to check the dataset.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.splits.kinds import PARTS
from eval.splits.split import Split, SplitConfig, make_split
from tpad import Bundle, Columns, DataError, Dataset
from tpad.bundle.files import PRETRAINING_RECORD
from tpad.data.sessions import Sessions
from tpad.data.splits import assert_no_leak
from tpad.errors import shown
from tpad.world.attributes import Look

LOOK_COLUMNS = ("attr_type", "attr_colour", "attr_pattern", "attr_emblem")


def assert_no_leaks(
    data: Split | Dataset,
    *,
    bundle: Bundle | str | Path | None = None,
) -> list[str]:
    """Checks a split, and optionally a bundle that is evaluated on it.

    Args:
        data: the split. In a plain dataset, items without training clicks count as held out.
        bundle: a bundle to be evaluated on the split. It must have been trained on the dataset of the
            split, or neither the held-out items nor the test targets may be in its training and
            validation sessions.

    Returns:
        What was checked, and what could not be, one sentence each.

    Raises:
        DataError: there is a leak; the message names an item or session.
    """
    split = data if isinstance(data, Split) else make_split(data, SplitConfig("given"))
    checked = _check_sessions(split)
    if bundle is not None:
        opened = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        checked += _check_bundle(split, opened)
        checked.append(_check_pretraining(split, opened))
    return checked


def _check_sessions(split: Split) -> list[str]:
    dataset = split.dataset
    assert_no_leak(*(getattr(dataset, part) for part in PARTS))
    checked = ["no session is in two parts"]
    train = dataset.popularity  # (n_items,) clicks
    validation = _clicks(dataset, "validation")  # (n_items,) clicks
    for part, clicks in (("training", train), ("validation", validation)):
        leaked = split.held_out & (clicks > 0)
        if leaked.any():
            raise DataError(
                f"The held-out item '{_first(split, leaked)}' has clicks in {part} sessions; "
                "make the split again."
            )
    if split.held_out.any():
        held_out = int(split.held_out.sum())
        checked.append(f"none of {held_out:,} held-out items is in training or validation sessions")
    if split.few_shot.any():
        most = split.params["n"]
        leaked = split.few_shot & ((train > most) | (validation > 0))
        if leaked.any():
            raise DataError(
                f"The few-shot item '{_first(split, leaked)}' has more than {most} training clicks, "
                "or validation clicks; make the split again."
            )
        checked.append(
            f"each of {split.few_shot.sum():,} few-shot items has {most} clicks or fewer"
        )
    return checked


def _check_bundle(split: Split, bundle: Bundle) -> list[str]:
    """Checks that the bundle was not trained on held-out items or on test targets."""
    name = bundle.path.name
    if bundle.info["dataset"].get("fingerprint") == split.dataset.fingerprint:
        return [f"the bundle {name} was trained on the split's dataset"]
    learned = bundle.dataset
    if not len(learned.train):
        raise DataError(
            f"The bundle {bundle.path} has no sessions, so it cannot be checked whether it was trained "
            f"on items that the split {split.name} holds out; use one that was exported with sessions."
        )
    advice = "train a bundle on the dataset of the split"
    ids = split.dataset.items[Columns.ITEM_ID]
    own = ids.map(learned.rows)  # (n_items,), NaN for an item that is not in the bundle
    rows, known = own.fillna(0).to_numpy(np.int64), own.notna().to_numpy(bool)
    trained = np.where(known, learned.popularity[rows], 0)  # (n_items,) clicks
    validated = np.where(known, _clicks(learned, "validation")[rows], 0)  # (n_items,) clicks
    unlearned = split.held_out | split.dataset.cold
    most = np.where(unlearned, 0, split.params.get("n", 0))
    # An item that is not held out may be in validation sessions only, in the split and the bundle.
    leaked = (trained > most) | ((validated > 0) & (_clicks(split.dataset, "validation") == 0))
    leaked &= unlearned | split.few_shot
    if leaked.any():
        first = np.flatnonzero(leaked)[0]
        raise DataError(
            f"The bundle {bundle.path} was trained on {(trained + validated)[first]:,} clicks on item "
            f"'{shown(ids.iat[first])}', which the split {split.name} excludes from training (and on "
            f"{leaked.sum() - 1:,} more such items); {advice}."
        )
    targets = _click_keys(split.dataset, [split.dataset.test], targets_only=True)
    seen = targets & _click_keys(learned, [learned.train, learned.validation])
    if seen:
        session, item, _ = min(seen)
        raise DataError(
            f"The bundle {bundle.path} was trained on the click on item '{shown(item)}' in session "
            f"'{shown(session)}', which is a test target of the split {split.name}; {advice}."
        )
    return [f"the bundle {name} was not trained on held-out items or test targets"]


def _check_pretraining(split: Split, bundle: Bundle) -> str:
    """Checks that the base model was not pretrained on held-out products, if that is known."""
    base = bundle.info.get("base", {"path": "base"})
    if not base:
        return "the bundle has no base model"
    if not (bundle.path / str(base.get("path", "")) / PRETRAINING_RECORD).is_file():
        name = base.get("hub_id") or "of the bundle"
        return (
            f"the pretraining data of the base model {name} is not recorded, so it was not checked"
        )
    items = split.dataset.items
    if any(column not in items.columns for column in LOOK_COLUMNS):
        return "the base model was pretrained on generated products, which the items are not"
    looks = zip(*(items[column] for column in LOOK_COLUMNS), strict=True)
    unreserved = np.array([not Look(*map(str, look)).is_reserved for look in looks], dtype=bool)
    leaked = unreserved & (split.held_out | split.dataset.cold)
    if leaked.any():
        raise DataError(
            f"Item '{_first(split, leaked)}' has a look that the base model may have seen in "
            "pretraining; make the shop with `python -m tpad world`, which reserves its looks."
        )
    return "no held-out item has a look that the base model saw in pretraining"


def _clicks(dataset: Dataset, part: str) -> np.ndarray:
    """Number of clicks per item in the sessions of a part: (n_items,) int64."""
    return np.bincount(getattr(dataset, part).clicks, minlength=len(dataset))


def _click_keys(
    dataset: Dataset, parts: Sequence[Sessions], *, targets_only: bool = False
) -> set[tuple[str, str, int]]:
    """(session or user, item, Unix time) of every click, or only of targets."""
    keys: set[tuple[str, str, int]] = set()
    names = dataset.items[Columns.ITEM_ID].to_numpy(dtype=object)
    for sessions in parts:
        owner = sessions.owners  # (n_clicks,)
        first = sessions.first_targets[owner] if targets_only else 0
        wanted = sessions.places >= first
        ids = np.array([_source(str(name)) for name in sessions.ids], dtype=object)
        columns = ids[owner], names[sessions.clicks], sessions.click_times
        keys.update(zip(*(column[wanted].tolist() for column in columns), strict=True))
    return keys


def _source(name: str) -> str:
    """The user of a sequence made by `leave_one_out`; other names unchanged."""
    user, colon, part = name.rpartition(":")
    return user if colon and part in PARTS else name


def _first(split: Split, mask: np.ndarray) -> str:
    """Id of the first item of a mask."""
    return shown(split.dataset.items[Columns.ITEM_ID].iat[int(np.flatnonzero(mask)[0])])
