"""Ways in which a bundle can be damaged, for `test_damaged_bundles.py`.

Each takes the folder of a bundle and changes one thing; the checksums are corrected afterwards, so
that what is inside is checked, not whether it was changed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

Damage = Callable[[Path], None]
ITEMS, SESSIONS = "items.parquet", "sessions.parquet"
TPAD, SCORES = "embeddings/tpad.safetensors", "recommenders/tpad.safetensors"
BASE, STUDENT = "base/config.json", "adapters/student/adapter_config.json"
WEIGHTS = "adapters/student/adapter_model.safetensors"
DEEP = "[" * 200_000


def raw(name: str, content: bytes | str | None) -> Damage:
    """Another content of a file; None removes it."""

    def apply(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (folder / name).write_bytes(data)

    return apply


def cut(name: str, part: float) -> Damage:
    """The first part of a file."""

    def apply(folder: Path) -> None:
        data = (folder / name).read_bytes()
        raw(name, data[: int(len(data) * part)])(folder)

    return apply


def garbled(name: str, place: float) -> Damage:
    """Some bytes of a file replaced."""

    def apply(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        at = int(len(data) * place)
        data[at : at + 8] = b"\xff\xfe{[\x00]}\x80"
        raw(name, bytes(data))(folder)

    return apply


def field(name: str, path: str, value: Any) -> Damage:
    """Another value in a JSON file, at a path such as `text_config.hidden_size`; ... removes it."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text("utf-8"))
        *parents, last = path.split(".")
        part = content
        for parent in parents:
            part = part[parent]
        if value is ...:
            del part[last]
        else:
            part[last] = value
        raw(name, json.dumps(content))(folder)

    return apply


def tensors(name: str, **changes: Any) -> Damage:
    """Other tensors in a file: a function of the old one, or None; `__` in a name is a dot."""

    def apply(folder: Path) -> None:
        with safe_open(folder / name, framework="numpy") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = file.metadata()
        for key, change in changes.items():
            key = key.replace("__", ".")
            if change is None:
                del state[key]
            else:
                state[key] = np.ascontiguousarray(change(state.get(key)))
        (folder / name).unlink()
        save_file(state, folder / name, header)

    return apply


def first_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Damage:
    """Another first tensor by name, of any kind of numbers."""

    def apply(folder: Path) -> None:
        state = safetensors.torch.load_file(folder / name)
        state[min(state)] = change(state[min(state)]).clone()
        (folder / name).unlink()
        safetensors.torch.save_file(state, folder / name, {"format": "pt"})

    return apply


def settings(name: str, **changes: Any) -> Damage:
    """Other settings of the network in the header of a recommender; ... removes one."""

    def apply(folder: Path) -> None:
        with safe_open(folder / name, framework="numpy") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = file.metadata()
        whole = json.loads(header["settings"])
        network = whole["network"] | changes
        whole["network"] = {key: value for key, value in network.items() if value is not ...}
        (folder / name).unlink()
        save_file(state, folder / name, header | {"settings": json.dumps(whole)})

    return apply


def header(name: str, **changes: Any) -> Damage:
    """Other metadata of a safetensors file; None removes a field."""

    def apply(folder: Path) -> None:
        with safe_open(folder / name, framework="numpy") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            found = {k: v for k, v in (file.metadata() | changes).items() if v is not None}
        (folder / name).unlink()
        save_file(state, folder / name, found)

    return apply


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    """Another table in a Parquet file."""

    def apply(folder: Path) -> None:
        frame = change(pd.read_parquet(folder / name))
        (folder / name).unlink()
        frame.to_parquet(folder / name, index=False)

    return apply


def column(name: str, column: str, make: Callable[[int], Any]) -> Damage:
    """Another column in a Parquet file: an Arrow array, or values, of so many rows; None drops it."""

    def apply(folder: Path) -> None:
        found = pq.read_table(folder / name)
        values, place = make(found.num_rows), found.column_names.index(column)
        found = found.remove_column(place)
        if values is not None:
            found = found.add_column(place, column, pa.array(values))
        (folder / name).unlink()
        # Without what pandas noted of the types: it would turn numbers into text.
        pq.write_table(found.replace_schema_metadata(None), folder / name)

    return apply


def template(source: str) -> Damage:
    """Another chat template."""
    return raw("base/chat_template.jinja", source)


