"""`python -m eval card`: write the measured figures to the model card of a bundle."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.cli.choosing import add_selection, selection
from eval.cli.sources import add_database, database_of
from eval.database.store import Store
from eval.metrics.ranks import metric_names
from eval.metrics.significance import over_seeds
from eval.models.naming import SUBJECT, VARIANT, subject_of
from eval.reports.report import about, by_other_mean, section_text
from eval.reports.sections import at_a_glance, main_slices
from eval.reports.tables import MARK, results_frame
from eval.runs.results import HEADLINES, Result
from eval.runs.selection import results_of
from tpad import Bundle, DataError
from tpad.bundle.card import model_card

CARD = "README.md"


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("bundle", type=Path, help="folder of the bundle that was evaluated")
    add_database(parser)
    add_selection(parser)


def run(options: Namespace) -> None:
    """Run the command."""
    bundle = Bundle.load(options.bundle, verify="fast")
    fingerprint = bundle.info["dataset"]["fingerprint"]
    options.dataset = options.dataset or fingerprint
    with Store(database_of(options), read_only=True) as store:
        chosen = selection(store, options)
        runs = [run for some in chosen.runs.values() for run in some]
        if {run.dataset_fingerprint for run in runs} != {fingerprint}:
            raise DataError(
                f"The runs used other items or sessions than {options.bundle}; name another "
                "--dataset or bundle."
            )
        results = [one for one in results_of(store, chosen) if not one.name.startswith(VARIANT)]
    shipped = [_of_the_bundle(one, bundle) for one in results]
    masks = chosen.masks()
    frame = results_frame(shipped, chosen.cases.session, masks)
    table = at_a_glance(frame)[0].table
    main = {part: masks[part] for part in main_slices(frame)}
    over_sessions = by_other_mean(shipped, chosen.cases, main)
    table = table.map(lambda text: str(text).removesuffix(MARK))
    shown = [
        run for model, some in chosen.runs.items() if not model.startswith(VARIANT) for run in some
    ]
    commits = sorted({str(run.commit)[:7] for run in shown})
    note = (
        f"{about(chosen.cases, masks)[:-1]}. Means over cases. These are figures of the very "
        "recommenders in this bundle; `python -m eval run --bundle BUNDLE`, commit "
        f"{', '.join(commits)}. All sets have the same recommender, budget and tuning."
        f"{_over_seeds(results)}"
    )
    text = model_card(
        bundle.info,
        title=f"TPAD on {chosen.title}",
        metrics=table.reset_index(),
        metrics_note=note,
        notes="\n\n".join(section_text(one, level=3) for one in over_sessions),
    )
    card = options.bundle / CARD
    beside = card.with_name(CARD + ".part")
    beside.write_text(text, "utf-8")
    beside.replace(card)
    print(f"Wrote the figures of {len(table)} models to {card}.")


def _of_the_bundle(result: Result, bundle: Bundle) -> Result:
    """What the bundle's own recommender reached; of a model that is not in the bundle, its first seed.

    Raises:
        DataError: the runs of an embedding set are not those of the bundle's recommender.
    """
    seed = result.seeds[0]
    if result.name in bundle.sets:
        stored = result.settings.get("shipped")
        if stored != bundle.checksum_of_recommender(result.name):
            raise DataError(
                f"The runs of {result.name} in the database are not of the recommender in {bundle.path}; "
                f"run `python -m eval run --bundle {bundle.path}` first."
            )
        seed = result.settings["shipped_seed"]
        if seed not in result.seeds:
            raise DataError(
                f"The database has no run of {result.name} with the seed {seed} of the recommender in "
                f"{bundle.path}; add it to --seeds of `python -m eval run`."
            )
    return result.of_seed(seed)


def _over_seeds(results: Sequence[Result]) -> str:
    """How much the main model's figures vary with the seed; empty where one seed was run."""
    subject = subject_of({one.name: one.role for one in results})
    for result in results:
        if result.name == subject and len(result.seeds) > 1:
            every = np.ones(result.ranks.shape[1], bool)
            mean, deviation = over_seeds(result.values(every))
            told = [
                f"{metric}@{k} {mean[place]:.3f} ± {deviation[place]:.3f}"
                for metric, k in HEADLINES
                for place in [metric_names().index((metric, k))]
            ]
            seeds = ", ".join(map(str, result.seeds))
            title = "TPAD" if subject == SUBJECT else subject
            return f" Over the seeds {seeds} of the recommender, {title} has {' and '.join(told)}."
    return ""
