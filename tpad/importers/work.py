"""The folder of what is half done: part files, and a small JSON state that says how far it got."""

import json
import shutil
from pathlib import Path
from typing import Any

from tpad.errors import ConfigError, DataError
from tpad.importers.tally import Tally
from tpad.io.files import replacing

ENDING = ".work"  # what the folder's name has more than the output's
STATE = "state.json"
VERSION = 1  # of the layout of the folder


class Work:
    """Half-done work beside the output; of another import's nothing is taken over.

    Args:
        out: the folder that the import will write.
        key: plain JSON values that the result depends on.

    Attributes:
        resumed: whether an earlier run of the same import left something.
        stage: the stage that is going on: "items", "clicks", "cut" or "write".
        file, position: reader that is being read, and where to go on in it.
        chunks: Arrow files written in this stage so far.
        done: Arrow files of each finished stage.
        clicks, items: what was counted so far.
    """

    def __init__(self, out: Path, key: dict[str, Any]) -> None:
        self.folder, self.key = out.with_name(out.name + ENDING), {"version": VERSION, **key}
        self.stage, self.file, self.position, self.chunks = "items", 0, None, 0
        self.done: dict[str, int] = {}
        self.clicks, self.items = Tally("interaction"), Tally("item")
        self.resumed = self._restore()
        if not self.resumed:
            self.remove()
            self.folder.mkdir(parents=True)
            self.save()

    def next_stage(self, name: str) -> None:
        """Marks the current stage as finished, and begins another."""
        self.done[self.stage] = self.chunks
        self.stage, self.file, self.position, self.chunks = name, 0, None, 0
        self.save()

    def save(self) -> None:
        """Keeps the state, in one step."""
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
        """Removes the folder."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)

    def _restore(self) -> bool:
        if not self.folder.exists():
            return False
        try:
            state = json.loads((self.folder / STATE).read_text("utf-8"))
        except (OSError, ValueError) as error:
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                return False  # killed before the first state was written
            raise DataError(
                f"{self.folder} holds no state of an import; remove it, or choose another --out."
            ) from error
        if state.get("key", {}).keys() != self.key.keys():
            raise ConfigError(f"{self.folder} is not of an import; choose another --out.")
        if state["key"] != self.key:
            return False  # other files or settings: what is there is of no use
        self.stage, self.file, self.position = state["stage"], state["file"], state["position"]
        self.chunks, self.done = state["chunks"], state["done"]
        self.clicks = Tally.restored("interaction", state["clicks"])
        self.items = Tally.restored("item", state["items"])
        return True


def remove_left_over(out: Path) -> None:
    """Removes the folder of a finished import that was killed before it could do so itself."""
    folder = out.with_name(out.name + ENDING)
    if (folder / STATE).is_file():
        shutil.rmtree(folder)
