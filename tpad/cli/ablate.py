"""`python -m tpad ablate`: the method and its ablations as embedding sets, for `eval` to compare."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path

from tpad.cli.train import add_training_options, read_job
from tpad.training.ablations.definitions import ABLATIONS, check_ablation


def add_ablate_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "ablate",
        help="train the method and its ablations as embedding sets",
        description="Trains the method and each ablation as far as the items' embeddings, in one "
        "workspace, so that a stage which an ablation leaves as it is runs once for all; writes one "
        "file each into a folder, for `python -m eval run --ablations FOLDER`. After a kill, the "
        "same command goes on; finished sets are kept.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the embedding sets")
    run = add_training_options(parser)
    run.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="these beside the full method (full: that alone); all by default: "
        f"{', '.join(ABLATIONS)}",
    )
    parser.set_defaults(run=run_ablate, together=True)


def run_ablate(args: Namespace) -> None:
    """Runs the command."""
    from tqdm import tqdm

    from tpad.distributed import processes
    from tpad.training.ablations.sets import FULL, train_sets

    for name in args.only or ():
        if name != FULL:
            check_ablation(name)  # before anything is read or drawn
    with processes.processes(args.device) as device:
        say = tqdm.write if processes.is_main() else lambda _: None
        with processes.main_first():
            job = read_job(args)
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
