"""Adds items to a catalogue whose embeddings were computed earlier."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.bundle import Bundle
from tpad.bundle.files import encoder_digest
from tpad.data.columns import Columns
from tpad.data.items import ITEM_COLUMNS, read_items
from tpad.data.report import ReportBuilder
from tpad.encoding.shards import read_shards
from tpad.errors import ConfigError, DataError, shown
from tpad.model.embedding_sets import as_stored


def load_encoded(folder: str | Path, bundle: Bundle) -> tuple[list[str], np.ndarray, str]:
    """Read item_ids (n,), embeddings (n, d) float32 and the name of their set from a folder of shards.

    Raises:
        ConfigError: the encoder of another bundle computed them.
        DataError: as in `read_shards`.
    """
    shards = read_shards(folder)
    if shards.plan["encoder"] != encoder_digest(bundle.info):
        raise ConfigError(
            f"{folder} was encoded by another bundle than {bundle.path}; encode the table with this "
            "bundle."
        )
    return *shards.load(), shards.model


def check_encoded(ids: Sequence[str], vectors: np.ndarray, width: int, model: str) -> np.ndarray:
    """Embeddings as a bundle stores them: (n, width) float32.

    Raises:
        DataError: an id is empty, not text, or repeated; the embeddings have another shape or are
            not finite.
    """
    if not len(ids):
        raise DataError("There are no encoded items; give at least one.")
    if vectors.shape != (len(ids), width):
        raise DataError(
            f"{len(ids):,} items of the model {model!r} need embeddings of shape "
            f"({len(ids)}, {width}), not {vectors.shape}."
        )
    for place, item_id in enumerate(ids):
        if not isinstance(item_id, str) or not item_id:
            raise DataError(
                f"The item_id of encoded item {place} is {shown(item_id)!r}; give a text."
            )
    repeated = pd.Index(ids).duplicated()
    if repeated.any():
        raise DataError(
            f"The item '{shown(ids[int(repeated.argmax())])}' is given twice; give it once."
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        lost = ids[int(np.argmin(finite))]
        raise DataError(f"The embedding of item '{shown(lost)}' is not finite; encode it again.")
    return as_stored(model, vectors)


def rows_of(
    ids: Sequence[str], items: str | Path | pd.DataFrame | None, image_root: str | Path | None
) -> tuple[pd.DataFrame, Path | None]:
    """Rows of the item table for the ids, and the folder that their pictures are relative to.

    The fields come from `items` where it has the item, and are empty otherwise.
    """
    if items is None:
        frame = pd.DataFrame("", pd.RangeIndex(len(ids)), list(ITEM_COLUMNS), dtype="str")
        frame[Columns.ITEM_ID] = pd.Series(ids, dtype="str")
        frame[Columns.PRICE] = np.nan
        return frame, None
    known = read_items(items, ReportBuilder(), image_root)
    if image_root is None and not isinstance(items, pd.DataFrame):
        image_root = Path(items).parent
    frame = known.set_index(Columns.ITEM_ID).reindex(pd.Index(ids, dtype="str"))
    texts = [name for name in ITEM_COLUMNS if name not in (Columns.ITEM_ID, Columns.PRICE)]
    frame[texts] = frame[texts].fillna("")
    frame = frame.rename_axis(Columns.ITEM_ID).reset_index()
    return frame, None if image_root is None else Path(image_root)
