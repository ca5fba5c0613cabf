"""`python -m tpad ablate`: the method and its ablations as embedding sets, for `eval` to compare."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from tpad.cli.training_options import add_training_options
from tpad.errors import ConfigError
from tpad.training.ablations.definitions import ABLATIONS, check_ablation


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Train the method and each ablation up to the item embeddings, and write one file for each "
        "into a folder, for `python -m eval run --ablations FOLDER`. All share one workspace: a "
        "stage that an ablation does not change runs only once. An interrupted command continues "
        "where it stopped; finished sets are kept."
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write the embedding sets to"
    )
    run_group = add_training_options(parser)
    run_group.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="train only these beside the full method; `full` trains that alone (default: all): "
        f"{', '.join(ABLATIONS)}",
    )


def run(args: Namespace) -> None:
    """Run the command."""
    from tqdm import tqdm

    from tpad.cli.job import read_job
    from tpad.distributed import processes
    from tpad.training.ablations.sets import FULL, train_sets

    for name in args.only or ():
        if name != FULL:
            check_ablation(name)  # before any data is read
    with processes.processes(args.device) as device:
        say = tqdm.write if processes.is_main() else lambda _: None
        with processes.main_first():
            job = read_job(args)
            if job.base is None:
                raise ConfigError("Ablations need a base model; leave out --features-only.")
        files = train_sets(
            job.dataset,
            job.base,
            job.config,
            args.out,
            work=job.work,
            only=args.only,
            vectors=job.vectors,
            device=device,
            say=say,
        )
        say(
            f"wrote {len(files)} sets to {args.out}; compare them with "
            f"`python -m eval run --ablations {args.out}` on the same data"
        )
