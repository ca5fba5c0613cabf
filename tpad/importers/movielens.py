"""MovieLens: movies.csv and ratings.csv (latest, 20M and later), movies.dat and ratings.dat (1M, 10M)."""

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from tpad.errors import DataError
from tpad.importers.click_logs import WRONG_FIELDS
from tpad.importers.counts import RowError
from tpad.importers.lines import LineReader, Note, Parse, first_line
from tpad.importers.settings import ImportSettings
from tpad.importers.source import CLICKS, ITEM_FIELDS, Source, click_maker

RATINGS = ["userId", "movieId", "rating", "timestamp"]
MOVIES = ["movieId", "title", "genres"]
_OTHERS = (["userId", "movieId", "tag", "timestamp"], ["movieId", "imdbId", "tmdbId"])
_NAMES = ("movies.csv", "ratings.csv", "movies.dat", "ratings.dat")
_SCHEMA = pa.schema([*ITEM_FIELDS, ("genres", pa.string())])
_NO_GENRES = "(no genres listed)"


def open_movielens(files: list[Path], settings: ImportSettings) -> Source:
    """Ratings and movies; of a folder, the files with one of the four names are read."""
    source = Source([], default_sessions="gap", is_ratings=True)
    click = click_maker(settings)

    def rating(fields: list[str], note: Note) -> tuple:
        user, movie, stars, time = fields
        return click(user, movie, time, stars)

    for file in _unfolded(files):
        first = first_line(file)
        is_csv = "::" not in first
        split = _csv_fields if is_csv else _dat_fields
        try:
            names = split(first)
        except RowError:
            names = []
        if names in _OTHERS:
            raise DataError(f"{file.name} holds neither movies nor ratings; leave it out.")
        is_ratings = names == RATINGS or (not is_csv and len(names) == len(RATINGS))
        if not is_ratings and names != MOVIES and (is_csv or len(names) != len(MOVIES)):
            raise DataError(
                f"{file.name} is not a MovieLens file: its first line '{first[:60]}' is neither "
                f"{','.join(RATINGS)} nor {','.join(MOVIES)}, nor such fields separated by '::'."
            )
        reader = LineReader(
            file,
            CLICKS if is_ratings else _SCHEMA,
            _parse(split, rating, 4) if is_ratings else _parse(split, _movie, 3),
            has_header=is_csv,
            encodings=("utf-8",) if is_csv else ("utf-8", "latin-1"),  # 1M is in Latin 1
        )
        (source.clicks if is_ratings else source.items).append(reader)
    return source


def _unfolded(files: list[Path]) -> list[Path]:
    found = []
    for file in files:
        if not file.is_dir():
            found.append(file)
            continue
        inside = [file / name for name in _NAMES if (file / name).is_file()]
        if not inside:
            raise DataError(f"{file} holds none of {', '.join(_NAMES)}; give another folder.")
        found.extend(inside)
    return found


def _parse(
    split: Callable[[str], list[str]], make: Callable[[list[str], Note], tuple], count: int
) -> Parse:
    def parse(text: str, note: Note) -> tuple:
        fields = split(text)
        if len(fields) != count:
            raise RowError(WRONG_FIELDS)
        return make(fields, note)

    return parse


def _movie(fields: list[str], note: Note) -> tuple:
    movie, title, genres = map(str.strip, fields)
    if not movie:
        raise RowError("missing item_id")
    kinds = [] if genres == _NO_GENRES else genres.split("|")
    listed = ", ".join(kinds)
    description = f"Genres: {listed}" if listed else ""
    return movie, title, description, kinds[0] if kinds else "", None, listed


def _csv_fields(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except (csv.Error, StopIteration) as error:
        raise RowError("broken quotes") from error


def _dat_fields(line: str) -> list[str]:
    return line.split("::")
