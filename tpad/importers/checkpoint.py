"""The checkpoint of an unfinished import: a folder with part files and its progress in JSON."""

import json
import shutil
from pathlib import Path
from typing import Any

from tpad.errors import ConfigError, DataError
from tpad.importers.counts import RowCounts
from tpad.io.files import replacing

ENDING = ".work"  # appended to the name of the output folder
STATE = "state.json"
REPORT = "import.json"  # of a finished import, in its output folder
VERSION = 2  # of the layout of the folder


class Checkpoint:
    """Progress of an import, in a folder beside the output; the same import can resume from it.

    Args:
        out: the folder that the import will write.
        key: plain JSON values that the result depends on.

    Attributes:
        resumed: whether an earlier run of the same import is resumed.
        stage: the current stage: "items", "clicks", "sessions" or "write".
        file, position: number of the current file, and the position in it to continue from.
        chunks: number of Arrow files written in this stage so far.
        done: number of Arrow files of each finished stage.
        clicks, items: counts so far.
    """

    def __init__(self, out: Path, key: dict[str, Any]) -> None:
        self.folder, self.key = out.with_name(out.name + ENDING), {"version": VERSION, **key}
        self.stage, self.file, self.position, self.chunks = "items", 0, None, 0
        self.done: dict[str, int] = {}
        self.clicks, self.items = RowCounts("interaction"), RowCounts("item")
        self.resumed = self._restore()
        if not self.resumed:
            self.remove()
            self.folder.mkdir(parents=True)
            self.save()

    def next_stage(self, name: str) -> None:
        """Mark the current stage as finished, and start the next one."""
        self.done[self.stage] = self.chunks
        self.stage, self.file, self.position, self.chunks = name, 0, None, 0
        self.save()

    def save(self) -> None:
        """Store the state atomically."""
        state = {
            "key": self.key,
            "stage": self.stage,
            "file": self.file,
            "position": self.position,
            "chunks": self.chunks,
            "done": self.done,
            "clicks": self.clicks.state(),
            "items": self.items.state(),
        }
        with replacing(self.folder / STATE) as part:
            part.write_text(json.dumps(state, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def remove(self) -> None:
        """Remove the folder."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)

    def _restore(self) -> bool:
        if not self.folder.exists():
            return False
        try:
            state = json.loads((self.folder / STATE).read_text("utf-8"))
        except (OSError, ValueError) as error:
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                return False  # killed before the state was written
            raise DataError(
                f"{self.folder} holds no state of an import; remove it, or choose another --out."
            ) from error
        if state.get("key", {}).keys() != self.key.keys():
            raise ConfigError(f"{self.folder} does not belong to an import; choose another --out.")
        if state["key"] != self.key:
            return False  # of other files or settings
        self.stage, self.file, self.position = state["stage"], state["file"], state["position"]
        self.chunks, self.done = state["chunks"], state["done"]
        self.clicks = RowCounts.restored("interaction", state["clicks"])
        self.items = RowCounts.restored("item", state["items"])
        return True


def remove_left_over(out: Path) -> None:
    """Remove the checkpoint of an import that was killed right after it had finished."""
    folder = out.with_name(out.name + ENDING)
    if (folder / STATE).is_file():
        shutil.rmtree(folder)


def file_identity(path: Path) -> list[Any]:
    """Identity of a file's content: path, size in bytes, and time of the last change in ns."""
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def finished_report(out: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The report of the same import, if `out` holds it; None if `out` is new or empty.

    Raises:
        ConfigError: `out` holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        stored = json.loads((out / REPORT).read_text("utf-8"))
        if {name: stored.get(name) for name in key} == key:
            return stored
        what = f"holds another import ({stored['format']})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        what = "does not hold an import"
    raise ConfigError(f"{out} {what}; choose another --out, or remove it.")
