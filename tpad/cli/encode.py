"""`python -m tpad encode BUNDLE --items TABLE --out FOLDER`: a large catalogue's vectors, in shards."""

import argparse
import sys
from pathlib import Path

SHARD_SIZE = 10_000


def add_encode_parser(subparsers) -> argparse.ArgumentParser:
    """The parser of `encode`, among those of the other subcommands."""
    parser = subparsers.add_parser(
        "encode",
        help="write the vectors of an item table of any length, in shards",
        description=(
            "Write the vectors of an item table, shard by shard, in bounded memory. After any end, "
            "the same command goes on."
        ),
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or hub id of a trained bundle")
    parser.add_argument(
        "--items",
        type=Path,
        required=True,
        metavar="TABLE",
        help="CSV or Parquet; pictures are given relative to its folder",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where the shards go"
    )
    parser.add_argument(
        "--shard-size",
        type=int,
        default=SHARD_SIZE,
        metavar="ROWS",
        help="rows of the table in one shard (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that encode (default: %(default)s)"
    )
    parser.add_argument(
        "--format", default="parquet", help="parquet or safetensors (default: %(default)s)"
    )
    parser.add_argument(
        "--model", default="tpad", help="embedding set to compute (default: %(default)s)"
    )
    parser.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="vectors of the items by item_id (.safetensors, .npz, .parquet), for a bundle that was "
        "trained with some; may be given several times",
    )
    parser.add_argument("--revision", help="of a hub id")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.set_defaults(run=run_encode, together=True)
    return parser


def run_encode(args: argparse.Namespace) -> int:
    """Encode the table.

    Raises:
        TpadError: the bundle, the table, the folder or a setting cannot be used.
    """
    from tqdm import tqdm

    from tpad.bundle import Bundle
    from tpad.data.vectors import parse_named_files
    from tpad.distributed import processes
    from tpad.encoding import encode_table

    features = parse_named_files(args.features)
    with processes.processes(args.device) as device:
        with processes.main_first():
            bundle = Bundle.load(args.bundle, args.revision, device=device)
        with tqdm(
            desc="encoding",
            unit="row",
            unit_scale=True,
            delay=0.5,
            smoothing=0.1,
            disable=not processes.is_main(),
        ) as bar:

            def show(done: int, total: int) -> None:
                if bar.total is None:
                    bar.total = total
                    bar.initial = done  # what an earlier run made is not its speed
                bar.update(done - bar.n)

            done = encode_table(
                bundle,
                args.items,
                args.out,
                model=args.model,
                shard_size=args.shard_size,
                form=args.format,
                workers=args.workers,
                features=features,
                progress=show,
            )
        if not processes.is_main():
            return 0
    earlier = done.n_shards - done.n_new
    told = f"Encoded {done.n_items:,} items of {done.n_rows:,} rows: {done.n_shards:,} shards"
    told += f", {earlier:,} of them by an earlier run" if earlier else ""
    told += f"; {done.n_lost:,} lost workers were replaced" if done.n_lost else ""
    sys.stdout.write(f"{told}. They are in {args.out}.\n")
    if done.report.findings:
        sys.stdout.write(f"{done.report}\n")
    return 0
