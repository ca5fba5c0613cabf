"""Adds the pictures of a folder, named after their items, to the item table."""

import os
import shutil
from pathlib import Path

from tpad.errors import ConfigError
from tpad.importers.counts import RowCounts

FOLDER = "images"
ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"))


def pictures_in(folder: Path) -> dict[str, Path]:
    """The picture of each item id, by the files' names (ITEM_ID.jpg, or png, webp, …).

    Raises:
        ConfigError: there is no such folder, or it holds no picture.
    """
    if not folder.is_dir():
        raise ConfigError(f"--images {folder} is not a folder; give the folder of the pictures.")
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    paths = {
        Path(name).stem: folder / name for name in found if Path(name).suffix.lower() in ENDINGS
    }
    if not paths:
        raise ConfigError(
            f"--images {folder} holds no pictures named ITEM_ID.jpg (or png, webp, …)."
        )
    return paths


class Pictures:
    """Hard-links or copies the pictures of the kept items.

    Args:
        paths: as `pictures_in` returns them.
        target: folder of the item table; the pictures go into its subfolder `images`.
        counts: counts the items without a picture.
    """

    def __init__(self, paths: dict[str, Path], target: Path, counts: RowCounts) -> None:
        self._paths, self._target, self._counts = paths, target / FOLDER, counts
        self._target.mkdir()

    def take(self, ids: list[str]) -> list[str]:
        """(n,) picture of each item, relative to the table; "" for none."""
        taken, without = [], []
        for item in ids:
            path = self._paths.get(item)
            if path is None:
                without.append(item)
                taken.append("")
                continue
            try:
                os.link(path, self._target / path.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, self._target / path.name)
            taken.append(f"{FOLDER}/{path.name}")
        self._counts.change(
            "item without a picture in the folder of --images",
            "its image is empty",
            (f"item '{item}'" for item in without),
            len(without),
        )
        return taken
