"""`python -m tpad train`: all stages, on the demo shop or on a shop of your own."""

import ast
import json
from argparse import ArgumentParser, Namespace, _ArgumentGroup, _SubParsersAction
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from tpad.data.columns import Columns
from tpad.errors import ConfigError
from tpad.training.ablations.definitions import ABLATIONS, SETS_ONLY

if TYPE_CHECKING:
    from tpad.data.dataset import Dataset
    from tpad.data.vectors import ItemVectors
    from tpad.training.base import Base
    from tpad.training.config import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "assets" / "demo" / "base"
SMOKE_WORLD = {
    "items": 96,
    "train_sessions": 300,
    "validation_sessions": 60,
    "test_sessions": 60,
    "arrivals": 4,
}


def default_base() -> str:
    """The embedded model that comes with the project."""
    if not (EMBEDDED / "config.json").is_file():
        raise ConfigError(
            f"There is no embedded model in {EMBEDDED}; name one with --mllm, or make it with "
            "`python -m tpad pretrain --out FOLDER`."
        )
    return str(EMBEDDED)


def add_train_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("train", help="train TPAD and write a bundle")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    run = add_training_options(parser)
    names = ", ".join(name for name in ABLATIONS if name not in SETS_ONLY)
    run.add_argument(
        "--ablation",
        action="append",
        default=[],
        metavar="NAME",
        help=f"leave one part out: {names}; may be repeated",
    )
    parser.set_defaults(run=run_train, together=True)


def add_training_options(parser: ArgumentParser) -> _ArgumentGroup:
    """The options of every command that trains: preset, data, model, and how it runs.

    Returns:
        The last group, for options of the command's own.
    """
    parser.add_argument(
        "--preset",
        choices=("demo", "smoke", "shop"),
        help="settings: demo and smoke also make their shop; shop is the default with --items",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--items", type=Path, help="item table (CSV or Parquet)")
    data.add_argument("--interactions", type=Path, help="click table (CSV or Parquet)")
    data.add_argument("--world", type=Path, help="a folder that `tpad world` wrote")
    data.add_argument(
        "--session-gap",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="pause that ends a session where clicks have a user_id (30)",
    )
    data.add_argument(
        "--cold-fraction",
        type=float,
        default=0.0,
        help="share of items kept out of training, to measure cold-start (0)",
    )
    data.add_argument(
        "--merge-repeats",
        action="store_true",
        help="keep one of several clicks in a row on the same item",
    )
    data.add_argument("--strict", action="store_true", help="stop at the first faulty row")
    data.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="vectors that you have of your items (.safetensors, .npz, .npy or .parquet, by item_id or "
        "in the table's order), to join what TPAD reads; the word tfidf alone takes TF-IDF of the text; "
        "may be repeated",
    )
    data.add_argument(
        "--features-only", action="store_true", help="let TPAD read nothing but these vectors"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--mllm", help="local folder or hub id; the embedded model by default")
    model.add_argument("--revision", help="branch, tag or commit on the hub")
    model.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_model_options(model)
    run = parser.add_argument_group("run")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--work", type=Path, help="where stages keep their results (OUT.work)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="change one setting, such as distillation.epochs=10; may be repeated",
    )
    return run


def add_model_options(group: _ArgumentGroup) -> None:
    """The options that become the setting `model`; see `ModelSettings`."""
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        help="number format to compute in (auto)",
    )
    group.add_argument(
        "--load-in-4bit",
        action="store_const",
        const=True,
        help='language model in 4 bits; needs pip install -e ".[quant]"',
    )
    group.add_argument(
        "--gradient-checkpointing",
        action="store_const",
        const=True,
        help="less memory in training for a third more time",
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
        help="module names that adapters sit on, for a language model of an unknown kind",
    )


def run_train(args: Namespace) -> None:
    """Runs the command."""
    from tpad.distributed import processes
    from tpad.training.pipeline import train

    with processes.processes(args.device) as device:
        with processes.main_first():
            job = read_job(args)
        train(
            job.dataset,
            job.base,
            job.config,
            args.out,
            work=job.work,
            extra_files=job.extra_files,
            vectors=job.vectors,
            device=device,
        )
        if processes.is_main():
            print(
                f"wrote the bundle to {args.out}; look at it with `python -m app --bundle {args.out}`"
            )


