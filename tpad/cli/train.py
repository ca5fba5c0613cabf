"""`python -m tpad train`: train all stages, on the demo shop or on your own tables."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from tpad.cli.training_options import add_training_options
from tpad.training.ablations.definitions import ABLATIONS, SETS_ONLY


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Train TPAD and write a bundle. Without tables it trains on a demo shop, which it makes "
        "first. An interrupted command continues where it stopped."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the bundle to")
    run_group = add_training_options(parser)
    names = ", ".join(name for name in ABLATIONS if name not in SETS_ONLY)
    run_group.add_argument(
        "--ablation",
        action="append",
        default=[],
        metavar="NAME",
        help=f"leave out one part of the method: {names}; may be repeated",
    )
    run_group.add_argument(
        "--plan",
        action="store_true",
        help="print the stages, which are cached and which would run; train nothing",
    )


def run(args: Namespace) -> None:
    """Run the command."""
    from tpad.cli.job import read_job
    from tpad.distributed import processes
    from tpad.training import pipeline

    if args.plan:
        job = read_job(args)
        planned = pipeline.plan(job.dataset, job.base, job.config, job.work, job.vectors)
        width = max(len(one.name) for one in planned)
        for one in planned:
            needs = f"   after {', '.join(one.needs)}" if one.needs else ""
            print(f"{one.name:{width}}   {one.state:11}{needs}".rstrip())
        if planned[-1].name == pipeline.STAGES[-1].name:
            print(f"The recommenders follow the embeddings: {', '.join(job.config.sets)}.")
        return

    with processes.processes(args.device) as device:
        with processes.main_first():
            job = read_job(args)
        pipeline.train(
            job.dataset,
            job.base,
            job.config,
            args.out,
            work=job.work,
            extra_files=job.extra_files,
            vectors=job.vectors,
            device=device,
        )
        if processes.is_main():
            print(
                f"wrote the bundle to {args.out}; open it with `python -m app --bundle {args.out}`"
            )
