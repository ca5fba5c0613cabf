"""`Dataset`: validated items and sessions, the input of training and evaluation."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tpad.data.columns import Columns
from tpad.data.images import find_invalid_images, fit_square, image_sizes, load_image, resolve_image
from tpad.data.items import ITEM_COLUMNS
from tpad.data.loading import LoadOptions, load_files, parts_of
from tpad.data.report import LoadReport, ReportBuilder
from tpad.data.sessions import SESSION_COLUMNS, SPLITS, Cases, Clicks, Sessions
from tpad.data.tables import require_columns
from tpad.errors import DataError, ImageError, shown
from tpad.io.files import replacing

__all__ = ["Cases", "Dataset", "LoadReport", "Sessions", "check_images"]

ITEMS_FILE = "items.parquet"
SESSIONS_FILE = "sessions.parquet"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Items, and the sessions of the shoppers who clicked on them.

    Attributes:
        items: RangeIndex; item_id, title, description, category (str, "" is missing), price
            (float64 in the shop's own currency, NaN is missing), image (str path relative to
            `image_root`, "" is missing); further columns of the table are kept.
        image_root: folder that holds the pictures.
        train, validation, test: sessions of each split, ordered by their start.
        report: what was skipped or repaired, by reason, with examples.

    Example:
        >>> import tpad
        >>> dataset = tpad.Dataset.load_saved("assets/demo")
        >>> dataset
        Dataset(1,200 items; sessions: 8,000 train, 1,500 validation, 3,000 test)
        >>> int(dataset.cold.sum())  # items that occur in no training session
        242
    """

    items: pd.DataFrame
    image_root: Path
    train: Sessions
    validation: Sessions
    test: Sessions
    report: LoadReport = field(default_factory=LoadReport)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in SPLITS)
        return f"Dataset({len(self):,} items; sessions: {sizes})"

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each item_id."""
        return dict(zip(self.items[Columns.ITEM_ID].tolist(), range(len(self)), strict=True))

    @cached_property
    def popularity(self) -> np.ndarray:
        """(n_items,) int64, number of clicks in training sessions."""
        return np.bincount(self.train.clicks, minlength=len(self)).astype(np.int64)

    @cached_property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, whether an item occurs in no training session."""
        return self.popularity == 0

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the standard item columns, the file sizes of the pictures, and all sessions.

        Only the name and size of a picture count, so that no picture has to be read.
        """
        digest = hashlib.sha256()
        for column in ITEM_COLUMNS:
            values = self.items[column].tolist()
            texts = map(repr, values) if column == Columns.PRICE else values
            digest.update("\x1f".join([column, *texts]).encode() + b"\x1e")
        digest.update(image_sizes(self.image_root, self.items[Columns.IMAGE].tolist()))
        for name in SPLITS:
            sessions = getattr(self, name)
            digest.update("\x1f".join([name, *sessions.ids]).encode() + b"\x1e")
            for values in (sessions.lengths, sessions.clicks, sessions.starts):
                digest.update(values.astype("<i8").tobytes())
            if (sessions.first_targets > 1).any():
                digest.update(b"history" + sessions.first_targets.astype("<i8").tobytes())
        return digest.hexdigest()

    def image(self, row: int, size: int | None = None) -> Image.Image | None:
        """The picture of an item, in RGB and rotated as its EXIF data says.

        Args:
            row: row of the item.
            size: side of a white square, in pixels, that the whole picture is fitted into.

        Returns:
            None if the item has no picture, or one that cannot be read (see `check_images`).
        """
        relative = self.items[Columns.IMAGE].iat[row]
        if not relative:
            return None
        try:
            image = load_image(resolve_image(self.image_root, relative))
        except ImageError:
            return None
        return image if size is None else fit_square(image, size)

    @classmethod
    def load(
        cls,
        items: str | Path | None,
        interactions: str | Path,
        *,
        test_interactions: str | Path | None = None,
        session_gap_minutes: float = 30,
        strict: bool = False,
        split: str | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        cold_fraction: float = 0.0,
        min_session: int = 2,
        merge_repeats: bool = False,
        seed: int = 0,
    ) -> "Dataset":
        """Read an item table and interactions.

        Interactions are a table (CSV or Parquet), or a text file with one line `user item item …` per
        user, in time order. The `split` column of the table decides the split of a session; without
        it, `split` does. Sessions of fewer than `min_session` clicks are dropped from every split, and
        an item that occurs only in such sessions is cold.

        Args:
            items: table with item_id and title or image, and optionally description, category and
                price. Paths of pictures are relative to the folder of the table. None: the items are
                those that are clicked, without any content.
            interactions: table with session_id or user_id, item_id, timestamp (Unix seconds or
                ISO 8601), and optionally split (train, validation, test) and is_history (true for
                the first clicks of a session that are known from an earlier split: never targets);
                or sequences of users. Items of sequences that are not in the item table are kept
                without content; clicks of a table on unknown items are skipped.
            test_interactions: another table with the test sessions; the latest of `interactions`
                then validate.
            session_gap_minutes: with user_id, minutes without a click that end a session.
            strict: raise at the first invalid row instead of counting it in `report`. A session_id
                with a single click is invalid; a single click of a user is not.
            split: "time": the latest sessions are for test, those before for validation.
                "leave_one_out": the last click of each user (of each session_id in a table without
                user_id) is for test, the one before for validation, and users with fewer than three
                clicks are for training only. None: "leave_one_out" for sequences, else "time".
            validation_fraction, test_fraction: shares of the sessions for validation and test, with
                the split "time".
            cold_fraction: share of the items, drawn at random, whose clicks are removed from
                training and validation sessions, so that they are cold; test sessions keep them.
            min_session: smallest number of clicks of a session, at least 2.
            merge_repeats: merge consecutive clicks on the same item.
            seed: of the draw of cold items.

        Raises:
            DataError: a file cannot be used; the message names the file and what to do.
            ConfigError: a setting is out of range.
        """
        options = LoadOptions(
            session_gap_minutes=session_gap_minutes,
            strict=strict,
            split=split,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
            cold_fraction=cold_fraction,
            min_session=min_session,
            merge_repeats=merge_repeats,
            seed=seed,
        )
        table = None if items is None else Path(items)
        test = None if test_interactions is None else Path(test_interactions)
        frame, parts, report = load_files(table, Path(interactions), test, options)
        return cls(frame, (table or Path(interactions)).parent, *parts, report)

    @classmethod
    def from_world(cls, folder: str | Path) -> "Dataset":
        """Read `items.csv` and `interactions.csv` of a folder written by `python -m tpad world`."""
        return cls.load(Path(folder) / "items.csv", Path(folder) / "interactions.csv")

    def save(self, folder: str | Path) -> None:
        """Write `items.parquet` and `sessions.parquet` into `folder`, each atomically.

        Pictures are not copied; by default `load_saved` looks for them in `folder`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        frames = [self._session_frame(name) for name in SPLITS]
        _write_parquet(self.items, folder / ITEMS_FILE)
        _write_parquet(pd.concat(frames, ignore_index=True), folder / SESSIONS_FILE)

    @classmethod
    def load_saved(cls, folder: str | Path, image_root: str | Path | None = None) -> "Dataset":
        """Read what `save` wrote; nothing is split, sorted or repaired again.

        Args:
            folder: contains `items.parquet` and `sessions.parquet`.
            image_root: folder that the paths of pictures are relative to; by default `folder`.

        Raises:
            DataError: a file is missing or damaged.
        """
        folder = Path(folder)
        items, frame = _read_saved(folder / ITEMS_FILE), _read_saved(folder / SESSIONS_FILE)
        require_columns(items, list(ITEM_COLUMNS), ITEMS_FILE)
        require_columns(frame, list(SESSION_COLUMNS), SESSIONS_FILE)
        rows = pd.Index(items[Columns.ITEM_ID]).get_indexer(frame[Columns.ITEM_ID])
        splits = pd.Index(SPLITS).get_indexer(frame[Columns.SPLIT])
        if min(rows.min(initial=0), splits.min(initial=0)) < 0:
            raise DataError(
                f"{folder / SESSIONS_FILE} does not belong to its {ITEMS_FILE}; save the dataset again."
            )
        session = (frame[Columns.SESSION_ID].ne(frame[Columns.SESSION_ID].shift())).cumsum() - 1
        first = ~session.duplicated().to_numpy()
        clicks = Clicks(
            session.to_numpy(np.int64),
            rows.astype(np.int32),
            frame[Columns.TIMESTAMP].to_numpy(np.int64),
            frame[Columns.SESSION_ID].to_numpy(dtype=object)[first],
            splits[first].astype(np.int8),
            frame[Columns.IS_HISTORY].to_numpy(bool)
            if Columns.IS_HISTORY in frame.columns
            else None,
        )
        parts = parts_of(clicks)
        return cls(items, Path(image_root or folder), *parts)

    def _session_frame(self, split: str) -> pd.DataFrame:
        sessions: Sessions = getattr(self, split)
        lengths = sessions.lengths
        frame = pd.DataFrame(
            {
                Columns.SESSION_ID: pd.Series(np.repeat(sessions.ids, lengths), dtype="str"),
                Columns.ITEM_ID: self.items[Columns.ITEM_ID].to_numpy()[sessions.clicks],
                Columns.TIMESTAMP: sessions.click_times.astype(np.int64),
                Columns.SPLIT: split,
            }
        ).astype({Columns.ITEM_ID: "str", Columns.SPLIT: "str"})
        if any(getattr(self, name).history is not None for name in SPLITS):
            frame[Columns.IS_HISTORY] = sessions.is_history
        return frame


def check_images(dataset: Dataset, workers: int = 2, strict: bool = False) -> Dataset:
    """Decode every picture once, so that no unreadable one stops the training later.

    Args:
        workers: number of threads.
        strict: raise at the first picture that cannot be read.

    Returns:
        The dataset without the unreadable pictures, which its report counts.

    Raises:
        DataError: a picture cannot be read, and `strict`.
    """
    invalid = find_invalid_images(
        dataset.image_root, dataset.items[Columns.IMAGE].tolist(), workers
    )
    if not invalid:
        return dataset
    builder, ids = ReportBuilder(strict), dataset.items[Columns.ITEM_ID]
    builder.error(
        "unreadable image",
        "the item is used without its image",
        (f"item '{shown(ids.iat[row])}': {sentence}" for row, sentence in invalid.items()),
        len(invalid),
    )
    items = dataset.items.copy()
    items.iloc[list(invalid), items.columns.get_loc(Columns.IMAGE)] = ""
    return replace(dataset, items=items, report=dataset.report + builder.build())


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    with replacing(path) as part:
        frame.to_parquet(part, index=False)


def _read_saved(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; save the dataset again.") from error
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise DataError(f"{path} is damaged; save the dataset again.") from error
