"""`python -m tpad encode BUNDLE --items TABLE --out FOLDER`: the vectors of a large catalogue."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tpad.encoding import Summary

SHARD_SIZE = 10_000


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Write the vectors of an item table, shard by shard, in bounded memory. An interrupted "
        "command continues where it stopped."
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or hub id of a bundle")
    parser.add_argument(
        "--items",
        type=Path,
        required=True,
        metavar="TABLE",
        help="item table (CSV or Parquet); picture paths are relative to its folder",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder to write the shards to"
    )
    parser.add_argument(
        "--shard-size",
        type=int,
        default=SHARD_SIZE,
        metavar="ROWS",
        help="rows of the table in each shard (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that encode (default: %(default)s)"
    )
    parser.add_argument(
        "--format", default="parquet", help="parquet or safetensors (default: %(default)s)"
    )
    parser.add_argument(
        "--model", help="embedding set to compute (default: the main set of the bundle)"
    )
    parser.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="your own vectors of the items, by item_id (.safetensors, .npz or .parquet), for a "
        "bundle that was trained with some; may be repeated",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the hub id")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")


def run(args: Namespace) -> None:
    """Run the command.

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
                    bar.initial = done  # rows of an earlier run do not count for the speed
                bar.update(done - bar.n)

            encoded = encode_table(
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
        if processes.is_main():
            _report(encoded, args.out)


def _report(encoded: "Summary", out: Path) -> None:
    earlier = encoded.n_shards - encoded.n_new
    text = f"Encoded {encoded.n_items:,} items of {encoded.n_rows:,} rows: "
    text += f"{encoded.n_shards:,} shards"
    text += f", {earlier:,} of them by an earlier run" if earlier else ""
    text += f"; {encoded.n_lost:,} lost workers were replaced" if encoded.n_lost else ""
    print(f"{text}. They are in {out}.")
    if encoded.report.findings:
        print(encoded.report)
