"""`Dataset`: validated items and sessions, the input of training and evaluation."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tpad.data.clicks import read_clicks
from tpad.data.columns import Columns
from tpad.data.images import find_invalid_images, fit_square, image_sizes, load_image, resolve_image
from tpad.data.items import ITEM_COLUMNS, read_items
from tpad.data.report import LoadReport, ReportBuilder
from tpad.data.sessions import SESSION_COLUMNS, SPLITS, Cases, Clicks, Sessions
from tpad.data.splits import assert_no_leak, hold_out_items, remove_held_out, split_by_time
from tpad.data.tables import require_columns
from tpad.errors import ConfigError, DataError, ImageError, check_seed, shown
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
        Dataset(1,200 items; sessions: 14,000 train, 1,500 validation, 3,000 test)
        >>> int(dataset.cold.sum())  # items that occur in no training session
        180
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
        items: str | Path,
        interactions: str | Path,
        *,
        session_gap_minutes: float = 30,
        strict: bool = False,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        cold_fraction: float = 0.0,
        min_session: int = 2,
        merge_repeats: bool = False,
        seed: int = 0,
    ) -> "Dataset":
        """Read an item table and an interaction table, each CSV or Parquet.

        The `split` column of the interactions decides the split of a session; without it, sessions
        are split by their start: the latest are for test, those before for validation. Sessions of
        fewer than `min_session` clicks are dropped from every split, and an item that occurs only in
        such sessions is cold.

        Args:
            items: table with item_id and title or image, and optionally description, category and
                price. Paths of pictures are relative to the folder of the table.
            interactions: table with session_id or user_id, item_id, timestamp (Unix seconds or
                ISO 8601), and optionally split (train, validation, test) and is_history (true for
                the first clicks of a session that are known from an earlier split: never targets).
            session_gap_minutes: with user_id, minutes without a click that end a session.
            strict: raise at the first invalid row instead of counting it in `report`. A session_id
                with a single click is invalid; a single click of a user is not.
            validation_fraction, test_fraction: shares of the sessions for validation and test.
            cold_fraction: share of the items, drawn at random, whose clicks are removed from
                training and validation sessions, so that they are cold; test sessions keep them.
            min_session: smallest number of clicks of a session, at least 2.
            merge_repeats: merge consecutive clicks on the same item.
            seed: of the draw of cold items.

        Raises:
            DataError: a table cannot be used; the message names the file and what to do.
            ConfigError: a setting is out of range.
        """
        _check_settings(min_session, session_gap_minutes, seed)
        builder, name = ReportBuilder(strict), Path(interactions).name
        table = _read_several_items(items, builder)
        before = len(builder)
        held_out = hold_out_items(len(table), cold_fraction, seed)
        clicks = read_clicks(
            interactions,
            table[Columns.ITEM_ID],
            builder,
            session_gap_minutes=session_gap_minutes,
            min_session=min_session,
            merge_repeats=merge_repeats,
        )
        found = builder.evidence(before)
        clicks = _with_split(clicks, validation_fraction, test_fraction, found)
        clicks = remove_held_out(clicks, held_out, min_session, builder, name)
        parts = _parts(clicks)
        _require_training(parts[0], name, min_session, builder.evidence(before))
        assert_no_leak(*parts, held_out=held_out)
        return cls(table, Path(items).parent, *parts, builder.build())

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
        parts = _parts(clicks)
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


def _check_settings(min_session: int, session_gap_minutes: float, seed: int) -> None:
    if not isinstance(min_session, int | np.integer) or min_session < 2:
        raise ConfigError(f"min_session must be a whole number of at least 2, not {min_session}.")
    if not session_gap_minutes > 0:
        raise ConfigError(f"session_gap_minutes must be above 0, not {session_gap_minutes}.")
    check_seed(seed)


def _require_training(train: Sessions, name: str, min_session: int, found: str) -> None:
    if not len(train):
        raise DataError(
            f"{name} has no training session of {min_session} clicks or more"
            f"{f' ({found})' if found else ''}; give more interactions."
        )


def _with_split(
    clicks: Clicks, validation_fraction: float, test_fraction: float, found: str
) -> Clicks:
    """The clicks with their split; sessions are split by time if the table has no such column."""
    if clicks.split is not None:
        return clicks
    starts = clicks.time[np.cumsum(clicks.lengths) - clicks.lengths]
    return replace(clicks, split=split_by_time(starts, validation_fraction, test_fraction, found))


def _read_several_items(items: str | Path, report: ReportBuilder) -> pd.DataFrame:
    """The item table; a `DataError` if it has a single item."""
    table, name = read_items(items, report), Path(items).name
    if len(table) == 1:
        found = report.evidence()
        raise DataError(
            f"{name} has a single item, '{shown(table[Columns.ITEM_ID].iloc[0])}'"
            f"{f' ({found})' if found else ''}; give at least two."
        )
    return table


def _parts(clicks: Clicks) -> tuple[Sessions, Sessions, Sessions]:
    """The sessions of train, validation and test."""
    assert clicks.split is not None
    of_click = clicks.split[clicks.session]  # (n_clicks,)
    train, validation, test = (
        clicks.select(of_click == code).sessions() for code in range(len(SPLITS))
    )
    return train, validation, test


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
