"""`python -m tpad export BUNDLE`: a copy of a bundle, here or on the Hub, or its item vectors."""

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tpad.errors import ConfigError

if TYPE_CHECKING:
    from tpad.bundle import Bundle
VECTOR_FORMATS = (".parquet", ".safetensors")


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Write a checked, self-contained copy of a bundle to a folder or to the Hugging Face Hub, or "
        "write its item vectors."
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or hub id of a bundle")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder to write the copy to")
    parser.add_argument(
        "--sets", nargs="+", metavar="SET", help="embedding sets to keep (default: all)"
    )
    parser.add_argument(
        "--without-sessions",
        action="store_true",
        help="leave the sessions out of the copy; its recommenders then work without session neighbours",
    )
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="FILE",
        help="write item_id and vector of every item to a .parquet or .safetensors file",
    )
    parser.add_argument(
        "--model", help="embedding set for --embeddings (default: the main set of the bundle)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the hub id")
    hub = parser.add_argument_group("Hugging Face Hub")
    hub.add_argument(
        "--push", metavar="OWNER/NAME", help="upload the copy; a missing repository is created"
    )
    hub.add_argument("--branch", help="branch to upload to (default: the main branch)")
    hub.add_argument("--private", action="store_true", help="make a new repository private")
    hub.add_argument(
        "--dry-run", action="store_true", help="check everything and list the files; upload nothing"
    )


def run(args: Namespace) -> None:
    """Run the command.

    Raises:
        TpadError: nothing is asked for, the bundle is damaged, or a target cannot be used.
    """
    from tpad.bundle import Bundle, export_bundle

    copies = args.out is not None or args.push is not None
    _check_options(args, copies)
    # `export` itself checks every file before it reads the vectors.
    bundle = Bundle.load(args.bundle, args.revision, verify="fast" if copies else "standard")
    if args.out is not None:
        export_bundle(bundle, args.out, sets=args.sets, sessions=not args.without_sessions)
        print(f"Wrote the bundle to {args.out}.")
    if args.embeddings is not None:
        write_vectors(bundle, args.model or bundle.sets[0], args.embeddings)
        print(f"Wrote {bundle.dataset.n_items:,} vectors to {args.embeddings}.")
    if args.push is not None:
        push(bundle, args)


def push(bundle: "Bundle", args: Namespace) -> None:
    """Upload a checked copy of the bundle, or list its files in a dry run."""
    from tpad.bundle import export_bundle
    from tpad.bundle.hub import address_card, bundle_part, push_bundle, size_lines

    with tempfile.TemporaryDirectory(prefix="tpad-push-") as temporary:
        folder = Path(temporary) / "bundle"
        export_bundle(bundle, folder, sets=args.sets, sessions=not args.without_sessions)
        address_card(folder, args.push)
        print(size_lines(folder, bundle_part))
        if args.dry_run:
            print(f"Nothing was uploaded; the target would be {args.push}.")
            return
        address = push_bundle(folder, args.push, private=args.private, branch=args.branch)
    print(f"The bundle is at {address}")


def write_vectors(bundle: "Bundle", name: str, path: Path) -> None:
    """Write an embedding set with the item ids, in the order of the catalogue.

    Args:
        bundle: the bundle.
        name: of the set.
        path: `.parquet` (columns item_id and vector, a list of float32) or `.safetensors` (tensor
            "x" (n_items, d); the metadata has the ids as a JSON list, "item_ids").

    Raises:
        ConfigError: there is no such set, or the file has another ending.
    """
    from tpad.encoding.shards import write_shard

    if name not in bundle.sets:
        raise ConfigError(
            f"{bundle.path} has no embedding set {name!r}; choose from {', '.join(bundle.sets)}."
        )
    if path.suffix not in VECTOR_FORMATS:
        raise ConfigError(f"{path} must end in {' or '.join(VECTOR_FORMATS)}; rename it.")
    write_shard(path, bundle.dataset.items["item_id"].tolist(), bundle.embeddings[name])


def _check_options(args: Namespace, copies: bool) -> None:
    from tpad.bundle.hub import check_name

    if not copies and args.embeddings is None:
        raise ConfigError(
            "Nothing to export; give --out FOLDER, --push OWNER/NAME or --embeddings FILE."
        )
    if not copies and (args.sets or args.without_sessions):
        raise ConfigError(
            "--sets and --without-sessions change the copy; give --out FOLDER or --push too."
        )
    if args.push is None and (args.branch or args.private or args.dry_run):
        raise ConfigError("--branch, --private and --dry-run need --push OWNER/NAME.")
    if args.push is not None:
        check_name(args.push, "repository")
