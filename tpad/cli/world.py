"""`python -m tpad world`: makes the demo shop, or reports whether its law is calibrated."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path

from tqdm import tqdm

from tpad.errors import ConfigError


def add_world_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("world", help="make the demo shop from a seed")
    parser.add_argument("--out", type=Path, help="folder to write; must not exist or be empty")
    parser.add_argument("--seed", type=int, default=7, help="everything follows from it (7)")
    parser.add_argument("--items", type=int, default=1200, help="items in the catalogue (1200)")
    parser.add_argument("--train", type=int, default=14_000, help="training sessions (14000)")
    parser.add_argument("--validation", type=int, default=1_500, help="validation sessions (1500)")
    parser.add_argument("--test", type=int, default=3_000, help="test sessions (3000)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (2)")
    parser.add_argument(
        "--report", action="store_true", help="measure how hard the shop is, instead of writing it"
    )
    parser.add_argument("--mllm", help="base model that reads pictures for the report")
    parser.set_defaults(run=run_world)


def run_world(args: Namespace) -> None:
    """Runs the command."""
    from tpad.world.build import World, WorldConfig, write_world

    config = WorldConfig(
        seed=args.seed,
        items=args.items,
        train_sessions=args.train,
        validation_sessions=args.validation,
        test_sessions=args.test,
    )
    world = World(config)
    if args.report:
        from tpad.cli.train import default_base
        from tpad.world.report import report

        print(report(world, args.mllm or default_base()))
        return
    if args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.workers}.")
    if args.out is None:
        raise ConfigError("Say where to write the shop with --out, or measure it with --report.")
    with tqdm(desc="drawing", unit="picture", delay=0.5) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_world(world, args.out, workers=args.workers, progress=show)
    print(f"wrote {config.items:,} items and their sessions to {args.out}")
