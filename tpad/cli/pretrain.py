"""`python -m tpad pretrain`: trains the embedded model from scratch."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path

from tpad.errors import ConfigError


def add_pretrain_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "pretrain",
        help="train the embedded multimodal LLM from scratch (29 minutes on 2 cores)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--work", type=Path, help="folder of what is half done (OUT.work)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (2)")
    parser.add_argument("--pictures", type=int, help="how many pictures are drawn")
    parser.add_argument("--see-steps", type=int, help="steps of the first phase")
    parser.add_argument("--describe-steps", type=int, help="steps of the second phase")
    parser.set_defaults(run=run_pretrain)


def run_pretrain(args: Namespace) -> None:
    """Runs the command."""
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
    print(f"wrote the checkpoint to {args.out}")
