"""Pictures that a person has in a folder, each named after its item, beside the item table."""

import os
import shutil
from pathlib import Path

from tpad.errors import ConfigError
from tpad.importers.tally import Tally

FOLDER = "images"
ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"))


def pictures_in(folder: Path) -> dict[str, Path]:
    """The picture of each item id, by the files' names (ITEM_ID.jpg, or png, webp, …).

    Raises:
        ConfigError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"--images {folder} is no folder; give the one that holds the pictures.")
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    paths = {
        Path(name).stem: folder / name for name in found if Path(name).suffix.lower() in ENDINGS
    }
    if not paths:
        raise ConfigError(f"--images {folder} holds no picture; name them ITEM_ID.jpg.")
    return paths


class Pictures:
    """Takes the pictures of the items that are kept: linked where that is possible, else copied.

    Args:
        paths: as `pictures_in` found them.
        target: the item table's folder; pictures come into its folder `images`.
        tally: counts the items without a picture.
    """

    def __init__(self, paths: dict[str, Path], target: Path, tally: Tally) -> None:
        self._paths, self._target, self._tally = paths, target / FOLDER, tally
        self._target.mkdir()

    def take(self, ids: list[str]) -> list[str]:
        """(n,) each item's picture, relative to the table; "" where there is none."""
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
        self._tally.change(
            "item without a picture in the folder of --images",
            "its image is empty",
            (f"item '{item}'" for item in without),
            len(without),
        )
        return taken
