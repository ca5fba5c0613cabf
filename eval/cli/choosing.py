"""The options that choose stored runs, and the runs that match them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from eval.database.reader import Reader
from eval.metrics.averaging import CASE, MEANS
from eval.runs.selection import Selection, select_runs
from eval.splits.split import SplitConfig
from tpad import ConfigError


def add_selection(parser: ArgumentParser, *, beside_source: bool = False) -> None:
    """Add the options that choose runs in a database with several sets of cases.

    Args:
        parser: of the command.
        beside_source: the command also has the options of a source, with `--split`, and `--cases`
            may also name the protocol.
    """
    parser.add_argument("--dataset", help="name or fingerprint of the dataset")
    if beside_source:
        parser.add_argument(
            "--cases", help="every_prefix or last_item, or the fingerprint of stored cases"
        )
    else:
        parser.add_argument("--split", help="name or fingerprint of a stored split")
        parser.add_argument("--cases", help="beginning of the fingerprint of the cases")


def add_mean(parser: ArgumentParser) -> None:
    """Add the option that says what figures are averaged over."""
    parser.add_argument(
        "--mean",
        choices=tuple(MEANS),
        default=CASE,
        help="average over cases, or over sessions (the means of their cases) (default: %(default)s)",
    )


def add_subject(parser: ArgumentParser) -> None:
    """Add the option that names the model a report is about."""
    parser.add_argument(
        "--subject",
        help="model that is tested against the others (default: tpad, or the main set of the bundle)",
    )


def selection(store: Reader, options: Namespace, models: Sequence[str] | None = None) -> Selection:
    """The runs that match the options of `add_selection`.

    Args:
        store: the database.
        options: the parsed options.
        models: only runs of these; each must have one.

    Raises:
        DataError: no run matches, or runs on several sets of cases match.
    """
    return select_runs(
        store,
        models=models,
        dataset=options.dataset,
        cases=options.cases,
        split=None if options.split is None else _stored_names(options.split),
    )


def _stored_names(split: str) -> list[str]:
    """Possible names of a split in the database: as given, and with all its parameters."""
    try:
        return [split, SplitConfig.parse(split).name]
    except ConfigError:  # a fingerprint
        return [split]
