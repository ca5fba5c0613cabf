"""The base model of a training run: its location and its fingerprint."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tpad.errors import ConfigError
from tpad.io.files import sha256
from tpad.mllm.gguf_files import is_gguf
from tpad.mllm.loading import is_hub_id, may_see, pinned_revision
from tpad.mllm.model import MLLM
from tpad.training.workspace import digest


@dataclass(frozen=True)
class Base:
    """The base model of a run.

    Attributes:
        path: local folder, hub id or GGUF file.
        revision: commit on the hub; see `find`.
        is_hub: whether `path` is a hub id. The bundle then refers to the hub and holds no copy.
    """

    path: str
    revision: str | None = None
    is_hub: bool = False

    @classmethod
    def find(cls, path: str, revision: str | None = None) -> "Base":
        """Find a base model in a local folder, on the hub or in a GGUF file.

        Args:
            path: local folder, hub id or GGUF file.
            revision: branch, tag or commit on the hub; it is pinned to its current commit.

        Raises:
            ConfigError: a revision is given for a folder or a file.
            ModelError: the hub cannot be reached, or has no such model or revision.
        """
        if is_hub_id(path):
            return cls(path, pinned_revision(path, revision), is_hub=True)
        if revision is not None:
            what = "file" if is_gguf(path) else "folder"
            raise ConfigError(f"{path} is a {what} and has no revision {revision!r}; leave it out.")
        return cls(path)

    @cached_property
    def may_see(self) -> bool:
        """Whether the model sees pictures; True as well if it cannot be loaded."""
        return may_see(self.path, self.revision)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the model. Files are identified by their content, because they may be replaced."""
        folder = Path(self.path)
        if folder.is_file():
            return digest(sha256(folder))
        if self.is_hub or not folder.is_dir():
            return digest(self.path, self.revision)
        kinds = (".json", ".safetensors", ".jinja", ".txt", ".model")
        files = sorted(file for file in folder.iterdir() if file.suffix in kinds)
        return digest([[file.name, sha256(file)] for file in files])

    @property
    def record(self) -> dict[str, Any]:
        """Where a bundle finds the base model."""
        if self.is_hub:
            return {"hub_id": self.path, "revision": self.revision}
        return {"path": "base"}

    def facts(self, mllm: MLLM) -> dict[str, Any]:
        """The entry of `bundle.json` that describes the base model."""
        facts = self.record | {"family": mllm.family, "sees": mllm.sees}
        return facts if self.is_hub else facts | {"name": Path(self.path).absolute().name}
