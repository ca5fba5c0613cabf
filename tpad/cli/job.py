"""What the options of a command that trains ask for: settings, base model and data."""

import ast
import json
from argparse import Namespace
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tpad import assets
from tpad.data.columns import Columns
from tpad.errors import ConfigError
from tpad.training.ablations.definitions import SETS_ONLY

if TYPE_CHECKING:
    from tpad.data.dataset import Dataset
    from tpad.data.vectors import ItemVectors
    from tpad.training.base import Base
    from tpad.training.config import TrainingConfig

SMOKE_WORLD = {
    "items": 96,
    "train_sessions": 300,
    "validation_sessions": 60,
    "test_sessions": 60,
    "arrivals": 4,
}


@dataclass(frozen=True, eq=False)
class Job:
    """The arguments of `tpad.training.pipeline.train`."""

    dataset: "Dataset"
    base: "Base | None"
    config: "TrainingConfig"
    work: Path
    extra_files: dict[str, Path]
    vectors: dict[str, "ItemVectors"]


def read_job(args: Namespace) -> Job:
    """Read the settings, then the data (or make the shop of the preset).

    Of several processes, the main one calls this first, and only it reports invalid rows.

    Args:
        args: the parsed options of `tpad.cli.training_options`.

    Raises:
        ConfigError: a setting is invalid, or options do not go together.
        DataError: the data is invalid.
    """
    from tpad.data.vectors import load_vectors, parse_named_files
    from tpad.distributed import processes
    from tpad.model.given_features import TFIDF
    from tpad.training.base import Base

    preset_name = args.preset or ("shop" if args.interactions else "demo")
    base = None
    if not args.features_only:
        base = Base.find(args.mllm or default_base(), args.revision)
    config = _config(args, preset_name, base)
    files = parse_named_files(feature for feature in args.features if feature != TFIDF)
    names = tuple(dict.fromkeys(feature.partition("=")[0] for feature in args.features))
    if TFIDF in files:
        raise ConfigError(
            f"--features {TFIDF} is TF-IDF of the shop's text; give your file another name."
        )
    config = config.override("features", names)
    base = None if config.features_only else base
    work = args.work or args.out.with_name(args.out.name + ".work")
    dataset, extra_files = _dataset(args, work, preset_name)
    if str(dataset.report) and processes.is_main():
        print(dataset.report)
    ids = dataset.items[Columns.ITEM_ID].tolist()
    say = print if processes.is_main() else _ignore
    vectors = {name: load_vectors(path, ids, say) for name, path in files.items()}
    return Job(dataset, base, config, work, extra_files, vectors)


def default_base() -> str:
    """The folder of the embedded base model.

    Raises:
        ConfigError: there is none.
    """
    if not (assets.EMBEDDED_BASE / "config.json").is_file():
        raise ConfigError(
            f"There is no embedded model in {assets.EMBEDDED_BASE}; name a model with --mllm, or make "
            "one with `python -m tpad pretrain --out FOLDER`."
        )
    return str(assets.EMBEDDED_BASE)


def _config(args: Namespace, preset_name: str, base: "Base | None") -> "TrainingConfig":
    """The settings of the preset, fitted to the base model and changed by the options."""
    from tpad.training.ablations.definitions import apply_ablation
    from tpad.training.config import preset

    config = preset(preset_name).override("seed", args.seed)
    if args.features_only:
        _check_features_only(args)
        config = replace(config, features_only=True, baselines=())
    if base is not None and not base.may_see:
        config = config.without_pictures()
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
        config = config.override(*parse_setting(setting))
    return config


def _check_features_only(args: Namespace) -> None:
    """Raise a `ConfigError` if --features-only comes without vectors or with options of a base model."""
    if not args.features:
        raise ConfigError(
            "--features-only uses nothing but given vectors; give --features NAME=FILE, or --features "
            "tfidf."
        )
    for option in ("mllm", "revision", "ablation"):
        if getattr(args, option, None):
            raise ConfigError(f"--features-only uses no base model; leave out --{option}.")


def _dataset(args: Namespace, work: Path, preset_name: str) -> tuple["Dataset", dict[str, Path]]:
    """The dataset, and further files that the bundle takes from the demo shop."""
    from tpad.data.dataset import Dataset, check_images

    if args.interactions is None:
        for option in ("items", "test_interactions", "split", "merge_repeats"):
            if getattr(args, option):
                name = option.replace("_", "-")
                raise ConfigError(f"--{name} needs --interactions; give your clicks.")
        folder = args.world or _make_world(work, preset_name)
        return Dataset.from_world(folder), {
            name: folder / name for name in ("world.json", "arrivals")
        }
    dataset = Dataset.load(
        args.items,
        args.interactions,
        test_interactions=args.test_interactions,
        session_gap_minutes=args.session_gap,
        strict=args.strict,
        split=args.split,
        cold_fraction=args.cold_fraction,
        seed=args.seed,
        merge_repeats=args.merge_repeats,
    )
    return check_images(dataset, strict=args.strict), {}


def _make_world(work: Path, preset_name: str) -> Path:
    """The demo shop of a preset, made in the workspace unless it is there already."""
    from tpad.cli.progress import picture_bar
    from tpad.world.build import World, WorldConfig, write_world

    if preset_name == "shop":
        raise ConfigError("The preset `shop` needs your tables; give --items and --interactions.")
    folder = work / f"world-{preset_name}"
    if not folder.exists():
        config = WorldConfig(**(SMOKE_WORLD if preset_name == "smoke" else {}))
        work.mkdir(parents=True, exist_ok=True)
        with picture_bar("drawing the shop") as show:
            write_world(World(config), folder, progress=show)
    return folder


def parse_setting(text: str) -> tuple[str, object]:
    """Split `name=value`; the value is written as in JSON or Python."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set takes NAME=VALUE, not {text!r}.")
    for read in (json.loads, ast.literal_eval):
        try:
            return name.strip(), read(value)
        except (ValueError, SyntaxError):
            continue
    return name.strip(), value


def _ignore(message: str) -> None:
    """In place of `print` in all processes but the main one."""
