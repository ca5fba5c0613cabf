"""The options of the commands that train: `train` and `ablate`."""

from argparse import ArgumentParser, _ArgumentGroup
from pathlib import Path

from tpad.cli.shared import add_data_files


def add_training_options(parser: ArgumentParser) -> _ArgumentGroup:
    """Add the preset and the options of data, model and run.

    Returns:
        The group of the run, for further options of the command.
    """
    parser.add_argument(
        "--preset",
        choices=("demo", "smoke", "shop"),
        help="settings to start from: demo and smoke also make their own shop, shop is for your "
        "tables (default: shop with --interactions, else demo)",
    )
    _add_data_options(parser.add_argument_group("data"))
    _add_model_options(parser.add_argument_group("model"))
    run_group = parser.add_argument_group("run")
    run_group.add_argument(
        "--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)"
    )
    run_group.add_argument(
        "--work", type=Path, help="folder of the stages' results (default: OUT.work)"
    )
    run_group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="change a setting, for example distillation.epochs=10; may be repeated",
    )
    return run_group


def _add_data_options(group: _ArgumentGroup) -> None:
    add_data_files(group)
    group.add_argument(
        "--split",
        type=lambda text: text.replace("-", "_"),
        choices=("time", "leave_one_out"),
        help="time: the latest sessions are for testing; leave_one_out: the last click of each user is for "
        "testing, the one before for validation (default: leave_one_out for lines of users; else the "
        "split of the table, or time)",
    )
    group.add_argument(
        "--world", type=Path, help="demo shop to train on, a folder written by `tpad world`"
    )
    group.add_argument(
        "--session-gap",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="pause that ends a session, for interactions that have a user_id in place of a "
        "session_id (default: 30)",
    )
    group.add_argument(
        "--cold-fraction",
        type=float,
        default=0.0,
        help="share of the items to keep out of training, to measure cold-start (default: 0)",
    )
    group.add_argument(
        "--merge-repeats",
        action="store_true",
        help="merge consecutive clicks on the same item into one",
    )
    group.add_argument("--strict", action="store_true", help="stop at the first invalid row")
    group.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="your own item vectors, used beside what TPAD reads: a .safetensors, .npz, .npy or "
        ".parquet file, by item_id or in the order of the item table; `tfidf` without a file is "
        "TF-IDF of the text; may be repeated",
    )
    group.add_argument(
        "--features-only",
        action="store_true",
        help="use only these vectors, and no base model; takes minutes",
    )


def _add_model_options(group: _ArgumentGroup) -> None:
    """Those without a default become the settings of `tpad.mllm.ModelSettings`."""
    group.add_argument(
        "--mllm",
        help="base model: a folder, a hub id or a GGUF file of a vision-language model, or of a language "
        "model that reads text only (default: the embedded model)",
    )
    group.add_argument("--revision", help="branch, tag or commit of the hub id")
    group.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        help="number format for computation (default: auto)",
    )
    group.add_argument(
        "--load-in-4bit",
        action="store_const",
        const=True,
        help='load the language model in 4 bits; needs pip install "tpad[quant]"',
    )
    group.add_argument(
        "--gradient-checkpointing",
        action="store_const",
        const=True,
        help="use less memory in training, but a third more time",
    )
    group.add_argument(
        "--max-pixels", type=int, metavar="N", help="shrink pictures to at most N pixels"
    )
    group.add_argument(
        "--visual-tokens", type=int, metavar="N", help="shrink pictures to at most N tokens each"
    )
    group.add_argument(
        "--split-images",
        action="store_const",
        const=True,
        help="cut large pictures into tiles (Idefics3, SmolVLM)",
    )
    group.add_argument(
        "--lora-targets",
        metavar="REGEX",
        help="names of the modules to adapt, for a language model of an unknown family",
    )
