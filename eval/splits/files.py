"""A split as a folder that `python -m tpad train` can read, so that a bundle can be trained on it."""

import json
import os
import shutil
from pathlib import Path

from eval.splits.split import Split
from tpad import Columns, DataError
from tpad.io.files import replacing_folder

RECORD_FILE = "split.json"


def save_split(split: Split, folder: str | Path) -> Path:
    """Writes a split's tables and pictures in one step.

        python -m tpad train --items FOLDER/items.parquet --interactions FOLDER/sessions.parquet …

    The folder holds `items.parquet`, `sessions.parquet` (with a column `split`), the pictures under
    their own names, and `split.json`: name, seed, parameters, fingerprint, counts, and the role of
    each item.

    Args:
        split: what to write.
        folder: where to; it may not exist yet, or be empty.

    Returns:
        The folder.

    Raises:
        DataError: the folder holds something already, or cannot be written.
    """
    folder = Path(folder)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} holds something already; name a folder that does not exist.")
        with replacing_folder(folder) as part:
            split.dataset.save(part)
            _copy_pictures(split, part)
            record = {
                "name": split.name,
                "kind": split.kind,
                "seed": split.seed,
                "params": split.params,
                "source": split.source,
                "dataset": split.dataset.fingerprint,
                "fingerprint": split.fingerprint,
                "info": dict(split.info),
                "roles": dict(split.rows()),
            }
            text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
            (part / RECORD_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{folder} cannot be written ({reason}); name another folder.") from error
    return folder


def _copy_pictures(split: Split, folder: Path) -> None:
    """Pictures that exist, inside the folder whatever their names say."""
    root, inside = split.dataset.image_root, os.path.realpath(folder)
    for name in dict.fromkeys(split.dataset.items[Columns.IMAGE]):
        target = folder / name
        escapes = not os.path.realpath(target).startswith(inside + os.sep)
        if not name or escapes or not (root / name).is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
