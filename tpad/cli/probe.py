"""`python -m tpad probe`: which facts, and which transitions, linear probes read from the features."""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder of a bundle")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")


def run(args: Namespace) -> None:
    """Run the command."""
    import pandas as pd

    from tpad.bundle import Bundle
    from tpad.io.csv_files import csv_text
    from tpad.io.files import replacing
    from tpad.training.probes.facts import fact_table, tested_items
    from tpad.training.probes.features import probed_features
    from tpad.training.probes.overlap import explained
    from tpad.training.probes.transitions import transition_table

    bundle = Bundle.load(args.bundle)
    features = probed_features(bundle)
    facts = fact_table(bundle.dataset, features)
    transitions = transition_table(bundle.dataset, features)
    for title, table, missing in (
        (
            "Facts about cold items: share of right answers",
            facts,
            "The items have no category, price or attr_* column.",
        ),
        (
            "Next items: P@20 among items without clicks",
            transitions,
            "No test session leads to an item that can be held out.",
        ),
    ):
        shown = table.to_string(float_format=lambda value: f"{value:.3f}")
        print(f"{title}\n{missing if table.empty else shown}\n")
    if {("heads", "k_tau"), ("heads", "k_nu")} <= features.keys():
        found = explained(
            features["heads", "k_tau"], features["heads", "k_nu"], tested_items(bundle.dataset)
        )
        print(
            f"k_nu explains {found:.1%} of the variance of k_tau (ridge regression, items not fitted to)"
        )
    if args.csv:
        with replacing(args.csv) as part:
            whole = pd.concat([facts, transitions], axis=1)
            part.write_text(csv_text(whole, index=True), "utf-8")
