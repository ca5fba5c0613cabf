"""Which stored runs a command is about: the options that tell, and the runs that fit them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from eval.database.reader import Reader
from eval.metrics.averaging import CASE, MEANS
from eval.runs.selection import Selection, select_runs
from eval.splits.split import SplitConfig
from tpad import ConfigError


def add_selection(parser: ArgumentParser, *, beside_source: bool = False) -> None:
    """The options that choose runs where a database holds several sets of cases.

    Args:
        parser: of the command.
        beside_source: the command has the options of a source too, `--split` among them, and
            `--cases` may also name what is asked of it.
    """
    parser.add_argument("--dataset", help="name or fingerprint of the dataset")
    if beside_source:
        parser.add_argument(
            "--cases", help="every_prefix or last_item; or a stored cases' fingerprint"
        )
    else:
        parser.add_argument("--split", help="name or fingerprint of a stored split")
        parser.add_argument("--cases", help="beginning of the fingerprint of the cases")


def add_mean(parser: ArgumentParser) -> None:
    """The option that tells what figures are averaged over."""
    parser.add_argument(
        "--mean",
        choices=tuple(MEANS),
        default=CASE,
        help="average over cases, or over sessions (of each session's mean over its cases); "
        "(%(default)s)",
    )


def selection(store: Reader, options: Namespace, models: Sequence[str] | None = None) -> Selection:
    """The runs that the options of `add_selection` choose.

    Args:
        store: the database.
        options: of the command line.
        models: only these; each must have a run.

    Raises:
        DataError: no run fits, or runs of several sets of cases do.
    """
    return select_runs(
        store,
        models=models,
        dataset=options.dataset,
        cases=options.cases,
        split=None if options.split is None else _stored_names(options.split),
    )


def _stored_names(split: str) -> list[str]:
    """What a split may be called in a database: as it is given, or with all its parameters."""
    try:
        return [split, SplitConfig.parse(split).name]
    except ConfigError:  # a fingerprint
        return [split]
