"""All commands of `python -m tpad`; each module adds one."""

from argparse import _SubParsersAction

from tpad.cli import (
    ablate,
    encode,
    export,
    images,
    import_data,
    pretrain,
    probe,
    recommend,
    train,
    world,
)


def add_all(subparsers: _SubParsersAction) -> None:
    """Adds every command, in the order in which a person meets them."""
    world.add_world_parser(subparsers)
    import_data.add_import_parser(subparsers)
    images.add_images_parser(subparsers)
    pretrain.add_pretrain_parser(subparsers)
    train.add_train_parser(subparsers)
    ablate.add_ablate_parser(subparsers)
    probe.add_probe_parser(subparsers)
    recommend.add_recommend_parser(subparsers)
    encode.add_encode_parser(subparsers)
    export.add_export_parser(subparsers)
