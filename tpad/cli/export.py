"""`python -m tpad export BUNDLE`: a self-contained copy of a bundle, or its item vectors."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tpad.errors import ConfigError

if TYPE_CHECKING:
    from tpad.bundle import Bundle

VECTOR_FORMATS = (".parquet", ".safetensors")


def add_export_parser(subparsers) -> argparse.ArgumentParser:
    """The parser of `export`, among those of the other subcommands."""
    parser = subparsers.add_parser(
        "export",
        help="copy a bundle, whole or in part, or write its item vectors",
        description="Write a checked, self-contained copy of a bundle, or its item vectors.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or hub id of a trained bundle")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the copy goes")
    parser.add_argument(
        "--sets", nargs="+", metavar="SET", help="embedding sets to keep (default: all)"
    )
    parser.add_argument(
        "--without-sessions",
        action="store_true",
        help="leave the shoppers' sessions out of the copy; it recommends just the same",
    )
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="FILE",
        help="write item_id and vector of every item to a .parquet or .safetensors file",
    )
    parser.add_argument(
        "--model", default="tpad", help="embedding set for --embeddings (default: %(default)s)"
    )
    parser.add_argument("--revision", help="of a hub id")
    parser.set_defaults(run=run_export)
    return parser


def run_export(args: argparse.Namespace) -> int:
    """Write what is asked for.

    Raises:
        TpadError: nothing is asked for, the bundle is not whole, or a target cannot be used.
    """
    from tpad.bundle import Bundle

    if args.out is None and args.embeddings is None:
        raise ConfigError("Nothing to export; give --out FOLDER, --embeddings FILE, or both.")
    if args.out is None and (args.sets or args.without_sessions):
        raise ConfigError("--sets and --without-sessions shape the copy; give --out FOLDER too.")
    # `export` checks every file itself, before the vectors are read.
    bundle = Bundle.load(args.bundle, args.revision, verify="fast" if args.out else "standard")
    if args.out is not None:
        bundle.export(args.out, sets=args.sets, sessions=not args.without_sessions)
        sys.stdout.write(f"Wrote the bundle to {args.out}.\n")
    if args.embeddings is not None:
        write_vectors(bundle, args.model, args.embeddings)
        sys.stdout.write(f"Wrote {bundle.dataset.n_items:,} vectors to {args.embeddings}.\n")
    return 0


def write_vectors(bundle: "Bundle", name: str, path: Path) -> None:
    """Write an embedding set with the items' ids, in the order of the catalogue.

    Args:
        bundle: the bundle.
        name: of the set.
        path: `.parquet` (columns item_id, vector: list of float32) or `.safetensors` (tensor "x"
            (n_items, d); the ids as a JSON list "item_ids" in its metadata).

    Raises:
        ConfigError: there is no such set, or the file's ending is another.
    """
    from tpad.encoding.shards import write_shard

    if name not in bundle.sets:
        raise ConfigError(
            f"{bundle.path} has no embedding set {name!r}; choose from {', '.join(bundle.sets)}."
        )
    if path.suffix not in VECTOR_FORMATS:
        raise ConfigError(f"{path} must end in {' or '.join(VECTOR_FORMATS)}; rename it.")
    write_shard(path, bundle.dataset.items["item_id"].tolist(), bundle.embeddings[name])
