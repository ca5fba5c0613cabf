"""`python -m tpad export BUNDLE`: a copy of a bundle, here or on the hub, or its item vectors."""

import argparse
import sys
import tempfile
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
        description="Write a checked, self-contained copy of a bundle, to a folder or to the "
        "Hugging Face hub, or its item vectors.",
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
    parser.add_argument("--revision", help="of BUNDLE, where that is a hub id")
    push = parser.add_argument_group("Hugging Face hub")
    push.add_argument(
        "--push", metavar="OWNER/NAME", help="upload the copy; the repository is made if need be"
    )
    push.add_argument("--branch", help="of the repository to upload to (its main one)")
    push.add_argument(
        "--private", action="store_true", help="a new repository is seen by its owner only"
    )
    push.add_argument(
        "--dry-run", action="store_true", help="check all, list what would be sent, send nothing"
    )
    parser.set_defaults(run=run_export)
    return parser


def run_export(args: argparse.Namespace) -> int:
    """Write what is asked for.

    Raises:
        TpadError: nothing is asked for, the bundle is not whole, or a target cannot be used.
    """
    from tpad.bundle import Bundle, export_bundle
    from tpad.bundle.hub import check_name

    if args.out is None and args.embeddings is None and args.push is None:
        raise ConfigError(
            "Nothing to export; give --out FOLDER, --push OWNER/NAME or --embeddings FILE."
        )
    copies = args.out is not None or args.push is not None
    if not copies and (args.sets or args.without_sessions):
        raise ConfigError(
            "--sets and --without-sessions shape the copy; give --out FOLDER or --push too."
        )
    if args.push is None and (args.branch or args.private or args.dry_run):
        raise ConfigError("--branch, --private and --dry-run need --push OWNER/NAME.")
    if args.push is not None:
        check_name(args.push, "repository")
    # `export` checks every file itself, before the vectors are read.
    bundle = Bundle.load(args.bundle, args.revision, verify="fast" if copies else "standard")
    if args.out is not None:
        export_bundle(bundle, args.out, sets=args.sets, sessions=not args.without_sessions)
        sys.stdout.write(f"Wrote the bundle to {args.out}.\n")
    if args.embeddings is not None:
        write_vectors(bundle, args.model, args.embeddings)
        sys.stdout.write(f"Wrote {bundle.dataset.n_items:,} vectors to {args.embeddings}.\n")
    if args.push is not None:
        push(bundle, args)
    return 0


def push(bundle: "Bundle", args: argparse.Namespace) -> None:
    """Copy the bundle aside, whole and checked, and send that (unless it is a dry run)."""
    from tpad.bundle import export_bundle
    from tpad.bundle.hub import address_card, bundle_part, push_bundle, size_lines

    with tempfile.TemporaryDirectory(prefix="tpad-push-") as temporary:
        folder = Path(temporary) / "bundle"
        export_bundle(bundle, folder, sets=args.sets, sessions=not args.without_sessions)
        address_card(folder, args.push)
        sys.stdout.write(size_lines(folder, bundle_part) + "\n")
        if args.dry_run:
            sys.stdout.write(f"Nothing was sent; it would go to {args.push}.\n")
            return
        where = push_bundle(folder, args.push, private=args.private, branch=args.branch)
    sys.stdout.write(f"The bundle is at {where}\n")


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
