"""`python -m tpad world`: make the demo shop, or measure how difficult it is."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from tpad.errors import ConfigError


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--out", type=Path, help="new folder to write the shop to")
    _add_number(parser, "--seed", 7, "seed of every random draw")
    _add_number(parser, "--items", 1200, "items in the catalogue")
    _add_number(parser, "--train", 8_000, "training sessions")
    _add_number(parser, "--validation", 1_500, "validation sessions")
    _add_number(parser, "--test", 3_000, "test sessions")
    _add_number(parser, "--workers", 2, "processes that draw pictures")
    parser.add_argument(
        "--report",
        action="store_true",
        help="measure how difficult the shop is instead of writing it",
    )
    parser.add_argument("--mllm", help="base model that reads the pictures for --report")


def run(args: Namespace) -> None:
    """Run the command."""
    from tpad.cli.progress import picture_bar
    from tpad.world import build

    config = build.WorldConfig(
        seed=args.seed,
        items=args.items,
        train_sessions=args.train,
        validation_sessions=args.validation,
        test_sessions=args.test,
    )
    world = build.World(config)
    if args.report:
        from tpad.cli.job import default_base
        from tpad.world.report import report

        print(report(world, args.mllm or default_base()))
        return
    if args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.workers}.")
    if args.out is None:
        raise ConfigError("Name a folder for the shop with --out, or measure it with --report.")
    with picture_bar("drawing") as show:
        build.write_world(world, args.out, workers=args.workers, progress=show)
    print(f"wrote {config.items:,} items and their sessions to {args.out}")


def _add_number(parser: ArgumentParser, name: str, default: int, text: str) -> None:
    parser.add_argument(name, type=int, default=default, help=f"{text} (default: %(default)s)")