def nan(array: np.ndarray) -> np.ndarray:
    """An array with a NaN."""
    array = array.copy()
    array.flat[0] = np.nan
    return array


def broken_text(n: int) -> pa.Array:
    """Strings of which one is no UTF-8."""
    data = pa.array([b"\xff\xfe\x80", *(b"a%d" % i for i in range(n - 1))], pa.binary())
    return pa.Array.from_buffers(pa.string(), n, data.buffers())


def twice(frame: pd.DataFrame) -> pd.DataFrame:
    """The first id given to the second item, too."""
    frame = frame.copy()
    frame.loc[1, "item_id"] = frame.loc[0, "item_id"]
    return frame


TABLES: dict[str, tuple[str, Damage]] = {
    "no parquet": (ITEMS, raw(ITEMS, b"PAR1" + b"x" * 400 + b"PAR1")),
    "empty table file": (ITEMS, raw(ITEMS, b"")),
    "half a table": (ITEMS, cut(ITEMS, 0.5)),
    "garbled footer": (ITEMS, garbled(ITEMS, 0.98)),
    "garbled pages": (ITEMS, garbled(ITEMS, 0.02)),
    "garbled sessions": (SESSIONS, garbled(SESSIONS, 0.02)),
    "sessions cut off": (SESSIONS, cut(SESSIONS, 0.9)),
    "no items": (ITEMS, table(ITEMS, lambda f: f.iloc[:0])),
    "an item less": (ITEMS, table(ITEMS, lambda f: f.iloc[:-1])),
    "an item twice": (ITEMS, table(ITEMS, twice)),
    "an empty id": (ITEMS, table(ITEMS, lambda f: f.replace({"item_id": {"item-0000": ""}}))),
    "ids as numbers": (ITEMS, column(ITEMS, "item_id", lambda n: list(range(n)))),
    "titles as numbers": (ITEMS, column(ITEMS, "title", lambda n: [1.5] * n)),
    "titles as lists": (ITEMS, column(ITEMS, "title", lambda n: [["a"]] * n)),
    "titles missing": (ITEMS, column(ITEMS, "title", lambda n: [None] * n)),
    "titles of broken bytes": (ITEMS, column(ITEMS, "title", broken_text)),
    "ids of broken bytes": (ITEMS, column(ITEMS, "item_id", broken_text)),
    "titles as bytes": (ITEMS, column(ITEMS, "title", lambda n: [b"a"] * n)),
    "categories missing": (ITEMS, column(ITEMS, "category", lambda n: [None] * n)),
    "no category column": (ITEMS, column(ITEMS, "category", lambda n: None)),
    "no id column": (ITEMS, column(ITEMS, "item_id", lambda n: None)),
    "prices as text": (ITEMS, column(ITEMS, "price", lambda n: ["9.99"] * n)),
    "infinite prices": (ITEMS, column(ITEMS, "price", lambda n: [np.inf] * n)),
    "pictures as numbers": (ITEMS, column(ITEMS, "image", lambda n: [1] * n)),
    "times as text": (SESSIONS, column(SESSIONS, "timestamp", lambda n: ["now"] * n)),
    "times missing": (SESSIONS, column(SESSIONS, "timestamp", lambda n: [None] * n)),
    "another split": (SESSIONS, column(SESSIONS, "split", lambda n: ["holdout"] * n)),
    "splits as numbers": (SESSIONS, column(SESSIONS, "split", lambda n: [0] * n)),
    "unknown items": (SESSIONS, column(SESSIONS, "item_id", lambda n: ["x"] * n)),
    "clicks on nothing": (SESSIONS, column(SESSIONS, "item_id", lambda n: [None] * n)),
    "no sessions column": (SESSIONS, column(SESSIONS, "session_id", lambda n: None)),
    "rows out of nothing": (
        SESSIONS,
        table(SESSIONS, lambda f: f.iloc[np.zeros(500_000, int)]),
    ),
}

