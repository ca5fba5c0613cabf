"""`python -m tpad pretrain`: train the embedded model from scratch."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from tpad.errors import ConfigError


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument(
        "--work", type=Path, help="folder of intermediate results (default: OUT.work)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of every random draw (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that draw pictures (default: %(default)s)"
    )
    parser.add_argument("--pictures", type=int, help="number of pictures to draw")
    parser.add_argument("--see-steps", type=int, help="steps of the first phase")
    parser.add_argument("--describe-steps", type=int, help="steps of the second phase")


def run(args: Namespace) -> None:
    """Run the command."""
    from tpad.embedded.pretraining import PretrainingConfig, pretrain

    if args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.workers}.")
    given = {
        name: getattr(args, name)
        for name in ("pictures", "see_steps", "describe_steps")
        if getattr(args, name) is not None
    }
    config = PretrainingConfig(seed=args.seed, **given)
    pretrain(config, args.out, work=args.work, workers=args.workers)
    print(f"wrote the model to {args.out}")
