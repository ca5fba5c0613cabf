"""`python -m eval compare`: compare two models, and show the sessions where they differ most."""

from argparse import ArgumentParser, Namespace

from eval.cli.choosing import add_mean, add_selection, selection
from eval.cli.sources import add_database, database_of
from eval.database.store import Store
from eval.metrics.averaging import MEANS
from eval.metrics.ranks import parse_metric
from eval.runs.comparison import compare_runs
from eval.runs.selection import results_of
from tpad import ConfigError


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Compare two models on the same cases: difference, confidence interval, p-value, and the "
        "sessions where they differ most."
    )
    parser.add_argument("first", help="a model, for example tpad")
    parser.add_argument("second", help="another model, for example vision_tfidf")
    add_database(parser)
    add_selection(parser)
    add_mean(parser)
    parser.add_argument(
        "--metric", default="MRR@20", help="P, MRR or NDCG at k (default: %(default)s)"
    )
    parser.add_argument("--slice", default="all", help="all, warm, cold, … (default: %(default)s)")
    parser.add_argument(
        "--most", type=int, default=10, help="number of sessions to show (default: %(default)s)"
    )


def run(options: Namespace) -> None:
    """Run the command."""
    name, k = parse_metric(options.metric)
    with Store(database_of(options), read_only=True) as store:
        chosen = selection(store, options, [options.first, options.second])
        results = {result.name: result for result in results_of(store, chosen)}
    masks = chosen.masks()
    if options.slice not in masks:
        raise ConfigError(f"There is no slice {options.slice!r}; choose from {', '.join(masks)}.")
    mask = masks[options.slice]
    sessions = chosen.cases.session[mask]
    first, second = (
        results[model].metric(name, k, mask)  # (n_seeds, n)
        for model in (options.first, options.second)
    )
    found = compare_runs(first, second, sessions, shown=options.most, mean=options.mean)
    seeds = {m: " ".join(map(str, results[m].seeds)) for m in (options.first, options.second)}
    print(
        f"{chosen.title}: {options.metric} on {options.slice} targets, mean over "
        f"{MEANS[options.mean]}, {mask.sum():,} cases"
    )
    print(f"  {options.first}: {found.first:.4f} (seeds {seeds[options.first]})")
    print(f"  {options.second}: {found.second:.4f} (seeds {seeds[options.second]})")
    print(
        f"  difference {found.difference:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}, "
        f"p {found.p_value:.4f}"
    )
    print(
        f"  {found.sessions:,} sessions: {options.first} wins {found.wins:,}, ties {found.ties:,}, "
        f"loses {found.losses:,}"
    )
    if found.most:
        print("\nSessions that add most to the difference (row of the test session, cases, means)")
    for one in found.most:
        print(f"  {one.session}: {one.cases} cases, {one.first:.3f} against {one.second:.3f}")