MODELS: dict[str, tuple[str, Damage]] = {
    "embeddings cut off": (TPAD, cut(TPAD, 0.5)),
    "embeddings without a header": (TPAD, raw(TPAD, b"\xff" * 400)),
    "an endless header": (TPAD, raw(TPAD, (10**12).to_bytes(8, "little") + b"{}")),
    "a header of depth": (TPAD, raw(TPAD, len(DEEP).to_bytes(8, "little") + DEEP.encode())),
    "embeddings of another name": (TPAD, tensors(TPAD, x=None, y=lambda _: np.zeros((20, 4)))),
    "embeddings of whole numbers": (TPAD, tensors(TPAD, x=lambda x: x.astype(np.int8))),
    "embeddings in double precision": (TPAD, tensors(TPAD, x=lambda x: x.astype(np.float64))),
    "embeddings with NaN": (TPAD, tensors(TPAD, x=nan)),
    "embeddings of three axes": (TPAD, tensors(TPAD, x=lambda x: x[:, :, None])),
    "embeddings of other items": (TPAD, tensors(TPAD, x=lambda x: x[:-1])),
    "embeddings of no width": (SCORES, tensors(TPAD, x=lambda x: x[:, :0])),
    "embeddings of another width": (SCORES, tensors(TPAD, x=lambda x: x[:, :-1])),
    "a recommender cut off": (SCORES, cut(SCORES, 0.9)),
    "a recommender garbled": (SCORES, garbled(SCORES, 0.01)),
    "a recommender of another format": (SCORES, header(SCORES, format="9")),
    "a recommender without settings": (SCORES, header(SCORES, settings=None)),
    "settings that are a list": (SCORES, header(SCORES, settings="[]")),
    "settings of depth": (SCORES, header(SCORES, settings=DEEP)),
    "a memory with NaN": (SCORES, tensors(SCORES, memory__data=nan)),
    "a memory of other items": (SCORES, tensors(SCORES, memory__indices=lambda x: x + 10**6)),
    "a memory of more rows": (SCORES, tensors(SCORES, memory__indptr=lambda x: x * 10**6)),
    "no content space": (SCORES, tensors(SCORES, content__0__mean=None)),
    "width 10^7": (SCORES, settings(SCORES, width=10**7, heads=1)),
    "hidden 10^7": (SCORES, settings(SCORES, hidden=10**7)),
    "layers 10^7": (SCORES, settings(SCORES, layers=10**7)),
    "max_length 10^9": (SCORES, settings(SCORES, max_length=10**9)),
    "heads that do not divide": (SCORES, settings(SCORES, heads=3)),
    "heads of another number": (SCORES, settings(SCORES, heads=4)),
    "width as text": (SCORES, settings(SCORES, width="8")),
    "dropout NaN": (SCORES, settings(SCORES, dropout=float("nan"))),
    "mask_seen as a number": (SCORES, settings(SCORES, mask_seen=1)),
    "an unknown setting": (SCORES, settings(SCORES, colour="red")),
    "weights with NaN": (SCORES, tensors(SCORES, network__positions=nan)),
    "weights in half precision": (
        SCORES,
        tensors(SCORES, network__positions=lambda x: x.astype(np.float16)),
    ),
    "a weight missing": (SCORES, tensors(SCORES, network__state_norm__weight=None)),
    "a weight too many": (SCORES, tensors(SCORES, network__more=lambda _: np.zeros(3))),
    "a weight of another size": (SCORES, tensors(SCORES, network__positions=lambda x: x[:, :-1])),
    "warm as numbers": (SCORES, tensors(SCORES, network__warm=lambda x: x.astype(np.float32))),
    "more warm items than items": (
        SCORES,
        tensors(SCORES, network__warm=lambda x: np.concatenate([x, x])),
    ),
    "no mean": (SCORES, tensors(SCORES, scaler__mean=None)),
    "a deviation of zero": (SCORES, tensors(SCORES, scaler__deviation=lambda x: x * 0)),
}

