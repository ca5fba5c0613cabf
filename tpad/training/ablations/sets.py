"""The method and its ablations as embedding sets, trained in one shared workspace.

Stages are kept by content, so what an ablation does not change is computed once for all; and no
session recommender is trained, since whoever compares the sets trains the same one for each.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors
from tpad.distributed import processes
from tpad.errors import ConfigError, DataError
from tpad.model.embedding_sets import write_with_ids
from tpad.training.ablations.definitions import ABLATIONS, apply_ablation, check_ablation
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.pipeline import embed
from tpad.training.workspace import Workspace, digest
from tpad.version import __version__

FULL = "full"
"""Name of the set of the method with nothing left out."""


def train_sets(
    dataset: Dataset,
    base: Base,
    config: TrainingConfig,
    out: Path,
    *,
    work: Path,
    only: Sequence[str] | None = None,
    vectors: Mapping[str, ItemVectors] | None = None,
    device: str = "auto",
    say: Callable[[str], None] = print,
    quiet: bool = False,
) -> list[Path]:
    """Writes `full.safetensors` and one file an ablation into a folder; finished ones are kept.

    Each file holds the vectors "x" (n_items, d) in half precision, and in its metadata: item_ids
    (JSON list), dataset and base (fingerprints), ablation and title, config and full_config (JSON:
    the settings of this set, and those of the method with nothing left out), version.

    Args:
        dataset, base, vectors, device: as in `tpad.training.pipeline.train`.
        config: settings of the full method.
        out: folder of the sets; made if missing.
        work: where stages keep their results, such as the workspace of a bundle.
        only: names of `ABLATIONS`; all by default. The full method always comes along; it may be
            named, too, to be the only one.
        say: gets a sentence for each set.
        quiet: no progress bars.

    Returns:
        The files, the full method first.

    Raises:
        ConfigError: an unknown name, settings that cannot work, files of another run in `out`, or
            another run that uses `work`.
    """
    wanted = [name for name in (ABLATIONS if only is None else only) if name != FULL]
    for name in wanted:
        check_ablation(name)
    settings = {FULL: config} | {name: apply_ablation(config, name) for name in ABLATIONS}
    facts = {name: _facts(dataset, base, name, one, config) for name, one in settings.items()}
    if vectors:
        read = digest(
            [
                [name, one.values.tobytes().hex(), one.present.tobytes().hex()]
                for name, one in vectors.items()
            ]
        )
        facts = {name: told | {"vectors": read} for name, told in facts.items()}
    with processes.main_first():  # which alone reports faults
        kept = _kept(Path(out), facts)
    names = [FULL]
    for name in ABLATIONS:
        if name in wanted and settings[name] == config:
            say(f"{name}: these settings have nothing to leave out, so it is {FULL}")
        elif name in wanted:
            names.append(name)

    workspace, files = Workspace(work, quiet), []
    item_ids = dataset.items[Columns.ITEM_ID].tolist()
    with workspace.only_run():
        for number, name in enumerate(names, 1):
            files.append(Path(out) / f"{name}.safetensors")
            if name in kept:
                say(f"{number}/{len(names)} {name}: there already")
                continue
            say(f"{number}/{len(names)} {name}: {facts[name]['title']}")
            x = embed(dataset, base, settings[name], workspace, vectors=vectors, device=device)
            more = facts[name] | {"version": __version__}
            if processes.is_main():
                write_with_ids(files[-1], item_ids, x.astype(np.float16), more)  # (n_items, d)
    return files


def _facts(
    dataset: Dataset, base: Base, name: str, config: TrainingConfig, full: TrainingConfig
) -> dict[str, str]:
    """What a set depends on."""
    return {
        "dataset": dataset.fingerprint,
        "base": base.fingerprint,
        "ablation": name,
        "title": "the full method" if name == FULL else ABLATIONS[name][0],
        "config": json.dumps(config.as_json()),
        "full_config": json.dumps(full.as_json()),
    }


def _kept(out: Path, facts: dict[str, dict[str, str]]) -> set[str]:
    """Names of the sets that are in the folder; sets of another run do not go beside them."""
    found = set()
    for file in sorted(out.glob("*.safetensors")):
        try:
            with safe_open(file, "np") as opened:
                metadata = opened.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise DataError(f"{file} is damaged ({error}); delete it.") from error
        mine = facts.get(file.stem)
        if mine is None or any(metadata.get(key) != value for key, value in mine.items()):
            raise ConfigError(
                f"{file} was made from other data, another model or other settings; give another "
                "--out, or delete it."
            )
        found.add(file.stem)
    return found
