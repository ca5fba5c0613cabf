"""Saves a split as a folder on which `python -m tpad train` can train a bundle."""

import json
import os
import shutil
from pathlib import Path

from eval.splits.split import Split
from tpad import Columns, DataError
from tpad.io.files import replacing_folder

RECORD_FILE = "split.json"


def save_split(split: Split, folder: str | Path) -> Path:
    """Writes the tables and pictures of a split, all or nothing.

        python -m tpad train --items FOLDER/items.parquet --interactions FOLDER/sessions.parquet …

    The folder holds `items.parquet`, `sessions.parquet` (with a column `split`), the pictures under
    their names, and `split.json` with name, seed, parameters, fingerprint, counts, and the role of each
    item.

    Args:
        split: the split.
        folder: new or empty.

    Returns:
        The folder.

    Raises:
        DataError: the folder is not empty, or cannot be written.
    """
    folder = Path(folder)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} is not empty; name a new folder.")
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
    """Copies the pictures that exist; names that point outside the folder are skipped."""
    root, inside = split.dataset.image_root, os.path.realpath(folder)
    for name in dict.fromkeys(split.dataset.items[Columns.IMAGE]):
        target = folder / name
        escapes = not os.path.realpath(target).startswith(inside + os.sep)
        if not name or escapes or not (root / name).is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