ENCODERS: dict[str, tuple[str, Damage]] = {
    "encoder.json of depth": ("encoder.json", raw("encoder.json", DEEP)),
    "encoder.json as a list": ("encoder.json", raw("encoder.json", "[]")),
    "encoder.json in another coding": ("encoder.json", raw("encoder.json", b"\xff\xfe{\x00}\x00")),
    "no reading": ("encoder.json", field("encoder.json", "reading", ...)),
    "no categories": ("encoder.json", field("encoder.json", "categories", ...)),
    "categories as a number": ("encoder.json", field("encoder.json", "categories", 3)),
    "a category more": ("heads", field("encoder.json", "categories", ["a"] * 9)),
    "half a character": ("encoder.json", field("encoder.json", "categories", ["\ud800"])),
    "a setting NaN": ("encoder.json", field("encoder.json", "heads.kd_weight", float("nan"))),
    "a layer that is not there": ("encoder.json", field("encoder.json", "reading.layers", [0, 99])),
    "layers as text": ("encoder.json", field("encoder.json", "reading.layers", "02")),
    "max_text as text": ("encoder.json", field("encoder.json", "reading.max_text", "40")),
    "tau 10^7": ("heads", field("encoder.json", "heads.tau", 10**7)),
    "hidden units 10^8": ("heads", field("encoder.json", "heads.hidden", 10**8)),
    "tau as text": ("encoder.json", field("encoder.json", "heads.tau", "4")),
    "an unknown setting": ("encoder.json", field("encoder.json", "heads.colour", 1)),
    "an unknown dtype": ("encoder.json", field("encoder.json", "model.dtype", "float7")),
    "max_pixels 0": ("encoder.json", field("encoder.json", "model.max_pixels", 0)),
    "an unknown set": ("encoder.json", field("encoder.json", "sets", ["tpad", "nonsense"])),
    "an adapter of another name": (
        "adapters",
        field("encoder.json", "reading.adapters", ["../base"]),
    ),
    "an adapter that is not stored": (
        "knowledge_adapter",
        field("encoder.json", "reading.knowledge_adapter", "other"),
    ),
    "base as text": ("encoder.json", field("encoder.json", "base", "base")),
    "base elsewhere": ("bundle.json", field("encoder.json", "base.path", "../base")),
    "base at the root": ("bundle.json", field("encoder.json", "base.path", "/")),
    "base as a number": ("bundle.json", field("encoder.json", "base.path", 1)),
    "base of a NUL": ("bundle.json", field("encoder.json", "base.path", "ba\0se")),
    "base hidden": ("bundle.json", field("encoder.json", "base.path", ".cache")),
    "base that is not there": ("other", field("encoder.json", "base.path", "other")),
    "a hub id without a commit": ("encoder.json", field("encoder.json", "base", {"hub_id": "a/b"})),
    "a hub id of a branch": (
        "encoder.json",
        field("encoder.json", "base", {"hub_id": "a/b", "revision": "main"}),
    ),
    "a hub id that is a path": (
        "encoder.json",
        field("encoder.json", "base", {"hub_id": "/etc", "revision": "0" * 40}),
    ),
    "a hub id that leads up": (
        "encoder.json",
        field("encoder.json", "base", {"hub_id": "../b", "revision": "0" * 40}),
    ),
    "vocabulary of depth": ("text.json", raw("text.json", DEEP)),
    "vocabulary of numbers": ("text.json", field("text.json", "words", 3)),
    "a word less": ("text.json", field("text.json", "words", ["a"])),
    "no letters": ("text.json", field("text.json", "letters", ...)),
    "no vocabulary": ("text.json", raw("text.json", None)),
    "text features cut off": ("text", cut("text.safetensors", 0.5)),
    "text features with NaN": ("text", tensors("text.safetensors", components=nan)),
    "no idf": ("text", tensors("text.safetensors", words__idf=None)),
    "heads cut off": ("heads.safetensors", cut("heads.safetensors", 0.7)),
    "heads with NaN": ("heads.safetensors", tensors("heads.safetensors", scaler__mean=nan)),
    "a head missing": (
        "heads.safetensors",
        tensors("heads.safetensors", heads__describe__weight=None),
    ),
    "deviations missing": ("heads", tensors("heads.safetensors", fields__deviations=None)),
    "a mean of three axes": (
        "heads.safetensors",
        tensors("heads.safetensors", scaler__mean=lambda x: x[None]),
    ),
    "config.json of depth": (BASE, raw(BASE, DEEP)),
    "no config.json": ("base", raw(BASE, None)),
    "another model_type": ("base", field(BASE, "model_type", "bert")),
    "model_type as a list": ("base", field(BASE, "model_type", ["idefics3"])),
    "10^7 layers": ("base", field(BASE, "text_config.num_hidden_layers", 10**7)),
    "10^7 layers of the tower": ("base", field(BASE, "vision_config.num_hidden_layers", 10**7)),
    "a layer more": ("base", field(BASE, "text_config.num_hidden_layers", 5)),
    "a width of 10^7": ("base", field(BASE, "text_config.hidden_size", 10**7)),
    "a picture of 10^6": ("base", field(BASE, "vision_config.image_size", 10**6)),
    "a number of layers as text": ("base", field(BASE, "text_config.num_hidden_layers", "4")),
    "a head_dim of zero": ("base", field(BASE, "text_config.num_attention_heads", 0)),
    "an unknown activation": ("base", field(BASE, "text_config.hidden_act", "boom")),
    "weights cut off": ("base", cut("base/model.safetensors", 0.5)),
    "weights of another model": (
        "base",
        first_tensor("base/model.safetensors", lambda x: x[:, :-1]),
    ),
    "no weights": ("base", raw("base/model.safetensors", None)),
    "tokenizer cut off": ("base", cut("base/tokenizer.json", 0.5)),
    "tokenizer of depth": ("base", raw("base/tokenizer.json", DEEP)),
    "tokenizer of nothing": ("base", raw("base/tokenizer.json", "{}")),
    "tokens beyond the model": ("base", field(BASE, "text_config.vocab_size", 50)),
    "a processor of another class": (
        "base",
        field("base/processor_config.json", "image_processor", {"image_processor_type": "X"}),
    ),
    "a processor with text for a number": (
        "base",
        field("base/processor_config.json", "image_processor.image_mean", "white"),
    ),
    "an image token that is none": ("base", field(BASE, "image_token_id", 10**6)),
    "a template with an error": ("base", template("{{ nothing.at.all }}")),
    "a template with bad syntax": ("base", template("{% for %}")),
    "a template of broken bytes": ("base", raw("base/chat_template.jinja", b"\xff\xfe\x00")),
    "a template that loops": (
        "base",
        template("{% for a in range(9999) %}" * 4 + "x" + "{% endfor %}" * 4),
    ),
    "a template that doubles": (
        "base",
        template("{% set s = 'aa' %}" + "{% set s = s ~ s %}" * 60 + "{{ s }}"),
    ),
    "a template that says nothing": ("base", template("")),
    "an adapter cut off": ("adapters", cut(WEIGHTS, 0.5)),
    "an adapter of depth": ("adapters", raw(STUDENT, DEEP)),
    "no adapter weights": ("adapters", raw(WEIGHTS, None)),
    "an adapter for no module": ("adapters", field(STUDENT, "target_modules", ["nothing"])),
    "an adapter that trains forever": ("adapters", field(STUDENT, "exclude_modules", "((a|.)+)+#")),
    "an adapter of rank 10^7": ("adapters", field(STUDENT, "r", 10**7)),
    "an adapter with NaN": ("adapters", first_tensor(WEIGHTS, lambda x: x * torch.nan)),
    "an adapter of another size": ("adapters", first_tensor(WEIGHTS, lambda x: x[:, :-1])),
}

