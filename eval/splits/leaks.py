"""Proves before a run that what is held out was never learned from.

A model of this package learns from the training sessions of one dataset and from the items in them,
and settles choices on its validation sessions: candidates, negatives, captions that train, feature
scalers and vocabularies are all of training items, and cached stages are named after the
fingerprint of the dataset. So an item that is in no training or validation session of that dataset
has not leaked into any of them, and it is the dataset that has to be looked at.
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
    candidates: np.ndarray | None = None,
    bundle: Bundle | str | Path | None = None,
) -> list[str]:
    """Checks a split, and what was trained before it was made.

    Args:
        data: the split; of a plain dataset, its items that occur in no training session are taken
            for held out.
        candidates: (n_items,) bool, items that training takes for candidates or negatives; by
            default those of the training sessions.
        bundle: trained weights or embeddings that are to be evaluated on the split. It passes if it
            was trained on the split's very dataset, or if neither the held-out items nor the clicks
            that test are in its training and validation sessions.

    Returns:
        What was proven, and what could not be, one sentence each; for the record of the run.

    Raises:
        DataError: a leak; the sentence names an item or session and says what to do.
    """
    split = data if isinstance(data, Split) else make_split(data, SplitConfig("given"))
    proven = _check_sessions(split)
    chosen = ~split.dataset.cold if candidates is None else np.asarray(candidates, dtype=bool)
    unlearned = split.held_out | split.dataset.cold
    if (chosen & unlearned).any():
        raise DataError(
            f"Item '{_first(split, chosen & unlearned)}' is a candidate of the training although it "
            "is in no training session; train with the items of training sessions alone."
        )
    proven.append(f"all {chosen.sum():,} candidates of the training are in training sessions")
    if bundle is not None:
        opened = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        proven += _check_bundle(split, opened)
        proven.append(_check_pretraining(split, opened))
    return proven


def _check_sessions(split: Split) -> list[str]:
    dataset = split.dataset
    assert_no_leak(*(getattr(dataset, part) for part in PARTS))
    proven = ["no session is in two parts"]
    train = dataset.popularity  # (n_items,) clicks
    validation = _clicks(dataset, "validation")  # (n_items,) clicks
    for part, clicks in (("training", train), ("validation", validation)):
        leaked = split.held_out & (clicks > 0)
        if leaked.any():
            raise DataError(
                f"The held-out item '{_first(split, leaked)}' is clicked in {part} sessions; "
                "make the split again."
            )
    if split.held_out.any():
        held_out = int(split.held_out.sum())
        proven.append(f"none of {held_out:,} held-out items is in training or validation sessions")
    if split.few_shot.any():
        most = split.params["n"]
        leaked = split.few_shot & ((train > most) | (validation > 0))
        if leaked.any():
            raise DataError(
                f"The few-shot item '{_first(split, leaked)}' is clicked more than {most} times in "
                "training, or in validation; make the split again."
            )
        proven.append(f"each of {split.few_shot.sum():,} few-shot items has {most} clicks or fewer")
    return proven


def _check_bundle(split: Split, bundle: Bundle) -> list[str]:
    """That what the bundle learned from holds nothing that the split asks for."""
    name = bundle.path.name
    if bundle.info["dataset"].get("fingerprint") == split.dataset.fingerprint:
        return [f"the bundle {name} was trained on the split's dataset"]
    learned = bundle.dataset
    if not len(learned.train):
        raise DataError(
            f"The bundle {bundle.path} holds no sessions, so nobody can tell whether it has learned "
            f"from what the split {split.name} holds out; take one that was exported with sessions."
        )
    again = "train a bundle on the dataset of the split"
    ids = split.dataset.items[Columns.ITEM_ID]
    place = ids.map(learned.rows)  # (n_items,), NaN for an item that the bundle does not know
    rows, known = place.fillna(0).to_numpy(np.int64), place.notna().to_numpy(bool)
    trained = np.where(known, learned.popularity[rows], 0)  # (n_items,) clicks
    judged = np.where(known, _clicks(learned, "validation")[rows], 0)  # (n_items,) clicks
    unlearned = split.held_out | split.dataset.cold
    most = np.where(unlearned, 0, split.params.get("n", 0))
    # An item that nobody held out may validate here without being trained on, and there too.
    leaked = (trained > most) | ((judged > 0) & (_clicks(split.dataset, "validation") == 0))
    leaked &= unlearned | split.few_shot
    if leaked.any():
        first = np.flatnonzero(leaked)[0]
        raise DataError(
            f"The bundle {bundle.path} has learned from {(trained + judged)[first]:,} clicks on item "
            f"'{shown(ids.iat[first])}', which the split {split.name} keeps from training (and on "
            f"{leaked.sum() - 1:,} more such items); {again}."
        )
    asked = _click_keys(split.dataset, [split.dataset.test], targets_only=True)
    seen = asked & _click_keys(learned, [learned.train, learned.validation])
    if seen:
        session, item, _ = min(seen)
        raise DataError(
            f"The bundle {bundle.path} has learned from the click on item '{shown(item)}' in session "
            f"'{shown(session)}', which the split {split.name} asks for; {again}."
        )
    return [
        f"no held-out item and no click to be predicted was in what the bundle {name} learned from"
    ]


def _check_pretraining(split: Split, bundle: Bundle) -> str:
    """That the base model was not pretrained on the held-out products, where that is known."""
    base = bundle.info.get("base", {})
    if not (bundle.path / str(base.get("path", "")) / PRETRAINING_RECORD).is_file():
        name = base.get("hub_id") or "of the bundle"
        return f"what the base model {name} was pretrained on is not recorded, so it is not proven"
    items = split.dataset.items
    if any(column not in items.columns for column in LOOK_COLUMNS):
        return "the base model was pretrained on drawn products, which the items are not"
    looks = zip(*(items[column] for column in LOOK_COLUMNS), strict=True)
    drawn = np.array([not Look(*map(str, look)).is_reserved for look in looks], dtype=bool)
    leaked = drawn & (split.held_out | split.dataset.cold)
    if leaked.any():
        raise DataError(
            f"Item '{_first(split, leaked)}' has a look that the base model may have met in its "
            "pretraining; make the shop with `python -m tpad world`, which owns looks of its own."
        )
    return "no held-out item has a look that the base model met in its pretraining"


def _clicks(dataset: Dataset, part: str) -> np.ndarray:
    """(n_items,) int64, clicks in the sessions of a part."""
    return np.bincount(getattr(dataset, part).clicks, minlength=len(dataset))


def _click_keys(
    dataset: Dataset, parts: Sequence[Sessions], *, targets_only: bool = False
) -> set[tuple[str, str, int]]:
    """(session or user, item, Unix seconds) of every click, or of those that are predicted."""
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
    """The user of a sequence that `leave_one_out` has cut; other names as they are."""
    user, colon, part = name.rpartition(":")
    return user if colon and part in PARTS else name


def _first(split: Split, mask: np.ndarray) -> str:
    """Id of the first item of a mask."""
    return shown(split.dataset.items[Columns.ITEM_ID].iat[int(np.flatnonzero(mask)[0])])
