"""Trains the method and its ablations as embedding sets in one workspace.

Results of stages are cached, so whatever an ablation does not change is computed once. No session
recommenders are trained: `eval` trains the same one on each set.
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
from tpad.model.embedding_sets import PARTS, write_with_ids
from tpad.training.ablations.definitions import ABLATIONS, apply_ablation, check_ablation
from tpad.training.base import Base
from tpad.training.config import TrainingConfig
from tpad.training.embed import embed, outcome, represent, shares_encoding
from tpad.training.workspace import Workspace, digest
from tpad.version import __version__

FULL = "full"
"""Name of the embedding set of the full method."""


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
    """Write `full.safetensors` and a file for each ablation; existing files are not computed again.

    A file contains the embeddings "x" (n_items, d) in half precision. Its metadata are item_ids (JSON
    list), dataset and base (fingerprints), ablation, title, config and full_config (JSON, settings of this
    set and of the full method), and version.

    Args:
        dataset, base, vectors, device: as in `tpad.training.pipeline.train`.
        config: settings of the full method.
        out: folder of the sets; it is created if missing.
        work: folder of the stages' results, such as the workspace of a bundle.
        only: names of `ABLATIONS`; by default all that the base model supports. The full method is always
            trained; give its name alone to train nothing else.
        say: called with a message about each set.
        quiet: show no progress bars.

    Returns:
        The files, the full method first.

    Raises:
        ConfigError: there is no such ablation, settings are incompatible, `out` contains files of
            another run, or another run uses `work`.
    """
    if only is None:  # a text-only base model has no ablation without text
        only = [one for one in ABLATIONS if base.may_see or one != "image-only"]
    wanted = [name for name in only if name != FULL]
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
        facts = {name: own | {"vectors": read} for name, own in facts.items()}
    with processes.main_first():  # so that an error is reported once
        finished = _finished(Path(out), facts)
    names = [FULL]
    for name in ABLATIONS:
        if name in wanted and outcome(base, settings[name]) == outcome(base, config):
            say(f"{name}: skipped, because it changes nothing with these settings")
        elif name in wanted:
            names.append(name)

    workspace, files = Workspace(work, quiet), []
    item_ids = dataset.items[Columns.ITEM_ID].tolist()
    with workspace.only_run():
        for number, name in enumerate(names, 1):
            files.append(Path(out) / f"{name}.safetensors")
            if name in finished:
                say(f"{number}/{len(names)} {name}: already there")
                continue
            say(f"{number}/{len(names)} {name}: {facts[name]['title']}")
            if name != FULL and shares_encoding(base, settings[name], config):
                with processes.main_first():  # which has written the file
                    x, parts = represent(*_read(files[0]), settings[name].representation)
            else:
                x, parts = embed(
                    dataset, base, settings[name], workspace, vectors=vectors, device=device
                )
            metadata = facts[name] | {"version": __version__, PARTS: json.dumps(parts)}
            if processes.is_main():
                write_with_ids(files[-1], item_ids, x.astype(np.float16), metadata)  # (n_items, d)
    return files


def _facts(
    dataset: Dataset, base: Base, name: str, config: TrainingConfig, full: TrainingConfig
) -> dict[str, str]:
    """Metadata that identify a set."""
    return {
        "dataset": dataset.fingerprint,
        "base": base.fingerprint,
        "ablation": name,
        "title": "the full method" if name == FULL else ABLATIONS[name][0],
        "config": json.dumps(config.as_json()),
        "full_config": json.dumps(full.as_json()),
    }


def _read(file: Path) -> tuple[np.ndarray, dict[str, int]]:
    """Embeddings (n_items, d) of a finished set, and their parts."""
    with safe_open(file, "np") as opened:
        return opened.get_tensor("x"), json.loads(opened.metadata()[PARTS])


def _finished(out: Path, facts: dict[str, dict[str, str]]) -> set[str]:
    """Names of the sets that are in the folder.

    Raises:
        ConfigError: a file belongs to another run.
        DataError: a file is damaged.
    """
    found = set()
    for file in sorted(out.glob("*.safetensors")):
        try:
            with safe_open(file, "np") as opened:
                metadata = opened.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise DataError(f"{file} is damaged ({error}); delete it.") from error
        expected = facts.get(file.stem)
        if expected is None or any(metadata.get(key) != expected[key] for key in expected):
            raise ConfigError(
                f"{file} was made from other data, another model or other settings; give another "
                "--out, or delete it."
            )
        found.add(file.stem)
    return found
