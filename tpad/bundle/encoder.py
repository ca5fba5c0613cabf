"""Loading an item encoder from a bundle: nothing but listed files, each checked before it is used."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from tpad.bundle.contents import Listed, read_json, reading
from tpad.bundle.files import HUB_ID
from tpad.errors import BundleError
from tpad.io.saved_state import built
from tpad.mllm.loading import COMMIT
from tpad.mllm.model import MLLM
from tpad.mllm.precision import choose_device
from tpad.mllm.quantisation import check_4bit
from tpad.mllm.settings import ModelSettings
from tpad.model.given_features import GivenFeatures
from tpad.model.heads import HeadsConfig, KnowledgeHeads
from tpad.model.item_encoder import ItemEncoder, Reading
from tpad.model.plain_features import FieldFeatures, TextFeatures
from tpad.model.scaler import FeatureScaler
from tpad.settings import from_json


def load_encoder(
    folder: Path, *, device: str = "auto", listed: Collection[str] | None = None
) -> ItemEncoder:
    """Reads what `ItemEncoder.save` wrote, and tries it on an item.

    Args:
        folder: of the bundle.
        device: where it runs.
        listed: the files that may be opened; None for all in the folder.

    Raises:
        BundleError: a part is missing, not listed, or does not fit the others.
        ModelError: the base model of a hub cannot be got.
        ConfigError: this machine has no such device, or none for 4 bits.
    """
    files = Listed(Path(folder), listed)
    file = files.file("encoder.json")
    with reading(file):
        facts = read_json(file)
        base, settings = facts["base"], from_json(ModelSettings, facts["model"])
        how = from_json(Reading, facts["reading"])
        sizes = from_json(HeadsConfig, facts["heads"])
        categories = facts["categories"]
        if categories is not None and not all(isinstance(one, str) for one in list(categories)):
            raise ValueError("the categories are no list of texts")
    mllm = _load_base(files, base, settings, device)
    with reading(file):
        for name in how.adapters:
            with reading(files.whole(f"adapters/{name}")):
                mllm.adapters.load(name, files.folder / "adapters" / name)
        encoder = _assembled(files, facts, mllm, how, sizes)
        encoder.try_out()
    return encoder


def _load_base(files: Listed, base: Any, settings: ModelSettings, device: str) -> MLLM:
    """The base model that a bundle holds, or that it names on the hub."""
    file = files.folder / "encoder.json"
    if not isinstance(base, dict) or not (base.keys() == {"path"} or "hub_id" in base):
        raise BundleError(f"{file} names no base model; export the bundle again.")
    if "path" in base:
        folder = files.whole(base["path"] if isinstance(base["path"], str) else "")
        choose_device(device)  # what the machine lacks is no fault of the bundle
        if settings.load_in_4bit:
            check_4bit(choose_device(device))
        for file in sorted(folder.glob("*.json")):
            if file.name != "tokenizer.json":  # large, and read by a library of its own
                with reading(file):
                    read_json(file)
        with reading(folder):
            return MLLM.load(folder, settings, device=device)
    hub_id, revision = base["hub_id"], base.get("revision")
    if not isinstance(hub_id, str) or not HUB_ID.fullmatch(hub_id) or Path(hub_id).exists():
        raise BundleError(
            f"{file} names the base model {hub_id!r}, which is no id OWNER/NAME of the hub, or a "
            "path on this machine; export the bundle again."
        )
    if not isinstance(revision, str) or not COMMIT.fullmatch(revision):
        raise BundleError(
            f"{file} names the base model {hub_id} without its commit (40 hexadecimal digits), so "
            "that it could change; export the bundle again."
        )
    return MLLM.load(hub_id, settings, revision=revision, device=device)


def _assembled(
    files: Listed, facts: dict[str, Any], mllm: MLLM, how: Reading, sizes: HeadsConfig
) -> ItemEncoder:
    """The encoder of a loaded base model and the other files."""
    heads_file = files.file("heads.safetensors")
    with reading(heads_file):
        arrays = load_file(heads_file)
    text = _read_text(files)
    with reading(heads_file):
        scaler = built(
            lambda: FeatureScaler(len(arrays["scaler.mean"])), _tensors(arrays, "scaler.")
        )
        words = arrays["heads.describe.weight"].shape[0] if sizes.words else 0
        given = None
        if facts["given"] is not None:
            given = GivenFeatures.restore(facts["given"], arrays)
        size, width = 0 if how.given_only else mllm.hidden_size, 0 if given is None else given.width
        heads = built(
            lambda: KnowledgeHeads(scaler.n_features, size, words, sizes, width),
            _tensors(arrays, "heads."),
        )
        fields = None
        if facts["categories"] is not None:
            fields = FieldFeatures(
                facts["categories"], arrays["fields.means"], arrays["fields.deviations"]
            )
    return ItemEncoder(
        mllm,
        how,
        text,
        fields,
        scaler.to(mllm.device),
        heads.to(mllm.device),
        facts["sets"],
        facts["base"],
        given,
    )


def _tensors(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    return {
        k.removeprefix(prefix): torch.from_numpy(v)
        for k, v in arrays.items()
        if k.startswith(prefix)
    }


def _read_text(files: Listed) -> TextFeatures:
    file = files.file("text.json")
    with reading(file):
        vocabularies = read_json(file)
        return TextFeatures.restore(vocabularies, load_file(files.file("text.safetensors")))
