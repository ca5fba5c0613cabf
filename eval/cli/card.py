"""`python -m eval card`: what was measured, written into a bundle's model card."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path

from eval.cli.choosing import add_selection, selection
from eval.cli.sources import add_database, database_of
from eval.database.store import Store
from eval.names import VARIANT
from eval.report import about, by_other_mean, section_text
from eval.sections import at_a_glance, main_slices
from eval.selection import results_of
from eval.tables import MARK, results_frame
from tpad import Bundle, DataError, model_card

CARD = "README.md"


def add_parser(commands: _SubParsersAction) -> None:
    """Adds the command."""
    parser = commands.add_parser("card", help="write the figures into a bundle's model card")
    parser.add_argument("bundle", type=Path, help="folder of the bundle that was measured")
    add_database(parser)
    add_selection(parser)
    parser.set_defaults(act=act)


def act(options: Namespace) -> None:
    """Runs the command."""
    bundle = Bundle.load(options.bundle, verify="fast")
    fingerprint = bundle.info["dataset"]["fingerprint"]
    options.dataset = options.dataset or fingerprint
    store = Store(database_of(options), read_only=True)
    try:
        chosen = selection(store, options)
        runs = [run for some in chosen.runs.values() for run in some]
        if {run.dataset_fingerprint for run in runs} != {fingerprint}:
            raise DataError(
                f"The runs are of other items or sessions than {options.bundle}; name another "
                "--dataset or bundle."
            )
        results = [one for one in results_of(store, chosen) if not one.name.startswith(VARIANT)]
    finally:
        store.close()
    masks = chosen.masks()
    frame = results_frame(results, chosen.cases.session, masks)
    table = at_a_glance(frame)[0].table
    main = {part: masks[part] for part in main_slices(frame)}
    over_sessions = by_other_mean(results, chosen.cases, main)
    table = table.map(lambda text: str(text).removesuffix(MARK))
    seeds = sorted({seed for one in results for seed in one.seeds})
    commits = sorted({str(run.commit)[:7] for run in runs})
    note = (
        f"{about(chosen.cases, masks)[:-1]}. Means over cases ± standard deviation over the seeds "
        f"{', '.join(map(str, seeds))}; `python -m eval run --bundle BUNDLE`, commit "
        f"{', '.join(commits)}. All sets have the same recommender, budget and tuning."
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
    print(f"Wrote {len(table)} models' figures into {card}.")
