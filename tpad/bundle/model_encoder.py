"""Loads an item encoder with a base model, after checking each file."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from tpad.bundle.contents import AGAIN, ListedFiles, read_json, reading
from tpad.bundle.files import HUB_ID
from tpad.bundle.vector_encoder import read_text
from tpad.errors import BundleError, shown
from tpad.io.saved_state import built
from tpad.mllm.loading import COMMIT
from tpad.mllm.model import MLLM
from tpad.mllm.precision import choose_device
from tpad.mllm.quantisation import check_4bit
from tpad.mllm.settings import ModelSettings
from tpad.model.given_features import GivenFeatures
from tpad.model.heads import HeadsConfig, KnowledgeHeads
from tpad.model.item_encoder import ItemEncoder, ReadingConfig
from tpad.model.plain_features import FieldFeatures
from tpad.model.scaler import FeatureScaler
from tpad.model.whitening import Whitening
from tpad.settings import from_json


def load_model_encoder(files: ListedFiles, facts: dict[str, Any], device: str) -> ItemEncoder:
    """Load an `ItemEncoder` from the content of `encoder.json` and its other files; arguments and errors
    as in `tpad.bundle.encoder.load_encoder`."""
    file = files.file("encoder.json")
    with reading(file):
        base, settings = facts["base"], from_json(ModelSettings, facts["model"])
        how = from_json(ReadingConfig, facts["reading"])
        sizes = None if facts["heads"] is None else from_json(HeadsConfig, facts["heads"])
        if how.knowledge_adapter not in (None, *how.adapters):
            raise BundleError(
                f"{file} has reading.knowledge_adapter {shown(how.knowledge_adapter)}, which is not "
                f"one of reading.adapters; {AGAIN}."
            )
    mllm = _load_base(files, base, settings, device)
    with reading(file):
        for name in how.adapters:
            with reading(files.checked_folder(f"adapters/{name}")):
                mllm.adapters.load(name, files.folder / "adapters" / name)
        encoder = _assembled(files, facts, mllm, how, sizes)
        encoder.check()
    return encoder


def _load_base(files: ListedFiles, base: Any, settings: ModelSettings, device: str) -> MLLM:
    """Load the base model from the bundle, or from the hub if the bundle refers to it."""
    file = files.folder / "encoder.json"
    if not isinstance(base, dict) or not (base.keys() == {"path"} or "hub_id" in base):
        raise BundleError(f"{file} names no base model; export the bundle again.")
    if "path" in base:
        folder = files.checked_folder(base["path"] if isinstance(base["path"], str) else "")
        choose_device(device)  # outside `reading`: a missing device is not an error of the bundle
        if settings.load_in_4bit:
            check_4bit(choose_device(device))
        for file in sorted(folder.glob("*.json")):
            if file.name != "tokenizer.json":  # large, and checked by its own library
                with reading(file):
                    read_json(file)
        with reading(folder):
            return MLLM.load(folder, settings, device=device)
    hub_id, revision = base["hub_id"], base.get("revision")
    if not isinstance(hub_id, str) or not HUB_ID.fullmatch(hub_id) or Path(hub_id).exists():
        raise BundleError(
            f"{file} names the base model {hub_id!r}, which is not a hub id OWNER/NAME, or is a path on "
            "this machine; export the bundle again."
        )
    if not isinstance(revision, str) or not COMMIT.fullmatch(revision):
        raise BundleError(
            f"{file} names the base model {hub_id} without a commit (40 hexadecimal digits); export the "
            "bundle again."
        )
    return MLLM.load(hub_id, settings, revision=revision, device=device)


def _assembled(
    files: ListedFiles,
    facts: dict[str, Any],
    mllm: MLLM,
    how: ReadingConfig,
    sizes: HeadsConfig | None,
) -> ItemEncoder:
    """Assemble the encoder from the loaded base model and the other files."""
    heads_file = files.file("heads.safetensors")
    with reading(heads_file):
        arrays = load_file(heads_file)
    text = read_text(files)
    with reading(heads_file):
        given = None
        if facts["given"] is not None:
            given = GivenFeatures.restore(facts["given"], arrays)
        heads = None if sizes is None else _heads(arrays, mllm, sizes, given)
        whitening = None
        if "whitening.matrix" in arrays:
            shape = arrays["whitening.matrix"].shape
            whitening = built(lambda: Whitening(*shape), _tensors(arrays, "whitening."))
            whitening.to(mllm.device)
        fields = FieldFeatures.restore(facts["categories"], arrays)
    return ItemEncoder(
        mllm,
        how,
        text,
        fields,
        facts["sets"],
        base=facts["base"],
        given=given,
        heads=heads,
        whitening=whitening,
    )


def _heads(
    arrays: dict[str, np.ndarray], mllm: MLLM, sizes: HeadsConfig, given: GivenFeatures | None
) -> tuple[FeatureScaler, KnowledgeHeads]:
    """Scaler and heads with these weights."""
    scaler = built(lambda: FeatureScaler(len(arrays["scaler.mean"])), _tensors(arrays, "scaler."))
    words = arrays["heads.describe.weight"].shape[0] if sizes.words else 0
    width = 0 if given is None else given.width
    heads = built(
        lambda: KnowledgeHeads(scaler.n_features, mllm.hidden_size, words, sizes, width),
        _tensors(arrays, "heads."),
    )
    return scaler.to(mllm.device), heads.to(mllm.device)


def _tensors(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    return {
        k.removeprefix(prefix): torch.from_numpy(v)
        for k, v in arrays.items()
        if k.startswith(prefix)
    }
