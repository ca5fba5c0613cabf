"""The supported formats; each is a module of this package with an `open_…` function."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tpad.importers.settings import ImportSettings
    from tpad.importers.source import Source


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        about: its files, and its default for sessions.
        module: its module in this package.
        opener: function of that module that returns a `Source`.
    """

    about: str
    module: str
    opener: str

    def open(self, files: "list[Path]", settings: "ImportSettings") -> "Source":
        """The readers of the files.

        Raises:
            DataError: a file does not have this format.
            ConfigError: a setting does not fit this format.
        """
        module = import_module(f"tpad.importers.{self.module}")
        return getattr(module, self.opener)(files, settings)


FORMATS = {
    "amazon-2014": Format(
        "Amazon Reviews 2014: reviews and meta_….json(.gz), Python literals or JSON; sessions: day",
        "amazon",
        "open_2018",
    ),
    "amazon-2018": Format(
        "Amazon Reviews 2018: reviews and meta_….json(.gz), JSON lines; sessions: day",
        "amazon",
        "open_2018",
    ),
    "amazon-2023": Format(
        "Amazon Reviews 2023: reviews and meta_….jsonl(.gz), times in ms; sessions: day",
        "amazon",
        "open_2023",
    ),
    "mmsbr": Format(
        "MMSBR's train.txt and test.txt, pickles of plain lists, each case a session; sessions: given",
        "mmsbr",
        "open_mmsbr",
    ),
    "recbole": Format(
        "RecBole atomic files .inter .item (.user is ignored), or MMRec's .inter with its x_label; "
        "sessions: given if there is a session_id, else gap 30",
        "recbole",
        "open_recbole",
    ),
    "session-rec": Format(
        "SessionId ItemId Time, separated by tabs, with header; sessions: given",
        "click_logs",
        "open_session_rec",
    ),
    "yoochoose": Format(
        "yoochoose-clicks.dat: session,ISO time,item,category without header; sessions: given",
        "click_logs",
        "open_yoochoose",
    ),
    "movielens": Format(
        "movies and ratings, .csv or :: separated .dat, or their folder; sessions: gap 30",
        "movielens",
        "open_movielens",
    ),
    "huggingface": Format(
        "a datasets folder (save_to_disk, Parquet or CSV with , ; or tabs), or its files; sessions: "
        "given if there is a session_id, else gap 30",
        "huggingface",
        "open_huggingface",
    ),
}
WITH_COLUMNS = ("recbole", "huggingface")  # formats that support --column
