"""Assembles a vision-language model: the first stage of LLaVA's recipe, on the shop's own pictures.

Four steps, each of which is stored in a workspace: join the parts in an untrained checkpoint, read the
pictures with the vision tower, train the connector, and measure held-out captions. A killed run resumes.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tpad.assembly.captions import Captioned, read_captioned
from tpad.assembly.config import AssemblyConfig
from tpad.assembly.connecting import train_connector
from tpad.assembly.features import read_pictures
from tpad.assembly.layouts import write_untrained
from tpad.assembly.measure import NONE, OTHER, OWN, measure
from tpad.assembly.tower import load_tower
from tpad.errors import DataError, ModelError
from tpad.io.files import replacing_folder
from tpad.mllm.model import MLLM
from tpad.mllm.settings import ModelSettings
from tpad.training.base import Base
from tpad.training.workspace import Stage, Workspace, digest
from tpad.version import __version__

RECORD = "assembly.json"
"""The file in the checkpoint that says how it was made, and what was measured."""
TITLES = {
    OWN: "with its picture",
    OTHER: "with the picture of another item",
    NONE: "without a picture",
}


def assemble(
    items: str | Path,
    llm: Base,
    vision: Base,
    out: str | Path,
    config: AssemblyConfig | None = None,
    settings: ModelSettings | None = None,
    *,
    work: str | Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """Join a language model and a vision tower, train the connector, and write a checkpoint.

    Args:
        items: the shop's item table, with pictures and texts.
        llm: a text-only language model.
        vision: a CLIP or SigLIP model, or a vision-language model whose tower is taken.
        out: folder of the checkpoint; it must not exist.
        config: settings.
        settings: number format and memory of the model.
        work: workspace; by default `out` + ".work".
        device: "auto", or a name that torch knows.
        quiet: show no progress.

    Returns:
        The record that is stored in the checkpoint as `RECORD`.

    Raises:
        DataError: `out` exists, or the items cannot be used.
        ModelError: one of the parts cannot be used.
        ConfigError: another run uses the workspace.
    """
    out, config, settings = Path(out), config or AssemblyConfig(), settings or ModelSettings()
    if out.exists():
        raise DataError(f"{out} exists; remove it, or choose another --out.")
    captioned = read_captioned(items, config.max_text)
    workspace = Workspace(Path(work or f"{out}.work"), quiet)
    with workspace.only_run():
        if captioned.report.findings and not quiet:
            print(captioned.report)
        return _assemble(captioned, llm, vision, out, config, settings, workspace, device)


def _assemble(
    items: Captioned,
    llm: Base,
    vision: Base,
    out: Path,
    config: AssemblyConfig,
    settings: ModelSettings,
    workspace: Workspace,
    device: str,
) -> dict[str, Any]:
    parts = workspace.stage(
        "parts", digest(llm.fingerprint, vision.fingerprint, config.seed), "parts"
    )
    pictures = workspace.stage(
        "pictures", digest(parts.key, items.fingerprint, settings.changes), "pictures"
    )
    connector = workspace.stage("connector", digest(pictures.key, config), "connector")
    measured = workspace.stage("measure", digest(connector.key), "measure")

    mllm = MLLM.load(_joined(llm, vision, config.seed, parts), settings, device=device)
    outputs = read_pictures(mllm, items, pictures)
    train_rows, held_out = items.split(config.heldout, config.seed)
    train_connector(mllm, items.captions, train_rows, outputs, config, connector)
    record = {
        "tpad": __version__,
        "language_model": _named(llm),
        "vision_tower": _named(vision),
        "layout": mllm.family,
        "image_tokens": outputs.expansion.count(mllm.processor.image_token),
        "train_items": len(train_rows),
        "heldout_items": len(held_out),
        "steps": config.steps_for(len(train_rows)),
        "config": asdict(config),
        "heldout_captions": measure(mllm, items.captions, held_out, outputs, measured),
    }
    _write(mllm, record, out)
    return record


def _joined(llm: Base, vision: Base, seed: int, stage: Stage) -> Path:
    """The folder of the untrained checkpoint, made unless an earlier run did."""
    folder = stage.folder / "untrained"
    if not stage.done:
        stage.say("loading the language model and the vision tower")
        tower = load_tower(vision)
        language = MLLM.load(
            llm.path, ModelSettings(dtype="float32"), revision=llm.revision, device="cpu"
        )
        if language.sees:
            raise ModelError(
                f"{llm.path} sees pictures already; give it to `python -m tpad train` as --mllm, or give "
                "a language model that reads text only as --llm."
            )
        with replacing_folder(folder) as part:
            write_untrained(language, tower, part, seed)
        stage.finish()
    return folder


def _named(base: Base) -> dict[str, Any]:
    """The name of a part, without the folder that it lies in."""
    if base.is_hub:
        return base.record
    return {"name": Path(base.path).absolute().name, "fingerprint": base.fingerprint}


def _write(mllm: MLLM, record: dict[str, Any], out: Path) -> None:
    """Write the checkpoint, with its record and a model card."""
    with replacing_folder(out) as part:
        mllm.save(part, dtype=torch.bfloat16)
        (part / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (part / "README.md").write_text(_card(record), "utf-8")


def _card(record: dict[str, Any]) -> str:
    """The model card."""
    language, tower = (
        record[part].get("hub_id") or record[part]["name"]
        for part in ("language_model", "vision_tower")
    )
    return (
        f"# {language} with the vision tower of {tower}\n\n"
        f"A vision-language model in the {record['layout']} layout, assembled by tpad {record['tpad']}. "
        "Both parts are unchanged except for rounding to bfloat16. Only the connector between them was "
        f"trained, in {record['steps']:,} steps on {record['train_items']:,} items of a shop.\n\n{results(record)}"
    )


def results(record: dict[str, Any]) -> str:
    """The likelihood of held-out captions as a table in Markdown, with the gains below it."""
    found = record["heldout_captions"]
    lines = [
        f"| {found['items']:,} held-out captions | negative log-likelihood per token |",
        "| --- | ---: |",
        *(f"| {TITLES[name]} | {nats:.4f} |" for name, nats in found["nats_per_token"].items()),
        "",
        "Gain of the picture, with its standard error: "
        + ", ".join(
            f"{gain['nats_per_token']:.4f} ± {gain['standard_error']:.4f} over {words}"
            for gain, words in (
                (found["gain"][OTHER], "the picture of another item"),
                (found["gain"][NONE], "no picture"),
            )
        )
        + ".",
    ]
    return "\n".join(lines) + "\n"