@dataclass(frozen=True, eq=False)
class Job:
    """What the options of `add_training_options` ask for; see `tpad.training.pipeline.train`."""

    dataset: "Dataset"
    base: "Base"
    config: "TrainingConfig"
    work: Path
    extra_files: dict[str, Path]
    vectors: dict[str, "ItemVectors"]


def read_job(args: Namespace) -> Job:
    """Settles the settings, then reads the data (or makes the preset's shop).

    Of several processes the main one does so first, and it alone reports faults.

    Raises:
        ConfigError: a setting or a choice of options cannot work.
        DataError: the data cannot be used.
    """
    from tpad.data.dataset import Dataset, check_images
    from tpad.data.vectors import load_vectors, parse_named_files
    from tpad.distributed import processes
    from tpad.model.given_features import TFIDF
    from tpad.training.ablations.definitions import apply_ablation
    from tpad.training.base import Base
    from tpad.training.config import preset

    name = args.preset or ("shop" if args.items else "demo")
    config = preset(name).override("seed", args.seed)
    for option in fields(config.model):
        if getattr(args, option.name) is not None:
            config = config.override(f"model.{option.name}", getattr(args, option.name))
    for ablation in getattr(args, "ablation", []):
        if ablation in SETS_ONLY:
            raise ConfigError(
                f"{ablation} has no bundle; make its embedding set with `python -m tpad ablate --only "
                f"{ablation}`."
            )
        config = apply_ablation(config, ablation)
    for setting in args.settings:
        config = config.override(*_setting(setting))
    files = parse_named_files(one for one in args.features if one != TFIDF)
    names = tuple(dict.fromkeys(one.partition("=")[0] for one in args.features))
    if TFIDF in files:
        raise ConfigError(
            f"--features {TFIDF} is TF-IDF of the shop's text; give your file another name."
        )
    config = config.override("features", names)
    config = config.override("features_only", args.features_only)
    base = Base.find(args.mllm or default_base(), args.revision)
    work = args.work or args.out.with_name(args.out.name + ".work")

    extra = {}
    if args.items is not None or args.interactions is not None:
        if args.items is None or args.interactions is None:
            raise ConfigError("A shop needs both tables: --items and --interactions.")
        dataset = Dataset.load(
            args.items,
            args.interactions,
            session_gap_minutes=args.session_gap,
            strict=args.strict,
            cold_fraction=args.cold_fraction,
            seed=args.seed,
            merge_repeats=args.merge_repeats,
        )
        dataset = check_images(dataset, strict=args.strict)
    else:
        if args.merge_repeats:
            raise ConfigError("--merge-repeats goes with --items and --interactions.")
        folder = args.world or _own_world(work, name)
        dataset = Dataset.from_world(folder)
        extra = {part: folder / part for part in ("world.json", "arrivals")}
    if str(dataset.report) and processes.is_main():
        print(dataset.report)
    ids = dataset.items[Columns.ITEM_ID].tolist()
    say = print if processes.is_main() else _silent
    vectors = {name: load_vectors(path, ids, say) for name, path in files.items()}
    return Job(dataset, base, config, work, extra, vectors)


def _silent(told: str) -> None:
    """Of several processes one tells."""


def _own_world(work: Path, name: str) -> Path:
    """The demo shop, made into the workspace if it is not there yet."""
    from tpad.world.build import World, WorldConfig, write_world

    if name == "shop":
        raise ConfigError("The preset shop needs your tables: --items and --interactions.")
    folder = work / f"world-{name}"
    if not folder.exists():
        config = WorldConfig(**(SMOKE_WORLD if name == "smoke" else {}))
        work.mkdir(parents=True, exist_ok=True)
        with tqdm(desc="drawing the shop", unit="picture", delay=0.5) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            write_world(World(config), folder, progress=show)
    return folder


def _setting(text: str) -> tuple[str, object]:
    """`name=value` with a value in the notation of JSON or Python."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set wants NAME=VALUE, not {text!r}.")
    for read in (json.loads, ast.literal_eval):
        try:
            return name.strip(), read(value)
        except (ValueError, SyntaxError):
            continue
    return name.strip(), value