INFO: dict[str, Damage] = {
    "bundle.json of depth": raw("bundle.json", DEEP),
    "bundle.json in another coding": raw("bundle.json", b"\xff\xfe{}"),
    "half a character": field("bundle.json", "created", "\ud800"),
    "sets twice": field("bundle.json", "sets", ["tpad", "tpad"]),
    "sets as numbers": field("bundle.json", "sets", [1]),
    "no number of items": field("bundle.json", "dataset.n_items", "20"),
    "no items at all": field("bundle.json", "dataset.n_items", ...),
    "image_root as a number": field("bundle.json", "dataset.image_root", 1),
    "image_root of a NUL": field("bundle.json", "dataset.image_root", "a\0b"),
    "sessions as text": field("bundle.json", "dataset.n_sessions", {"train": "many"}),
    "a size as text": field("bundle.json", "sizes", {"items.parquet": "9"}),
    "a checksum as a number": field("bundle.json", "checksums", {"items.parquet": 9}),
    "a name of a NUL": field("bundle.json", "checksums", {"a\0b": "0" * 64}),
    "a hidden name": field("bundle.json", "checksums", {".git/config": "0" * 64}),
    "a name that is not plain": field("bundle.json", "checksums", {"a/./b": "0" * 64}),
    "base as text": field("bundle.json", "base", "base"),
    "seeds as a number": field("bundle.json", "seeds", 3),
}
